/**
 * The path and mailbox grammar: what RFC 5321 allows comes out in normal form, what it does not is refused, and
 * no text whatever does anything else.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatAddress,
  literalAddress,
  measurePath,
  type ParsedAddress,
  type PathOptions,
  parseMailbox,
  parsePath,
} from '../../shared/smtp/address.ts'
import { anyCharacter } from '../support/any-character.ts'

function shown(parsed: ParsedAddress): string {
  return parsed.ok ? `${parsed.address.local}|${parsed.address.domain}` : parsed.problem
}

const cases: [path: string, expected: string, options?: PathOptions][] = [
  ['<user@example.org>', 'user|example.org'],
  ['<User.Name+detail@EXAMPLE.org>', 'User.Name+detail|example.org'],
  ["<!#$%&'*+-/=?^_`{|}~@example.org>", "!#$%&'*+-/=?^_`{|}~|example.org"],
  ['<a@localhost>', 'a|localhost'],
  ['<a@my_host.example.org>', 'a|my_host.example.org'],
  ['<a@xn--bcher-kva.example>', 'a|xn--bcher-kva.example'],
  ['<"user"@example.org>', 'user|example.org'],
  ['<"a b"@example.org>', 'a b|example.org'],
  ['<"a@b"@example.org>', 'a@b|example.org'],
  ['<"a\\"b\\\\c"@example.org>', 'a"b\\c|example.org'],
  ['<"a>b"@example.org>', 'a>b|example.org'],
  ['<""@example.org>', '|example.org'],
  ['<a@[127.0.0.1]>', 'a|[127.0.0.1]'],
  ['<a@[IPv6:::1]>', 'a|[IPv6:::1]'],
  ['<a@[ipv6:2001:DB8:0:0::1]>', 'a|[IPv6:2001:db8::1]'],
  ['<@a.example,@b.example:user@c.example>', 'user|c.example'],
  ['<@a.example:user@[IPv6:::1]>', 'user|[IPv6:::1]'],
  ['<@[127.0.0.1]:user@c.example>', 'user|c.example'],
  ['<postmaster>', 'postmaster|'],
  ['<PostMaster>', 'PostMaster|'],
  ['<>', '|', { allowNull: true }],
  ['<user>', 'user|', { unqualified: true }],
  ['<jörg@example.org>', 'jörg|example.org', { utf8: true }],
  ['<"j ö"@example.org>', 'j ö|example.org', { utf8: true }],
  ['<a@bücher.example>', 'a|xn--bcher-kva.example', { utf8: true }],
  ['<用户@例子.测试>', '用户|xn--fsqu00a.xn--0zwm56d', { utf8: true }],
  [`<${'a'.repeat(64)}@example.org>`, `${'a'.repeat(64)}|example.org`],
  [`<a@${'b'.repeat(63)}.org>`, `a|${'b'.repeat(63)}.org`],

  ['<>', 'syntax'],
  ['', 'syntax'],
  ['<', 'syntax'],
  ['>', 'syntax'],
  ['user@example.org', 'syntax'],
  ['<user@example.org', 'syntax'],
  ['<@example.org>', 'syntax'],
  ['<@a.example:>', 'syntax'],
  ['<@a.example,b.example:user@c.example>', 'syntax'],
  ['<@a b:user@c.example>', 'syntax'],
  ['<user>', 'unqualified'],
  ['<"">', 'local-part'],
  ['<user@>', 'domain'],
  ['<us er@example.org>', 'syntax'],
  ['<user@example.org@example.net>', 'domain'],
  ['<.user@example.org>', 'local-part'],
  ['<user.@example.org>', 'syntax'],
  ['<us..er@example.org>', 'syntax'],
  ['<"user@example.org>', 'local-part'],
  ['<"us"er@example.org>', 'syntax'],
  ['<us"er"@example.org>', 'syntax'],
  ['<us(er)@example.org>', 'syntax'],
  ['<user@example.org.>', 'domain'],
  ['<user@.example.org>', 'domain'],
  ['<user@exa..mple.org>', 'domain'],
  ['<user@-example.org>', 'domain'],
  ['<user@example-.org>', 'domain'],
  ['<user@exam ple.org>', 'domain'],
  ['<user@127.0.0.1>', 'domain'],
  ['<user@0x7f.1>', 'domain'],
  ['<user@[127.0.0.256]>', 'domain'],
  ['<user@[127.0.0.1>', 'domain'],
  ['<user@[::1]>', 'domain'],
  ['<user@[IPv6:fe80::1%eth0]>', 'domain'],
  ['<user@[IPv6:127.0.0.1]>', 'domain'],
  ['<user@[x-tag:value]>', 'domain'],
  ['<us\u0000er@example.org>', 'syntax'],
  ['<user\r\n@example.org>', 'syntax'],
  ['<"us\rer"@example.org>', 'local-part'],
  ['<jörg@example.org>', 'needs-utf8'],
  ['<a@bücher.example>', 'needs-utf8'],
  ['<us\ufffder@example.org>', 'syntax', { utf8: true }],
  ['<us\u0085er@example.org>', 'syntax', { utf8: true }],
  ['<us\ud800er@example.org>', 'syntax', { utf8: true }],
  ['<a@ex\ufffdmple.org>', 'domain', { utf8: true }],
  ['<a@１２７.０.０.１>', 'domain', { utf8: true }],
  [`<${'a'.repeat(65)}@example.org>`, 'too-long'],
  [`<"${'\\"'.repeat(32)}"@example.org>`, 'too-long'],
  [`<${'ö'.repeat(33)}@example.org>`, 'too-long', { utf8: true }],
  [`<a@${'b'.repeat(64)}.org>`, 'domain'],
  [`<a@${'b.'.repeat(127)}bb>`, 'domain'],
  [`<abcd@${'b.'.repeat(124)}bb>`, 'too-long'],
]

for (const [path, expected, options] of cases) {
  const title = path.length > 60 ? `${path.slice(0, 60)}…` : path
  test(`${JSON.stringify(title)} ${JSON.stringify(options ?? {})} is ${expected.slice(0, 60)}`, () => {
    assert.equal(shown(parsePath(path, options)), expected)
  })
}

test('a parsed address survives being written and read again', () => {
  for (const [path, , options] of cases) {
    const parsed = parsePath(path, options)
    if (!parsed.ok) continue
    const again = parsePath(`<${formatAddress(parsed.address)}>`, options)
    assert.deepEqual(again, parsed, path)
  }
})

test('the end of a path is found behind quotes only', () => {
  assert.equal(measurePath('<a@b> SIZE=3'), 5)
  assert.equal(measurePath('<"a> \\">"@b> SIZE=3'), 12)
  assert.equal(measurePath('<>'), 2)
  assert.equal(measurePath('<"a>'), -1)
  assert.equal(measurePath('<"a\\'), -1)
  assert.equal(measurePath('a>'), -1)
})

test('the address inside a literal', () => {
  assert.equal(literalAddress('[127.0.0.1]'), '127.0.0.1')
  assert.equal(literalAddress('[IPv6:::1]'), '::1')
  assert.equal(literalAddress('example.org'), null)
})

test('any local part comes back from its written form', () => {
  const character = fc.constantFrom('a', 'Z', '.', '"', '\\', ' ', '@', '<', '>', '+', 'ö', '用', '😀')
  fc.assert(
    fc.property(fc.string({ unit: character, minLength: 1, maxLength: 12 }), (local) => {
      const text = formatAddress({ local, domain: 'example.org' })
      const parsed = parseMailbox(text, { utf8: true })
      assert.deepEqual(parsed, { ok: true, address: { local, domain: 'example.org' } }, text)
    }),
  )
})

test('no text throws, and what is accepted is bounded, clean and stable', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '@',
    '"',
    '\\',
    '.',
    ',',
    ':',
    '[',
    ']',
    'a',
    'B',
    '1',
    ' ',
    '\r',
    '\n',
    '\0',
    'ö',
    '\ufffd',
    'IPv6:',
    '::1',
    '\ud800',
  )
  const text = fc.oneof(fc.string({ unit: anyCharacter }), fc.string({ unit: piece, maxLength: 40 }))
  const options = fc.record({ allowNull: fc.boolean(), utf8: fc.boolean(), unqualified: fc.boolean() })
  fc.assert(
    fc.property(text, options, (raw, chosen) => {
      for (const candidate of [raw, `<${raw}>`, `<${raw}@example.org>`, `<a@${raw}>`]) {
        const parsed = parsePath(candidate, chosen)
        if (!parsed.ok) continue
        const written = formatAddress(parsed.address)
        assert.ok(Buffer.byteLength(written) <= 254, written)
        assert.doesNotMatch(written, /[\r\n\0]/)
        assert.match(parsed.address.domain, /^[\x21-\x7e]*$/)
        assert.deepEqual(parsePath(`<${written}>`, { ...chosen, unqualified: true }), parsed)
      }
    }),
    { numRuns: 3000 },
  )
})

test('a long hostile text is refused in linear time', () => {
  for (const unit of ['a.', '"', '\\"', '@a,', 'a@', '<']) {
    const parsed = parsePath(`<${unit.repeat(200_000)}>`, { utf8: true })
    assert.equal(parsed.ok, false)
  }
})
