/** `.forward`: what it says, when it is believed, and how loops are found. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import fc from 'fast-check'
import { findForward } from '../../services/lda/forward-file.ts'
import { MOST_TARGETS, readForward } from '../../services/lda/forward-text.ts'
import { whyLoop } from '../../services/qmgr/forwards.ts'

const read = (text: string) => readForward(text, 'Ann+x@example.org', 'ann')

const cases: [title: string, text: string, result: ReturnType<typeof read>][] = [
  ['an address', 'ann@home.example\n', { kind: 'forward', to: ['ann@home.example'], keep: false }],
  ['a copy by backslash', '\\ann, b@x.example', { kind: 'forward', to: ['b@x.example'], keep: true }],
  ['a copy by name', 'ann\nb@x.example', { kind: 'forward', to: ['b@x.example'], keep: true }],
  ['no comma', 'ann+X@Example.org b@x.example', { kind: 'faulty', line: 1, why: '' }],
  [
    'a copy by address',
    'ann+X@Example.org, b@x.example',
    { kind: 'forward', to: ['b@x.example'], keep: true },
  ],
  ['a name here', 'bob', { kind: 'forward', to: ['bob@example.org'], keep: false }],
  ['oneself alone', '\\ann', { kind: 'none' }],
  ['nothing', '', { kind: 'none' }],
  ['comments', '# b@x.example\n\n', { kind: 'none' }],
  ['doubles', 'b@x.example, b@X.example', { kind: 'forward', to: ['b@x.example'], keep: false }],
  ['a command', 'b@x.example\n"|/bin/sh"', { kind: 'faulty', line: 2, why: 'a pipe is not taken here' }],
  ['a file', '/etc/passwd', { kind: 'faulty', line: 1, why: 'a file is not taken here' }],
  ['an include', ':include:/etc/x', { kind: 'faulty', line: 1, why: 'a include is not taken here' }],
]
for (const [title, text, result] of cases) {
  test(`.forward with ${title}`, () => {
    const found = read(text)
    assert.deepEqual(result.kind === 'faulty' && result.why === '' ? { ...found, why: '' } : found, result)
  })
}

test('more than so many addresses are none', () => {
  const lines = (count: number) => Array.from({ length: count }, (_none, n) => `m${n}@x.example`).join('\n')
  assert.equal(read(lines(MOST_TARGETS)).kind, 'forward')
  assert.equal(read(lines(MOST_TARGETS + 1)).kind, 'faulty')
})

test('whatever is in it, addresses come out or a fault', () => {
  const unit = fc.constantFrom(
    'a',
    '@',
    '.',
    ',',
    '"',
    '\\',
    '|',
    '/',
    ':',
    '<',
    '>',
    '(',
    '\n',
    '\0',
    ' ',
    'ü',
  )
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 40 }), (text) => {
      const found = read(text)
      if (found.kind === 'forward') for (const one of found.to) assert.match(one, /@/)
    }),
  )
})

let home = ''
const forward = () => join(home, '.forward')
const uid = process.getuid?.() ?? 0
const find = (as = uid) => findForward({ home, uid: as, user: 'ann', address: 'ann@example.org' })

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'posthorn-forward-'))
  writeFileSync(forward(), 'b@x.example\n', { mode: 0o644 })
})
afterEach(() => rmSync(home, { recursive: true }))

test('a safe one is followed, none is none', () => {
  assert.equal(find().kind, 'forward')
  unlinkSync(forward())
  assert.equal(find().kind, 'none')
})

test('one that others can write is not followed', () => {
  for (const mode of [0o664, 0o646]) {
    chmodSync(forward(), mode)
    assert.deepEqual(find(), { kind: 'unsafe', why: '.forward can be written by others' })
  }
  chmodSync(forward(), 0o600)
  chmodSync(home, 0o770)
  assert.deepEqual(find(), { kind: 'unsafe', why: 'the home can be written by others' })
})

test('of another owner', { skip: uid !== 0 && 'needs root' }, () => {
  chownSync(forward(), 12345, 12345)
  assert.deepEqual(find(), { kind: 'unsafe', why: '.forward belongs to uid 12345' })
  chownSync(home, 12346, 0)
  assert.equal(find(12345).kind, 'unsafe', 'the home is that of somebody else')
})

test('links, FIFOs, directories and what is too large', () => {
  unlinkSync(forward())
  symlinkSync('/etc/passwd', forward())
  assert.deepEqual(find(), { kind: 'unsafe', why: '.forward is a symbolic link' })
  unlinkSync(forward())
  execFileSync('mkfifo', ['-m', '600', forward()])
  assert.deepEqual(find(), { kind: 'unsafe', why: '.forward is not a file' })
  unlinkSync(forward())
  writeFileSync(forward(), 'a'.repeat(70_000))
  assert.equal(find().kind, 'unsafe')
})

test('loops are found by Delivered-To in the header, and nowhere else', () => {
  const loop = (text: string) => whyLoop(Buffer.from(text), 'ann@example.org')
  assert.equal(loop('Delivered-To: bob@example.org\r\nX: y\r\n\r\nDelivered-To: ann@example.org\r\n'), null)
  assert.equal(
    loop('Delivered-To: bob@example.org\r\nDelivered-To: Ann@example.org\r\n\r\n'),
    'Ann@example.org -> bob@example.org -> ann@example.org',
  )
  const many = Array.from({ length: 20 }, (_none, n) => `Delivered-To: u${n}@x.example\r\n`).join('')
  assert.notEqual(loop(`${many}\r\n`), null)
})
