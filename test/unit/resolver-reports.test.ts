/** DMARC reports: what a record says about them, what is counted, how it is kept, and what is written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { loadSqlite } from '../../services/resolver/greylist/store.ts'
import { reportMessage, reportXml } from '../../services/resolver/reports/aggregate.ts'
import { destinationsOf, isConsent } from '../../services/resolver/reports/record.ts'
import { type Count, ReportStore } from '../../services/resolver/reports/store.ts'
import { judgeDmarc } from '../../services/smtpd/authentication/dmarc.ts'
import type { Results } from '../../services/smtpd/authentication/results.ts'
import { countOf, Tally } from '../../services/smtpd/authentication/tally.ts'

const record =
  'v=DMARC1; p=quarantine; sp=reject; adkim=s; rua=mailto:a@example.org!10m, mailto:b%21c@other.example'
const count: Count = {
  ...{ domain: 'example.org', record, source: '192.0.2.1', disposition: 'none', reason: '' },
  ...{ dkim: 'pass', spf: 'fail', author: 'example.org', envelope: 'list.example' },
  ...{ spfScope: 'mfrom', spfDomain: 'list.example', spfResult: 'pass' },
  signatures: [{ domain: 'example.org', selector: 's1', result: 'pass' }],
  count: 1,
}
const author = { from: 'dmarc@mx.example', organization: 'A & B', hostname: 'mx.example' }

test('whom a record wants reports to go to', () => {
  assert.deepEqual(destinationsOf(record), [
    { address: 'a@example.org', most: 10 * 2 ** 20 },
    { address: 'b!c@other.example', most: null },
  ])
  for (const rua of [
    '',
    'https://x.example/',
    'mailto:',
    'mailto:%zz@x.example',
    'mailto:a b@x.example',
    'mailto:a%0d%0ab@x.example',
    'mailto:<a@x.example>',
    'mailto:a@x.example!x',
  ])
    assert.deepEqual(destinationsOf(`v=DMARC1; p=none; rua=${rua}`), [], rua)
  const many = Array.from({ length: 50 }, (_, n) => `mailto:a${n}@x.example`).join(',')
  assert.equal(destinationsOf(`v=DMARC1; rua=${many}`).length, 5)
  assert.ok(isConsent('v=DMARC1;') && isConsent('v=DMARC1; rua=mailto:x@y') && !isConsent('v=DMARC2'))
})

test('both proofs are looked at only where somebody wants to hear of it', () => {
  const judge = (text: string, forReport: boolean) => {
    const machine = judgeDmarc({
      from: 'example.org',
      spf: 'example.org',
      dkim: ['other.example', 'example.org'],
      forReport,
    })
    let step = machine.next()
    while (!step.done) step = machine.next(step.value === '_dmarc.example.org' ? [text] : 'absent')
    return step.value
  }
  assert.deepEqual(judge(record, true).published, { domain: 'example.org', record, spf: true, dkim: true })
  assert.equal(judge(record, false).published, undefined)
  assert.equal(judge('v=DMARC1; p=none', true).published, undefined)
})

const origin = {
  hostname: 'mx.example',
  client: '192.0.2.1',
  helo: 'c.example',
  sender: 'x@list.example',
  sealers: [],
}
const results: Results = {
  spf: { result: 'pass', identity: 'mailfrom', value: 'list.example' },
  dkim: [{ result: 'pass', domain: 'example.org', selector: 's1', mark: 'abc' }],
  dmarc: {
    ...{ result: 'pass', policy: 'quarantine', from: 'example.org' },
    published: { domain: 'example.org', record, spf: false, dkim: true },
  },
  arc: null,
}

test('what is counted of a message', () => {
  assert.deepEqual(countOf(origin, results, { refusal: null, hold: false }), count)
  const failed = { ...results, dmarc: { ...results.dmarc, result: 'fail' as const } }
  const kept = countOf(origin, failed, { refusal: null, hold: false })
  assert.deepEqual([kept?.disposition, kept?.reason], ['none', 'local_policy'])
  const held = countOf(origin, failed, { refusal: null, hold: true })
  assert.deepEqual([held?.disposition, held?.reason], ['quarantine', ''])
  const unsure = { ...results, dmarc: { ...results.dmarc, result: 'temperror' as const } }
  assert.equal(countOf(origin, unsure, { refusal: null, hold: false }), null)
})

test('the same twice is one count; nothing leaves while it is off', () => {
  const sent: Count[][] = []
  const tally = new Tally((counts) => void sent.push(counts))
  const one = (client: string) => tally.count({ ...origin, client }, results, { refusal: null, hold: false })
  one('192.0.2.1')
  tally.flush()
  assert.deepEqual(sent, [])
  tally.isOn = true
  for (const client of ['192.0.2.1', '192.0.2.2', '192.0.2.1']) one(client)
  tally.flush()
  assert.deepEqual(sent, [
    [
      { ...count, count: 2 },
      { ...count, source: '192.0.2.2' },
    ],
  ])
  for (let n = 0; n < 500; n++) one(`2001:db8::${n}`)
  const more: readonly Count[][] = sent.slice(1)
  assert.equal(more[0]?.length, 500, 'many leave at once')
})

test('kept by day, bounded, gone when sent', async () => {
  const store = new ReportStore(await loadSqlite(), ':memory:', 3)
  assert.equal(store.add(10, [count, { ...count, count: 4 }, { ...count, source: '192.0.2.2' }]), 0)
  assert.equal(
    store.add(11, [count, { ...count, source: '192.0.2.3', count: 7 }]),
    7,
    'there is room for three',
  )
  assert.equal(store.add(10, [count]), 0, 'what is known still counts')
  const [first, ...rest] = store.due(11, 0, 10)
  assert.ok(first && rest.length === 0)
  assert.deepEqual(first, { day: 10, domain: 'example.org', record, attempts: 0 })
  assert.equal(store.messages(first), 7)
  const { domain: _, record: __, ...facts } = count
  assert.deepEqual(store.results(first, 1), [{ ...facts, count: 6 }])
  store.postpone(first, 5000)
  assert.deepEqual(store.due(11, 4999, 10), [])
  assert.equal(store.due(11, 5000, 10)[0]?.attempts, 1)
  store.remove(first)
  assert.equal(store.due(12, 9999, 10)[0]?.day, 11)
  assert.equal(store.add(11, [{ ...count, source: '192.0.2.4' }]), 0, 'there is room again')
  store.close()
})

test('the report, and the message around it', () => {
  const due = { day: 20_000, domain: 'example.org', record, attempts: 0 }
  const { domain: _, record: __, ...facts } = count
  const rows = [
    facts,
    { ...facts, spfDomain: 'a<b>&\u0000\ud800', envelope: '', reason: 'local_policy' as const },
  ]
  const xml = reportXml(due, rows, author, 'id@mx.example')
  assert.match(xml, /<org_name>A &amp; B</)
  assert.match(xml, /<p>quarantine<\/p><sp>reject<\/sp><np>reject<\/np><adkim>s<\/adkim><aspf>r</)
  assert.match(xml, /<begin>1728000000<\/begin><end>1728086399</)
  assert.match(xml, /<domain>a&lt;b&gt;&amp;\?\?</)
  assert.match(xml, /<envelope_from\/>/)
  const message = reportMessage(due, xml, author, 'id@mx.example', 1_728_100_000_000)
  const text = message.compose(['a@example.org', 'b@other.example'])
  assert.match(
    text,
    /^Subject: Report Domain: example\.org\r\n Submitter: mx\.example\r\n Report-ID: <id@mx\.example>\r$/m,
  )
  assert.match(text, /filename="mx\.example!example\.org!1728000000!1728086399\.xml\.gz"/)
  const base64 = /base64\r\n\r\n([\s\S]*?)\r\n--/.exec(text)?.[1] ?? ''
  assert.equal(gunzipSync(Buffer.from(base64, 'base64')).toString(), xml)
  assert.ok(text.split('\r\n').every((line) => line.length <= 200 && !line.includes('\n')))
})
