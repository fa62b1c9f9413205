/**
 * SPF from noise: records of any shape are read or refused, and check_host() over zones made at random always comes to
 * an end, with a result of RFC 7208 and within the number of questions that its section 4.6.4 allows.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import type { DnsRecord } from '../../services/resolver/dns/message.ts'
import { checkHost } from '../../services/resolver/spf/check-host.ts'
import { readRecord } from '../../services/resolver/spf/record.ts'

const RESULTS = ['pass', 'fail', 'softfail', 'neutral', 'none', 'temperror', 'permerror']
/**
 * Ten terms: of an `mx` one question and ten hosts, of a `ptr` or `%{p}` one and ten names; a record for each include,
 * the first one, and an explanation with a `%{p}` in its name and in its text.
 */
const MOST_QUESTIONS = 10 * (1 + 10 + 11) + 11 + 1 + 22

const names = ['a.example', 'b.example', 'c.example', 'd.example'] as const
const name = fc.constantFrom(...names)
const macro = fc.constantFrom(
  '%{d}',
  '%{i}',
  '%{p}.a.example',
  '%{s}',
  '%{l1r-}.b.example',
  '%{h}',
  '%%',
  '%{x}',
  '%',
)
const target = fc.oneof(name, macro, fc.string({ maxLength: 5 }))
const sign = fc.constantFrom('', '+', '-', '~', '?')
const prefix = fc.constantFrom('', '/24', '//64', '/0//0', '/33', '/x')
const term = fc.oneof(
  fc
    .tuple(sign, fc.constantFrom('include:', 'exists:', 'a:', 'mx:', 'ptr:'), target, prefix)
    .map((parts) => parts.join('')),
  fc
    .tuple(sign, fc.constantFrom('all', 'a', 'mx', 'ptr', 'ip4:192.0.2.0/24', 'ip6:2001:db8::/32', 'ip4:'))
    .map((parts) => parts.join('')),
  fc.tuple(fc.constantFrom('redirect=', 'exp=', 'other='), target).map((parts) => parts.join('')),
  fc.string({ maxLength: 8 }),
)
const spf = fc.array(term, { maxLength: 14 }).map((terms) => `v=spf1 ${terms.join(' ')}`)

test('any record is read or refused', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        spf,
        fc.string().map((text) => `v=spf1 ${text}`),
      ),
      (text) => {
        const record = readRecord(text)
        assert.ok(record === null || Array.isArray(record.directives))
      },
    ),
    { numRuns: 2000 },
  )
})

test('a record that is made to cost time costs little', () => {
  const most = '%{'.repeat(30_000)
  for (const text of [
    `include:${most}`,
    'a/'.repeat(30_000),
    `exp=${'%{d'.repeat(20_000)}`,
    `ip4:${'1'.repeat(60_000)}`,
  ])
    assert.ok(readRecord(`v=spf1 ${text}`) === null, text.slice(0, 20))
  assert.ok(
    readRecord(`v=spf1 a:${'a.'.repeat(30_000)}example`) !== null,
    'a name that is too long matches nothing',
  )
})

const found = (records: DnsRecord[]): Answer => ({ kind: 'records', records, ttl: 60, secure: false })
const head = { name: 'a.example', ttl: 60 }
const record = fc.oneof(
  { weight: 6, arbitrary: spf.map((text): DnsRecord => ({ ...head, kind: 'txt', text })) },
  { weight: 1, arbitrary: fc.string().map((text): DnsRecord => ({ ...head, kind: 'txt', text })) },
)
const host = fc.oneof(
  name.map((exchange): DnsRecord => ({ ...head, kind: 'mx', preference: 10, exchange })),
  name.map((one): DnsRecord => ({ ...head, kind: 'ptr', target: one })),
  fc.constantFrom('192.0.2.1', '198.51.100.7', '2001:db8::1').map(
    (address): DnsRecord => ({
      ...head,
      kind: 'address',
      type: address.includes(':') ? 'AAAA' : 'A',
      address,
    }),
  ),
)
const trouble = fc.constantFrom<Answer>(
  { kind: 'nodata', ttl: 60, secure: false },
  { kind: 'nxdomain', ttl: 60, secure: false },
  { kind: 'failed', why: 'SERVFAIL', ttl: 0, trouble: 'said' },
)
const texts = fc.array(record, { minLength: 1, maxLength: 2 }).map(found)
const answers = {
  TXT: fc.oneof(
    { weight: 8, arbitrary: fc.array(record, { minLength: 1, maxLength: 1 }).map(found) },
    texts,
    trouble,
  ),
  other: fc.oneof(
    { weight: 4, arbitrary: fc.array(host, { minLength: 1, maxLength: 12 }).map(found) },
    trouble,
  ),
}
const zone = fc.record({
  texts: fc.array(answers.TXT, { minLength: names.length, maxLength: names.length }),
  others: fc.array(answers.other, { minLength: 1, maxLength: 8 }),
})

test('check_host() ends within its limits, whatever DNS says', () => {
  fc.assert(
    fc.property(
      zone,
      fc.constantFrom('192.0.2.1', '2001:db8::1'),
      fc.constantFrom('x@a.example', '', 'a-b@b.example', '"@"@c.example', 'x@[192.0.2.1]'),
      ({ texts: said, others }, client, sender) => {
        const machine = checkHost({ client, helo: 'd.example', sender, receiver: 'mx.example', time: 1 })
        let asked = 0
        let step = machine.next()
        while (!step.done) {
          assert.ok(++asked <= MOST_QUESTIONS, 'too many questions')
          const { name: wanted, type } = step.value
          assert.ok(wanted.length <= 253)
          const at = names.indexOf(wanted as (typeof names)[number])
          const text = at < 0 ? undefined : said[at]
          const answer = type === 'TXT' ? text : others[asked % others.length]
          step = machine.next(answer ?? { kind: 'nxdomain', ttl: 60, secure: false })
        }
        const { result, explanation } = step.value
        assert.ok(RESULTS.includes(result), result)
        assert.ok(explanation === null || (result === 'fail' && /^[\x20-\x7e]*$/.test(explanation)))
      },
    ),
    { numRuns: 3000 },
  )
})
