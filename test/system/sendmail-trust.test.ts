/** Whom sendmail hands mail to, and who it is itself: nobody special. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { makeRig } from '../support/worker.ts'
import { openServer, resultOf, sendmail, startSendmail } from './sendmail-stage.ts'

const timeout = 120_000
const notRoot = process.getuid?.() === 0 ? false : 'needs root'

test('a socket of a stranger gets 77 and no mail', { timeout, skip: notRoot }, async (t) => {
  const server = await openServer(t)
  chownSync(server.path, 65_533, 65_533)
  const result = await sendmail(['--socket', server.path, 'bob@y.org'])
  assert.equal(result.code, 77)
  assert.match(result.err, /made by uid 65533/)
  assert.deepEqual(server.commands, [])
})

test('a directory that anyone may write to gets 77', { timeout }, async (t) => {
  const server = await openServer(t)
  chmodSync(join(server.path, '..'), 0o777)
  const result = await sendmail(['--socket', server.path, 'bob@y.org'])
  assert.equal(result.code, 77)
  assert.deepEqual(server.commands, [])
})

test('a file in the place of the socket gets 77', { timeout }, async () => {
  const result = await sendmail(['--socket', '/etc/passwd', 'bob@y.org'])
  assert.equal(result.code, 77)
  assert.match(result.err, /not a socket/)
})

test('a link of a stranger to a good socket is followed, and what it leads to is judged', {
  timeout,
}, async (t) => {
  const server = await openServer(t)
  const rig = makeRig()
  t.after(rig.close)
  const link = join(rig.directory, 'link.sock')
  symlinkSync(server.path, link)
  assert.equal((await sendmail(['--socket', link, 'bob@y.org'])).code, 0)
  chmodSync(join(server.path, '..'), 0o777)
  assert.equal((await sendmail(['--socket', link, 'bob@y.org'])).code, 77)
})

test('no set-uid, no set-gid', () => {
  for (const file of ['bin/sendmail', 'dist/commands/sendmail.js'])
    assert.equal(statSync(resolve(file)).mode & 0o6000, 0, file)
})

test('nobody may call it, from a folder that is not theirs, and no file is written', {
  timeout,
  skip: notRoot,
}, async (t) => {
  const server = await openServer(t)
  const folder = join(server.path, '..')
  chmodSync(folder, 0o711)
  chmodSync(server.path, 0o666)
  const cwd = join(folder, 'theirs')
  mkdirSync(cwd)
  const before = readdirSync(folder)
  const files = ['-C', join(cwd, 'c'), '-X', join(cwd, 'x'), '-D', join(cwd, 'd'), `-oQ${join(cwd, 'q')}`]
  const argv = ['--socket', server.path, ...files, 'bob@y.org']
  const result = await sendmail(argv, { uid: 65_534, cwd })
  assert.deepEqual(result, { code: 0, out: '', err: '' })
  assert.deepEqual([readdirSync(folder), readdirSync(cwd)], [before, []])
})

test('a server that may not be reached gets 77', { timeout, skip: notRoot }, async (t) => {
  const server = await openServer(t)
  chmodSync(join(server.path, '..'), 0o711)
  chmodSync(server.path, 0o600)
  const result = await sendmail(['--socket', server.path, 'bob@y.org'], { uid: 65_534, cwd: '/' })
  assert.equal(result.code, 77, result.err)
  assert.match(result.err, /EACCES/)
})

const FIRST_EXTRA = 3
const EXTRA = 30

test('what the caller left open is closed while the server is waited for', { timeout }, async (t) => {
  const server = await openServer(t, (line) => (line === 'CONNECT' ? 'hang' : null))
  const extra = Array.from({ length: EXTRA }, () => 'pipe' as const)
  const child = startSendmail(['--socket', server.path, 'bob@y.org'], { extra })
  const result = resultOf(child)
  // the last one that holds an end of these closes it, and that is what we see
  const closed = child.stdio.slice(FIRST_EXTRA).map(async (pipe) => {
    assert.ok(pipe && 'resume' in pipe)
    pipe.resume()
    await once(pipe, 'close')
  })
  child.stdin?.end('Subject: x\n\n')
  await Promise.all(closed)
  assert.equal(child.exitCode, null, 'it still waits for its server')
  child.kill()
  await result
})

test('closed 0, 1 and 2 are repaired: an empty message goes, an error is told by the exit code', {
  timeout,
}, async (t) => {
  const server = await openServer(t)
  const closed = (argv: string[]) => sendmail(argv, { shell: 'exec "$0" "$@" <&- >&- 2>&-' })
  assert.equal((await closed(['--socket', server.path, 'bob@y.org'])).code, 0)
  assert.equal(server.received[0]?.content, '\r\n')
  assert.equal((await closed(['--socket', server.path])).code, 64)
})

test('a reader that has gone costs nothing but its lines', { timeout }, async (t) => {
  const server = await openServer(t)
  const gone = await sendmail(['--socket', server.path, '-v', 'bob@y.org'], {
    shell: '{ "$0" "$@"; echo $? >&2; } | true',
  })
  assert.equal(gone.err, '0\n')
  assert.equal(server.received.length, 1)
})
