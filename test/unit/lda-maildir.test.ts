/** A real Maildir on a real disk: made, checked, written to, failed on, swept. */
import assert from 'node:assert/strict'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { DirectorySync } from '../../services/lda/directory-sync.ts'
import { failureOutcome, MailboxRefused } from '../../services/lda/failure.ts'
import { Maildir } from '../../services/lda/maildir.ts'

const uid = process.geteuid?.() ?? 0
let home = ''

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'posthorn-lda-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

function made(path = join(home, 'Maildir')): Maildir {
  const maildir = new Maildir(path)
  maildir.create(home, uid)
  return maildir
}

test('a missing Maildir is made with 0700, also below directories that are missing', () => {
  const maildir = new Maildir(join(home, 'mail/inner/Maildir'))
  assert.throws(() => maildir.check(uid), { code: 'ENOENT' })
  assert.equal(maildir.create(home, uid), true)
  maildir.check(uid)
  assert.equal(maildir.create(home, uid), false)
  for (const directory of ['mail', 'mail/inner/Maildir', 'mail/inner/Maildir/new'])
    assert.equal(statSync(join(home, directory)).mode & 0o777, 0o700)
})

test('a missing home is made in a directory of our own, nowhere else', () => {
  const missing = join(home, 'virtual')
  const maildir = new Maildir(join(missing, 'Maildir'))
  assert.throws(() => maildir.create(missing, uid + 1), { code: 'ENOENT' })
  assert.equal(existsSync(missing), false)
  assert.equal(maildir.create(missing, uid), true)
  maildir.check(uid)
})

test('a home in a place that is missing is not made', () => {
  const missing = join(home, 'not-mounted/ann')
  assert.throws(() => new Maildir(join(missing, 'Maildir')).create(missing, uid), { code: 'ENOENT' })
  assert.equal(existsSync(join(home, 'not-mounted')), false)
})

test('a copy is in new only after commit, with mode 0600 and nothing left in tmp', async () => {
  const maildir = made()
  const copy = maildir.begin('one')
  copy.write(Buffer.from('Subject: x\n'))
  copy.write(Buffer.from('\nbody\n'))
  assert.deepEqual(readdirSync(join(maildir.path, 'new')), [])
  await copy.commit()
  const file = join(maildir.path, 'new/one')
  assert.equal(readFileSync(file, 'utf8'), 'Subject: x\n\nbody\n')
  assert.equal(statSync(file).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(join(maildir.path, 'tmp')), [])
})

test('a discarded copy leaves nothing', () => {
  const maildir = made()
  const copy = maildir.begin('one')
  copy.write(Buffer.from('half a'))
  copy.discard()
  copy.discard()
  assert.deepEqual(readdirSync(join(maildir.path, 'tmp')), [])
  assert.throws(() => copy.write(Buffer.from('x')), /closed/)
})

test('a commit that fails is not in new and not in tmp', async () => {
  const maildir = made()
  const copy = maildir.begin('one')
  rmSync(join(maildir.path, 'new'), { recursive: true })
  await assert.rejects(copy.commit(), { code: 'ENOENT' })
  assert.deepEqual(readdirSync(join(maildir.path, 'tmp')), [])
})

test('an existing file or link of the same name in tmp is not written through', () => {
  const maildir = made()
  const elsewhere = join(home, 'victim')
  writeFileSync(elsewhere, 'keep')
  symlinkSync(elsewhere, join(maildir.path, 'tmp/one'))
  assert.throws(() => maildir.begin('one'), { code: 'EEXIST' })
  assert.equal(readFileSync(elsewhere, 'utf8'), 'keep')
})

test('links in place of directories, files, and foreign owners are refused', () => {
  const real = made(join(home, 'real'))
  symlinkSync(real.path, join(home, 'link'))
  assert.throws(() => new Maildir(join(home, 'link')).check(uid), MailboxRefused)
  writeFileSync(join(home, 'file'), '')
  assert.throws(() => new Maildir(join(home, 'file')).check(uid), MailboxRefused)
  assert.throws(() => real.check(uid + 1), /belongs to uid/)
  rmSync(join(real.path, 'new'), { recursive: true })
  mkdirSync(join(home, 'outside'))
  symlinkSync(join(home, 'outside'), join(real.path, 'new'))
  assert.throws(() => real.check(uid), MailboxRefused)
})

test('files older than 36 hours are swept from tmp, younger ones stay', () => {
  const maildir = made()
  const now = Date.now()
  for (const [name, hours] of [
    ['old', 37],
    ['young', 35],
  ] as const) {
    const file = join(maildir.path, 'tmp', name)
    writeFileSync(file, '')
    const then = new Date(now - hours * 3_600_000)
    utimesSync(file, then, then)
  }
  assert.equal(maildir.sweep(now), 1)
  assert.deepEqual(readdirSync(join(maildir.path, 'tmp')), ['young'])
})

test('directory syncs are shared, and a missing directory fails all who asked', async () => {
  const sync = new DirectorySync(home)
  const first = sync.join()
  const second = sync.join()
  const third = sync.join()
  assert.notEqual(first, second)
  assert.equal(second, third)
  await Promise.all([first, second, third])
  await sync.join()
  rmSync(home, { recursive: true })
  const results = await Promise.allSettled([sync.join(), sync.join(), sync.join()])
  assert.deepEqual(
    results.map((result) => result.status),
    ['rejected', 'rejected', 'rejected'],
  )
})

test('every failure is later; shortage of ours blames nobody', () => {
  const error = (code: string) => Object.assign(new Error(code), { code })
  const facts = (cause: unknown) => {
    const outcome = failureOutcome(cause)
    const { kind, reply } = outcome
    const blame = outcome.kind === 'later' ? outcome.blame : null
    return [kind, blame, reply.code, reply.enhanced]
  }
  assert.deepEqual(facts(error('ENOSPC')), ['later', 'recipient', 452, '4.3.1'])
  assert.deepEqual(facts(error('EDQUOT')), ['later', 'recipient', 452, '4.2.2'])
  assert.deepEqual(facts(error('EACCES')), ['later', 'recipient', 451, '4.2.0'])
  assert.deepEqual(facts(error('EMFILE')), ['later', 'ours', 451, '4.3.0'])
  assert.deepEqual(facts(error('toString')), ['later', 'ours', 451, '4.3.0'])
  assert.deepEqual(facts(new MailboxRefused('x')), ['later', 'recipient', 451, '4.2.0'])
  assert.deepEqual(facts('not an error'), ['later', 'ours', 451, '4.3.0'])
})
