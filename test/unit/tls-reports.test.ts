/** Reports about TLS: what a record says, what is counted of a session, and what is written. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { tlsDestinationsOf, tlsRecordIn } from '../../services/resolver/reports/tls-record.ts'
import {
  type TlsResult,
  tlsReportFile,
  tlsReportJson,
  tlsReportMessage,
} from '../../services/resolver/reports/tls-report.ts'
import { SessionCounts } from '../../services/smtpc/session-counts.ts'
import { type Policy, rulingFor, type SmtpRoute, wantedBy } from '../../services/smtpc/tls-policy.ts'
import { STRAIGHT, type Way } from '../../services/smtpc/way.ts'
import type { TlsCount } from '../../shared/bus/reporting.ts'
import type { Host } from '../../shared/message/route.ts'

test('whom a record wants reports to go to', () => {
  const record = 'v=TLSRPTv1; rua=mailto:a@example.org,https://r.example/x?y=z , mailto:b%21c@other.example'
  assert.equal(tlsRecordIn(['v=spf1 -all', record]), record)
  assert.deepEqual(tlsDestinationsOf(record), {
    mail: ['a@example.org', 'b!c@other.example'],
    web: ['https://r.example/x?y=z'],
  })
  assert.equal(tlsRecordIn([record, record]), null, 'two are none')
  for (const rua of [
    '',
    'mailto:a@x.example!10m',
    'http://x.example/',
    'https://192.0.2.1/',
    'https://[::1]/',
    'https://0x7f000001/',
    'https://x.example:8443/',
    'https://u:p@x.example/',
    'https://',
    'ftp://x.example/',
    'mailto:a%0d%0ab@x.example',
  ])
    assert.equal(tlsRecordIn([`v=TLSRPTv1; rua=${rua}`]), null, rua)
  for (const text of ['v=TLSRPTv2; rua=mailto:a@x.example', 'v=TLSRPTv1', 'rua=mailto:a@x.example'])
    assert.equal(tlsRecordIn([text]), null, text)
  const many = Array.from({ length: 50 }, (_, n) => `https://x.example/${n}`).join(',')
  assert.equal(tlsDestinationsOf(`v=TLSRPTv1; rua=${many}`).web.length, 5)
})

const host: Host = { name: 'mx.example.org', addresses: ['192.0.2.1'], port: 25, preference: 10 }
const sts = { mode: 'enforce', domain: 'example.org', mx: ['mx.example.org'] } as const
const between = { address: '192.0.2.1', local: '192.0.2.9' }
const usable = { usage: 3, selector: 1, matching: 1, data: 'ab'.repeat(32) }

interface Case {
  host?: Host
  way?: Way
  route?: Partial<SmtpRoute>
  sender?: string
  to?: string[]
  login?: boolean
  failure?: 'certificate-expired'
  up?: boolean
  tls?: string
}

function counted(one: Case, times = 1): TlsCount[] {
  const sent: TlsCount[] = []
  const counts = new SessionCounts((some) => void sent.push(...some))
  counts.settings = { from: 'tls@mx.example', relays: ['relay.example'] }
  for (let n = 0; n < times; n++) met(counts, one)
  counts.flush()
  return sent
}

function met(counts: SessionCounts, one: Case): void {
  const at = one.host ?? host
  const way = one.way ?? STRAIGHT
  const route: SmtpRoute = {
    ...{ kind: 'smtp', zone: '.', destination: 'mx.example.org', protocol: 'smtp', hosts: [at] },
    ...one.route,
  }
  const recipients = (one.to ?? ['x@example.org']).map((address, n) => ({ n, address }))
  const delivery = { sender: one.sender ?? 's@mx.example', recipients }
  const wanted = { ...wantedBy({ recipients, route }), login: one.login === true }
  const ruling = rulingFor(way, route, at, wanted)
  if (ruling.kind === 'unfit') return counts.unfit(delivery, route, way, at, ruling.why)
  const { policy }: { policy: Policy } = ruling
  const bad = one.failure ? ({ kind: 'bad', failure: one.failure, why: '' } as const) : null
  const kind = one.up === false ? 'failed' : 'up'
  counts.dialled(delivery, route, way, at, policy, {
    kind,
    bad,
    between,
    session: { tls: one.tls ?? 'TLSv1.3' },
  })
}

const brief = (counts: TlsCount[]) =>
  counts.map(({ domain, policy, result, count }) => `${domain} ${policy} ${result} ${count}`)

test('what is counted of a session', () => {
  const none = { mx: '', address: '', local: '' }
  assert.deepEqual(counted({}, 3), [
    { domain: 'example.org', policy: 'no-policy-found', text: [], hosts: [], result: '', ...none, count: 3 },
  ])
  assert.deepEqual(
    counted({ route: { sts: { ...sts, mx: [...sts.mx] } }, up: false, failure: 'certificate-expired' }),
    [
      {
        ...{ domain: 'example.org', policy: 'sts', hosts: ['mx.example.org'], result: 'certificate-expired' },
        text: ['version: STSv1', 'mode: enforce', 'mx: mx.example.org'],
        ...{ mx: 'mx.example.org', ...between, count: 1 },
      },
    ],
  )
  const dane: Host = { ...host, tlsa: { kind: 'found', base: host.name, records: [usable] } }
  assert.deepEqual(counted({ host: dane })[0]?.text, [`3 1 1 ${usable.data}`])
  assert.deepEqual(brief(counted({ host: dane })), ['example.org tlsa  1'])
  const odd: Host = { ...host, tlsa: { kind: 'found', base: host.name, records: [{ ...usable, usage: 0 }] } }
  assert.deepEqual(brief(counted({ host: odd })), ['example.org tlsa tlsa-invalid 1'])
  const lost: Host = { ...host, tlsa: { kind: 'failed' } }
  assert.deepEqual(brief(counted({ host: lost })), ['example.org tlsa dnssec-invalid 1'])
  const elsewhere = { ...sts, mx: ['other.example'] }
  assert.deepEqual(brief(counted({ route: { sts: elsewhere } })), ['example.org sts validation-failure 1'])
  assert.deepEqual(brief(counted({ tls: '' })), ['example.org no-policy-found starttls-not-supported 1'])
  const only: Way = { ...STRAIGHT, tls: { ...STRAIGHT.tls, level: 'dane-only' } }
  assert.deepEqual(brief(counted({ way: only })), ['example.org tlsa dane-required 1'])
})

test('what is not counted', () => {
  const encrypt: Way = { ...STRAIGHT, tls: { ...STRAIGHT.tls, level: 'encrypt' } }
  const cases: Record<string, Case> = {
    'it never came to TLS': { up: false },
    'our own reports': { sender: 'tls@mx.example' },
    'the word of the config': { way: encrypt },
    'a relay zone': { route: { zone: 'relay.example' } },
    'a relay section': { route: { relay: 'r' } },
    LMTP: { route: { protocol: 'lmtp' } },
    'a login wants more': { login: true },
    'an address without a name': { to: ['x@[192.0.2.1]'] },
  }
  for (const [why, one] of Object.entries(cases)) assert.deepEqual(counted(one), [], why)
  const off = new SessionCounts(() => assert.fail('it is off'))
  met(off, {})
  off.flush()
})

test('domains of one delivery count each, once; many counts leave at once', () => {
  const to = ['a@example.org', 'b@example.org', 'c@bücher.example']
  assert.deepEqual(brief(counted({ to })), [
    'example.org no-policy-found  1',
    'xn--bcher-kva.example no-policy-found  1',
  ])
  const batches: number[] = []
  const counts = new SessionCounts(({ length }) => void batches.push(length))
  counts.settings = { from: '', relays: [] }
  met(counts, { to: Array.from({ length: 450 }, (_, n) => `x@d${n}.example`) })
  counts.flush()
  assert.deepEqual(batches, [100, 100, 100, 100, 50])
})

const due = { day: 20_000, domain: 'example.org', record: '', attempts: 0 }
const author = { from: 'tls@mx.example', organization: 'A "B"', hostname: 'mx.example' }
const fine: TlsResult = {
  ...{ policy: 'sts', text: ['version: STSv1'], hosts: ['*.example.org'], result: '' },
  ...{ mx: '', address: '', local: '', count: 40 },
}
const failed: TlsResult = {
  ...fine,
  result: 'certificate-expired',
  mx: 'mx.example.org',
  ...between,
  count: 2,
}

test('the report, and the message around it', () => {
  const unfit: TlsResult = { ...failed, result: 'validation-failure', address: '', local: '', count: 1 }
  const other: TlsResult = { ...fine, policy: 'no-policy-found', text: [], hosts: [], count: 5 }
  const id = '20000.abc@mx.example'
  const json = tlsReportJson(due, [fine, failed, unfit, other], author, id)
  assert.deepEqual(JSON.parse(json), {
    'organization-name': 'A "B"',
    'date-range': { 'start-datetime': '2024-10-04T00:00:00Z', 'end-datetime': '2024-10-04T23:59:59Z' },
    'contact-info': 'tls@mx.example',
    'report-id': id,
    policies: [
      {
        policy: {
          ...{ 'policy-type': 'sts', 'policy-string': ['version: STSv1'], 'policy-domain': 'example.org' },
          'mx-host': ['*.example.org'],
        },
        summary: { 'total-successful-session-count': 40, 'total-failure-session-count': 3 },
        'failure-details': [
          {
            ...{ 'result-type': 'certificate-expired', 'sending-mta-ip': '192.0.2.9' },
            ...{ 'receiving-mx-hostname': 'mx.example.org', 'receiving-ip': '192.0.2.1' },
            'failed-session-count': 2,
          },
          {
            ...{ 'result-type': 'validation-failure', 'receiving-mx-hostname': 'mx.example.org' },
            'failed-session-count': 1,
          },
        ],
      },
      {
        policy: { 'policy-type': 'no-policy-found', 'policy-domain': 'example.org' },
        summary: { 'total-successful-session-count': 5, 'total-failure-session-count': 0 },
      },
    ],
  })
  const text = tlsReportMessage(due, tlsReportFile(json), author, id, 1_728_100_000_000)(['a@x.example'])
  assert.match(text, /^TLS-Report-Domain: example\.org\r$/m)
  assert.match(text, /^TLS-Report-Submitter: mx\.example\r$/m)
  assert.match(text, /^Content-Type: multipart\/report; report-type="tlsrpt";\r\n boundary="\S+"\r$/m)
  assert.match(text, /filename="mx\.example!example\.org!1728000000!1728086399!20000\.abc\.json\.gz"/)
  const base64 = /base64\r\n\r\n([\s\S]*?)\r\n--/.exec(text)?.[1] ?? ''
  assert.equal(gunzipSync(Buffer.from(base64, 'base64')).toString(), json)
  assert.ok(text.split('\r\n').every((line) => line.length <= 200 && !line.includes('\n')))
})
