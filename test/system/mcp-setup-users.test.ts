/** `posthorn setup-users` for real: as root, on a copy of /etc that only the test sees. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'

const timeout = 60_000
const POSTHORN = `${process.execPath} ${resolve('dist/commands/posthorn.js')}`
const WITH_COPY =
  'set -e; copy=$(mktemp -d); cp -a /etc/. $copy; mount --bind $copy /etc; trap "umount /etc; rm -r $copy" EXIT'

function inCopy(script: string) {
  return spawnSync('unshare', ['--mount', 'sh', '-c', `${WITH_COPY}; ${script}`], { encoding: 'utf8' })
}
const able = process.getuid?.() === 0 && inCopy('true').status === 0
const skip = able ? false : 'this needs root and a mount namespace: nothing of it was tested'

test('makes what is missing, and nothing the second time', { timeout, skip }, () => {
  const script = `${POSTHORN} setup-users; echo again; ${POSTHORN} setup-users; grep '^ph[qsmcr]:' /etc/passwd`
  const { stdout, stderr, status } = inCopy(script)
  assert.equal(status, 0, stderr)
  const [first = '', second = ''] = stdout.split('again\n')
  assert.match(first, /made group posthorn\nmade user phq\nmade user phs\n/)
  assert.doesNotMatch(second, /made/)
  const users = second.split('\n').filter((line) => line.startsWith('ph'))
  assert.equal(users.length, 5)
  for (const line of users) assert.match(line, /:\/nonexistent:\/usr\/sbin\/nologin$/)
})

test('the printed lines do the same', { timeout, skip }, () => {
  const { stdout, stderr, status } = inCopy(
    `${POSTHORN} setup-users --print | sh -e; ${POSTHORN} setup-users; id -gn phr`,
  )
  assert.equal(status, 0, stderr)
  assert.equal(stdout, 'phr\n', 'nothing was left to make')
})

test('the shipped names pass a check afterwards, and not before', { timeout, skip }, () => {
  const check = `${POSTHORN} -c ${resolve('config/posthorn.conf')} check`
  const { stdout, status } = inCopy(`${check}; echo now; ${POSTHORN} setup-users >/dev/null; ${check}`)
  assert.equal(status, 0)
  const [before = '', after = ''] = stdout.split('now\n')
  assert.match(before, /user `phq`/)
  assert.doesNotMatch(after, /phq/)
})

const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups']
const asNobody = (...words: string[]) =>
  spawnSync('setpriv', [...NOBODY, process.execPath, ...words], { encoding: 'utf8' })
const program = resolve('dist/commands/posthorn.js')
const reachable = able && asNobody('-e', `require('fs').accessSync(${JSON.stringify(program)})`).status === 0

test('who is not root is told what would be run', { timeout, skip: !reachable }, () => {
  const { stderr, status } = asNobody(program, 'setup-users')
  assert.equal(status, 77)
  assert.match(stderr, /--print/)
})
