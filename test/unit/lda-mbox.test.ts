/** A real mbox on a real disk: what stands in it, its locks, what it refuses, and what is cut off again. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { checkWay } from '../../services/lda/directories.ts'
import { MailboxLocked, MailboxRefused } from '../../services/lda/failure.ts'
import { Gathered } from '../../services/lda/gathered.ts'
import { Mbox } from '../../services/lda/mbox.ts'
import { fromLine, MboxLines } from '../../services/lda/mbox-lines.ts'

const uid = process.geteuid?.() ?? 0
const gid = process.getegid?.() ?? 0
let home = ''
let path = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'posthorn-mbox-'))
  path = join(home, 'inbox')
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function mbox(more: { patience?: number; dotLock?: boolean } = {}): Mbox {
  return new Mbox({ path, uid, dotLock: true, now: Date.now, ...more })
}

function message(text: string): Gathered {
  const gathered = new Gathered([home])
  gathered.write(Buffer.from(text, 'latin1'))
  return gathered
}

test('the first line names the sender and the time, as asctime does', () => {
  const at = Date.UTC(2026, 10, 1, 7, 8, 9)
  assert.equal(fromLine('ann@example.org', at), 'From ann@example.org Sun Nov  1 07:08:09 2026\n')
  assert.equal(fromLine('', at), 'From MAILER-DAEMON Sun Nov  1 07:08:09 2026\n')
  assert.equal(fromLine('"a b\n"@c', at).split('\n').length, 2)
  assert.match(fromLine('"a b\tc"@d', at), /^From "a_b_c"@d Sun/)
})

/** The same, written the slow way. */
function quoted(text: string): string {
  const lines = text.split('\n').map((line) => (line.startsWith('From ') ? `>${line}` : line))
  const whole = lines.join('\n')
  return whole === '' || whole.endsWith('\n') ? `${whole}\n` : `${whole}\n\n`
}

test('lines that begin with From are quoted, at any split', () => {
  const piece = fc.constantFrom(
    'From ',
    'From',
    '\n',
    '\nFrom ',
    ' ',
    'x',
    '>From ',
    '\r\n',
    'F',
    '\nF',
    'ä\0',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const lines = new MboxLines()
      const octets = pieces.map((one) => lines.push(Buffer.from(one, 'latin1')))
      const all = Buffer.concat([...octets, lines.end()]).toString('latin1')
      assert.equal(all, quoted(pieces.join('')))
    }),
  )
})

test('messages are appended, each once, under one lock after another', async () => {
  const box = mbox()
  const numbers = Array.from({ length: 250 }, (_none, n) => n)
  await Promise.all(numbers.map((n) => box.append(message(`From a\nn: ${n}\n\n`))))
  const text = readFileSync(path, 'latin1')
  assert.deepEqual(
    [...text.matchAll(/^n: (\d+)$/gm)].map(([, n]) => Number(n)),
    numbers,
  )
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(home), ['inbox'])
})

test('what a crash left of a message is ended before the next', async () => {
  writeFileSync(path, 'From a\nx: 1\n\nhal', { mode: 0o600 })
  await mbox().append(message('From b\n\n'))
  assert.equal(readFileSync(path, 'latin1'), 'From a\nx: 1\n\nhal\n\nFrom b\n\n')
  writeFileSync(path, 'From a\nx: 1\n', { mode: 0o600 })
  await mbox().append(message('From b\n\n'))
  assert.equal(readFileSync(path, 'latin1'), 'From a\nx: 1\n\nFrom b\n\n')
})

test('a large message goes by a file without a name', async () => {
  const large = message('x'.repeat(200_000))
  large.write(Buffer.alloc(200_000, 'y'))
  assert.notEqual(large.descriptor, null)
  assert.deepEqual(readdirSync(home), [])
  await mbox().append(large)
  large.close()
  assert.equal(readFileSync(path, 'latin1'), 'x'.repeat(200_000) + 'y'.repeat(200_000))
})

test('one that cannot be read is cut off, and fails alone', async () => {
  const box = mbox()
  const broken = message('From broken\n\n')
  broken.read = function* () {
    yield Buffer.from('From bro')
    throw new Error('no more')
  }
  const [first, second, third] = await Promise.allSettled([
    box.append(message('From a\n\n')),
    box.append(broken),
    box.append(message('From b\n\n')),
  ])
  assert.deepEqual([first?.status, second?.status, third?.status], ['fulfilled', 'rejected', 'fulfilled'])
  assert.equal(readFileSync(path, 'latin1'), 'From a\n\nFrom b\n\n')
})

test('a lock file of ours is waited for, and a stale one removed', async () => {
  writeFileSync(`${path}.lock`, '1\n')
  await assert.rejects(mbox({ patience: 50 }).append(message('From a\n\n')), MailboxLocked)
  assert.equal(existsSync(path), false)
  const waiting = mbox().append(message('From a\n\n'))
  rmSync(`${path}.lock`)
  await waiting
  writeFileSync(`${path}.lock`, '1\n')
  const longAgo = Date.now() / 1000 - 600
  utimesSync(`${path}.lock`, longAgo, longAgo)
  await mbox().append(message('From b\n\n'))
  assert.equal(readFileSync(path, 'latin1'), 'From a\n\nFrom b\n\n')
  assert.equal(existsSync(`${path}.lock`), false)
})

test('two writers of one mbox, with and without lock files, keep out of each other’s way', async () => {
  const writers = [mbox(), mbox({ dotLock: false }), mbox()]
  const all = Array.from({ length: 90 }, (_none, n) =>
    writers[n % 3]?.append(message(`From a\n${`${n} `.repeat(20_000)}\n\n`)),
  )
  await Promise.all(all)
  const parts = readFileSync(path, 'latin1').split('From a\n').slice(1)
  assert.equal(parts.length, 90)
  for (const part of parts) assert.equal(new Set(part.trim().split(' ')).size, 1)
})

test('a program that puts another file in its place gets the mail there', async () => {
  writeFileSync(path, 'From a\n\n', { mode: 0o600 })
  const box = mbox()
  await box.append(message('From b\n\n'))
  writeFileSync(join(home, 'new'), 'From c\n\n', { mode: 0o600 })
  renameSync(join(home, 'new'), path)
  await box.append(message('From d\n\n'))
  assert.equal(readFileSync(path, 'latin1'), 'From c\n\nFrom d\n\n')
})

test('links, directories and what has two names are refused, and nothing of them is touched', async () => {
  const victim = join(home, 'victim')
  writeFileSync(victim, 'precious', { mode: 0o600 })
  symlinkSync(victim, path)
  await assert.rejects(mbox().append(message('From a\n\n')), { code: 'ELOOP' })
  rmSync(path)
  linkSync(victim, path)
  await assert.rejects(mbox().append(message('From a\n\n')), MailboxRefused)
  rmSync(path)
  mkdirSync(path)
  await assert.rejects(mbox().append(message('From a\n\n')), { code: 'EISDIR' })
  assert.equal(readFileSync(victim, 'latin1'), 'precious')
  assert.equal(existsSync(`${path}.lock`), false)
})

test('no directory on the way may be one that others change', () => {
  const inner = join(home, 'a/b')
  mkdirSync(inner, { recursive: true, mode: 0o700 })
  checkWay(inner, { uid, gid })
  if (uid !== 0) assert.throws(() => checkWay(inner, { uid: uid + 1, gid }), MailboxRefused)
  chmodSync(join(home, 'a'), 0o777)
  assert.throws(() => checkWay(inner, { uid, gid }), MailboxRefused)
  chmodSync(join(home, 'a'), 0o1777)
  checkWay(inner, { uid, gid })
  assert.throws(() => checkWay(join(home, 'c'), { uid, gid }), { code: 'ENOENT' })
  writeFileSync(join(home, 'file'), '')
  assert.throws(() => checkWay(join(home, 'file'), { uid, gid }), MailboxRefused)
})
