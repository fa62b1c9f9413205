/** Address lists as RFC 5322 has them, and those that are none. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readAddresses } from '../../shared/message/address-list.ts'

const good: readonly (readonly [string, readonly string[]])[] = [
  ['', []],
  ['root', ['root']],
  ['root (Charlie Root)', ['root']],
  ['ann@example.org', ['ann@example.org']],
  [' ann@example.org ,bob@example.net,, ', ['ann@example.org', 'bob@example.net']],
  ['Ann Bee <ann@example.org>, <bob@example.net>', ['ann@example.org', 'bob@example.net']],
  ['"Bee, Ann" <ann@example.org>', ['ann@example.org']],
  ['"Ann \\"A\\" Bee" <ann@example.org>', ['ann@example.org']],
  ['Ann Q. Bee <ann@example.org>', ['ann@example.org']],
  ['Ann [work] <ann@example.org>', ['ann@example.org']],
  ['=?utf-8?q?Bj=C3=B6rn=2C_A=2E?= <bjorn@example.org>', ['bjorn@example.org']],
  ['ann@example.org (Ann (the (third)) Bee)', ['ann@example.org']],
  ['(for) ann (at) @ (home) example . org', ['ann@example.org']],
  ['(a \\) b) ann@example.org', ['ann@example.org']],
  ['friends: ann@example.org, Bob <bob@example.net>;, cyd', ['ann@example.org', 'bob@example.net', 'cyd']],
  ['undisclosed-recipients:;', []],
  ['"a group": ann@x.org;', ['ann@x.org']],
  ['half a group: ann@x.org', ['ann@x.org']],
  ['<@relay.example,@other.example:ann@example.org>', ['ann@example.org']],
  ['"two words"@example.org', ['"two words"@example.org']],
  ['"ann"@example.org', ['ann@example.org']],
  ['"a\\"b\\\\c"@example.org', ['"a\\"b\\\\c"@example.org']],
  ['ann."x"@example.org', ['ann.x@example.org']],
  ['ann..bee.@example.org', ['ann..bee.@example.org']],
  ['ann@[192.0.2.1], bob@[IPv6:2001:db8::1]', ['ann@[192.0.2.1]', 'bob@[IPv6:2001:db8::1]']],
  ['jörg@bücher.example', ['jörg@bücher.example']],
  ['host!user%elsewhere', ['host!user%elsewhere']],
  ['<>', []],
]
for (const [text, list] of good)
  test(`${JSON.stringify(text)}`, () => assert.deepEqual(readAddresses(text), { kind: 'good', list }))

const bad = [
  'two words',
  'ann+"x"@example.org',
  'ann bee@example.org',
  'ann@two words',
  'ann@',
  '@example.org',
  'ann@b@c',
  'ann@example.org bob@example.net',
  'Ann <ann@example.org',
  'Ann ann@example.org>',
  '<ann@example.org> bob',
  '<ann@example.org>>',
  '"never closed',
  '(never closed',
  'ann@example.org; bob@example.net',
  'a: b: c;;',
  ':include:/etc/passwd',
  'back\\slash',
  '[192.0.2.1]',
  'ann@[192.0.2.1',
  'ann@"example.org"',
  'nul\0@example.org',
  '"nul\0"@example.org',
  '"line\nend"@example.org',
  '"line\r\nend"@example.org',
  `${'x'.repeat(1001)}`,
  '<@relay.example ann@example.org>',
]
for (const text of bad)
  test(`${JSON.stringify(text).slice(0, 60)} is no address list`, () =>
    assert.equal(readAddresses(text).kind, 'bad', JSON.stringify(readAddresses(text))))

test('the entry that is wrong is named', () => {
  assert.deepEqual(readAddresses('ann@x.org, two words'), { kind: 'bad', what: 'two words' })
})

test('whatever comes, it ends, and no address can end a line or a path', () => {
  const letters = fc.constantFrom(...'ab.@,:;<>()[]"\\ \t\r\n\0é!'.split(''))
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 60 }), (characters) => {
      const read = readAddresses(characters.join(''))
      if (read.kind === 'bad') return
      for (const address of read.list) {
        assert.doesNotMatch(address, /[\r\n\0]/)
        assert.match(address, /^(?:"(?:[^"\\]|\\.)*"|[^\s"<>@]+)(?:@[^\s"<>@]+)?$/u)
      }
    }),
    { numRuns: 5000 },
  )
})

test('what was read, read again, is the same', () => {
  for (const [, list] of good) assert.deepEqual(readAddresses(list.join(', ')), { kind: 'good', list })
})

test('a list of many is read in one pass', () => {
  const text = Array.from({ length: 50_000 }, (_none, n) => `User ${n} (x) <u${n}@example.org>`).join(', ')
  const read = readAddresses(text)
  assert.equal(read.kind === 'good' && read.list.length, 50_000)
})
