/** What mcp stands on: bound ports, the pid file, users by name, what a reload may not change, the banner. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { renderBanner } from '../../services/mcp/banner.ts'
import { exampleMailbox } from '../../services/mcp/example.ts'
import { findIdentities } from '../../services/mcp/identities.ts'
import { takePidFile } from '../../services/mcp/pid-file.ts'
import { BindFailed, type BoundPort, bindTcp, bindUnix, clearStalePath } from '../../services/mcp/ports.ts'
import { whyNotReloadable } from '../../services/mcp/reload.ts'
import { loadConfig } from '../../shared/config/check.ts'
import type { Slices } from '../../shared/config/slices.ts'

const timeout = 30_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-ground-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const at = (name: string) => join(directory, name)

function portOf({ where }: BoundPort): number {
  return 'port' in where ? where.port : 0
}

function outcome(target: number | string): Promise<string> {
  return new Promise((done) => {
    const socket = typeof target === 'number' ? connect(target, '127.0.0.1') : connect(target)
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? ''))
    socket.once('data', (data) => {
      socket.destroy()
      done(data.toString())
    })
  })
}

/** A process that listens on a descriptor it was handed and greets with `word`. */
async function greeter(fd: number, word: string) {
  const script = `require('net').createServer(s => s.end(${JSON.stringify(word)})).listen({ fd: 3 }, () => console.log('up'))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit', fd] })
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const kill = async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  return { kill }
}

test('a bound port is not a listening one, until a worker listens', { timeout }, async () => {
  const port = bindTcp('mx', '127.0.0.1', 0)
  assert.notEqual(portOf(port), 0)
  assert.equal(await outcome(portOf(port)), 'ECONNREFUSED')
  const first = await greeter(port.fd, 'first')
  assert.equal(await outcome(portOf(port)), 'first')
  await first.kill()
  const waiting = outcome(portOf(port))
  const second = await greeter(port.fd, 'second')
  assert.equal(await waiting, 'second', 'it waited in the backlog, and we did not take it')
  await second.kill()
  port.close()
})

test('a port in use is found at once', { timeout }, async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  assert.throws(
    () => bindTcp('mx', '127.0.0.1', port),
    (error: unknown) =>
      error instanceof BindFailed && error.code === 'EADDRINUSE' && /"mx"/.test(error.message),
  )
  server.close()
})

test('an address that is not ours is named', () => {
  assert.throws(() => bindTcp('mx', '192.0.2.1', 0), /no such address/)
})

const noIpv6 = !existsSync('/proc/net/if_inet6') && 'this machine has no IPv6'

test('the address :: takes IPv4 as well', { timeout, skip: noIpv6 }, async () => {
  const port = bindTcp('mx', '::', 0)
  const greeting = await greeter(port.fd, 'both')
  assert.equal(await outcome(portOf(port)), 'both')
  await greeting.kill()
  port.close()
})

test('a unix socket has its mode from the first moment, and is gone at the end', { timeout }, async () => {
  const path = at('a.sock')
  const port = bindUnix('local', { path, mode: 0o660, owner: null })
  assert.equal(statSync(path).mode & 0o777, 0o660)
  const greeting = await greeter(port.fd, 'hello')
  assert.equal(await outcome(path), 'hello')
  await greeting.kill()
  assert.ok(existsSync(path), 'the death of a worker leaves the path')
  port.close()
  await new Promise((done) => setImmediate(done))
  assert.ok(!existsSync(path))
})

test('a missing directory of a socket is named', () => {
  assert.throws(
    () => bindUnix('local', { path: at('no/a.sock'), mode: 0o600, owner: null }),
    /directory is missing/,
  )
})

test('a stale socket is cleared, a live one and a file are not', { timeout }, async () => {
  const path = at('stale.sock')
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  await once(spawn(process.execPath, ['-e', script]), 'exit')
  assert.ok(existsSync(path))
  await clearStalePath('local', path)
  assert.ok(!existsSync(path))
  const server = createServer().listen(path)
  await once(server, 'listening')
  await assert.rejects(clearStalePath('local', path), { code: 'EADDRINUSE' })
  server.close()
  writeFileSync(at('file'), 'x')
  await assert.rejects(clearStalePath('local', at('file')), { code: 'EEXIST' })
})

test('the pid file keeps others out, and tells a crash from an end', { timeout }, async () => {
  const path = at('a.pid')
  const first = takePidFile(path)
  assert.ok(first.kind === 'taken' && !first.predecessorCrashed)
  assert.equal(readFileSync(path, 'utf8'), `${process.pid}\n`)
  assert.deepEqual(takePidFile(path), { kind: 'held', pid: process.pid })
  first.release()
  assert.ok(!existsSync(path))
  writeFileSync(path, '1\n') // a process that lives, but does not hold the lock
  const second = takePidFile(path)
  assert.ok(second.kind === 'taken' && second.predecessorCrashed)
  second.release()
})

test('a pid file that is a symbolic link is refused', () => {
  writeFileSync(at('victim'), 'precious')
  symlinkSync(at('victim'), at('link.pid'))
  assert.throws(() => takePidFile(at('link.pid')), { code: 'ELOOP' })
  assert.equal(readFileSync(at('victim'), 'utf8'), 'precious')
})

test('users are found by name; a missing one and root are problems', () => {
  const accounts = {
    user: (name: string) =>
      ({ phq: { name, uid: 201, gid: 900 }, root: { name, uid: 0, gid: 0 } })[name] ?? null,
    group: (name: string) => (name === 'posthorn' ? 300 : null),
    nameOf: () => null,
  }
  const users = {
    qmgr: 'phq',
    smtpd: 'phq',
    submission: 'phq',
    smtpc: 'phq',
    resolver: 'phq',
    validator: 'phv',
  }
  const good = findIdentities({ users, group: 'posthorn' }, accounts)
  assert.ok(good.kind === 'found')
  assert.deepEqual(good.identities.qmgr, { user: 'phq', uid: 201, gid: 300 })
  const bad = findIdentities({ users: { ...users, smtpd: 'root', smtpc: 'nobody' }, group: 'x' }, accounts)
  assert.equal(bad.kind === 'missing' ? bad.problems.length : 0, 3)
})

function shipped(): Slices {
  const checked = loadConfig(resolve('config/posthorn.conf'), { asCaller: true })
  assert.ok(checked.kind === 'ok')
  return checked.slices
}

test('a reload may change what it likes, but not where things are and who does them', () => {
  const before = shipped()
  const after: Slices = { ...before, qmgr: { ...before.qmgr, activeEntries: 7 } }
  assert.deepEqual(whyNotReloadable(before, after), [])
  const users = { ...before.mcp.users, qmgr: 'other' }
  const moved = { ...after, mcp: { ...before.mcp, users, pidFile: '/elsewhere' } }
  assert.deepEqual(
    whyNotReloadable(before, moved).map((sentence) => sentence.split(' cannot')[0]),
    ['the pid file', 'the users of the processes'],
  )
})

test('the banner names the ports, and a first message to send', () => {
  const slices = shipped()
  const text = renderBanner({
    build: '1.2.3',
    configFile: resolve('config/posthorn.conf'),
    slices,
    addresses: { mx: { address: '127.0.0.1', port: 2525 }, local: { path: resolve('x/submit.sock') } },
    missing: ['something is off'],
    commands: resolve('dist/commands'),
    example: exampleMailbox(slices.resolver.zones),
    workingDirectory: process.cwd(),
  })
  assert.match(text, /mx +127\.0\.0\.1 port 2525\n/)
  assert.match(text, /local +x\/submit\.sock\n/)
  assert.match(text, /something is off/)
  assert.match(text, /sendmail\.js --socket \S+ demo@posthorn\.localhost\n/)
  assert.match(text, /cat spool\/demo\/Maildir\/new\/\*\n/)
})
