/** What a host must be good for: the table of `tls-policy.ts`, row by row, and what shares a connection. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  keyOf,
  type Ruling,
  rulingFor,
  type SmtpRoute,
  type Wanted,
  wantedBy,
} from '../../services/smtpc/tls-policy.ts'
import { STRAIGHT, type Way } from '../../services/smtpc/way.ts'
import type { Host, Sts, TlsaRecord } from '../../shared/message/route.ts'

const plain: Wanted = { requireTls: false, demand: null, login: false, domain: null }
const record: TlsaRecord = { usage: 3, selector: 1, matching: 1, data: 'ab'.repeat(32) }
const pkix: TlsaRecord = { ...record, usage: 1 }
const sts: Sts = { mode: 'enforce', domain: 'd.example', mx: ['mx.d.example', '*.hosts.example'] }

function host(more: Partial<Host> = {}): Host {
  return { name: 'mx.d.example', addresses: ['192.0.2.1'], port: 25, preference: 0, ...more }
}

function route(hosts: Host[], more: Partial<SmtpRoute> = {}): SmtpRoute {
  return { kind: 'smtp', zone: '.', destination: 'mx.d.example', protocol: 'smtp', hosts, ...more }
}

function way(level: Way['tls']['level'], more: Partial<Way> = {}): Way {
  return {
    ...STRAIGHT,
    tls: { level, fingerprints: level === 'fingerprint' ? ['f'] : [] },
    key: level,
    ...more,
  }
}

function ruled(one: Way, of: Host, more: Partial<SmtpRoute> = {}, wanted: Partial<Wanted> = {}): Ruling {
  return rulingFor(one, route([of], more), of, { ...plain, ...wanted })
}

/** `dane never dane`: by which policy, when in clear, what is looked at. */
function said(ruling: Ruling): string {
  if (ruling.kind === 'unfit') return `${ruling.why} ${ruling.reply.code} ${ruling.reply.enhanced}`
  const { check, clear, lenient, name } = ruling.policy
  return `${name} ${clear} ${check.kind}${lenient ? ' lenient' : ''}`
}

const found = (...records: TlsaRecord[]) => host({ tlsa: { kind: 'found', base: 'mx.d.example', records } })
const lost = host({ tlsa: { kind: 'failed' } })

test('each level of the config', () => {
  assert.equal(said(ruled(way('none'), found(record))), 'none always nothing')
  assert.equal(said(ruled(way('opportunistic'), found(record))), 'opportunistic allowed nothing')
  assert.equal(said(ruled(way('encrypt'), host())), 'encrypt never nothing')
  assert.equal(said(ruled(way('fingerprint'), host())), 'fingerprint never pinned')
  assert.equal(said(ruled(way('dane-only'), found(record))), 'dane never dane')
  for (const none of [host(), found(pkix)])
    assert.equal(said(ruled(way('dane-only'), none)), 'dane-required 451 4.7.5')
  const verify = ruled(way('verify'), host())
  assert.deepEqual(verify.kind === 'use' && verify.policy.check, {
    kind: 'authority',
    names: ['mx.d.example'],
  })
  const named = ruled(way('verify', { tlsNames: ['.example.org'] }), host())
  assert.deepEqual(named.kind === 'use' && named.policy.check, { kind: 'authority', names: ['.example.org'] })
})

test('what the domain has published, by default', () => {
  assert.equal(said(ruled(STRAIGHT, host())), 'opportunistic allowed nothing')
  assert.equal(said(ruled(STRAIGHT, found(record))), 'dane never dane')
  assert.equal(said(ruled(STRAIGHT, found(pkix, record))), 'dane never dane')
  assert.equal(said(ruled(STRAIGHT, found(pkix))), 'dane-unusable never nothing')
  assert.equal(said(ruled(STRAIGHT, lost)), 'dnssec-invalid 451 4.7.5')
  assert.equal(said(ruled(way('opportunistic'), lost)), 'opportunistic allowed nothing', 'nobody asked')
  assert.equal(said(ruled(way('encrypt'), lost)), 'encrypt never nothing')
})

test('MTA-STS, which never takes the place of DANE', () => {
  assert.equal(said(ruled(STRAIGHT, host(), { sts })), 'sts never authority')
  assert.equal(said(ruled(STRAIGHT, found(record), { sts })), 'dane never dane')
  assert.equal(said(ruled(STRAIGHT, lost, { sts })), 'dnssec-invalid 451 4.7.5')
  assert.equal(said(ruled(STRAIGHT, found(pkix), { sts })), 'sts never authority')
  const testing = { sts: { ...sts, mode: 'testing' } } as const
  assert.equal(said(ruled(STRAIGHT, host(), testing)), 'sts-testing allowed authority lenient')
  assert.equal(
    said(ruled(way('encrypt'), host(), { sts })),
    'encrypt never nothing',
    'the config has its word',
  )
})

test('the names of an MTA-STS policy: a wildcard is one label', () => {
  const use = (name: string) => ruled(STRAIGHT, host({ name }), { sts }).kind
  assert.equal(use('a.hosts.example'), 'use')
  assert.equal(use('MX.d.example'), 'use')
  for (const name of ['hosts.example', 'a.b.hosts.example', 'xhosts.example', 'other.d.example'])
    assert.equal(use(name), 'unfit', name)
})

test("the sender's demand and the policy: the stricter counts", () => {
  const demand = (one: Way, of: Host, what: Wanted['demand'], more: Partial<SmtpRoute> = {}) =>
    said(ruled(one, of, more, { demand: what }))
  assert.equal(demand(STRAIGHT, host(), 'none'), 'none always nothing')
  assert.equal(demand(STRAIGHT, host(), 'encrypted'), 'encrypt never nothing')
  assert.equal(demand(way('none'), host(), 'verified'), 'verify never authority')
  assert.equal(demand(STRAIGHT, found(record), 'none'), 'dane never dane')
  assert.equal(demand(STRAIGHT, found(record), 'verified'), 'dane never dane')
  assert.equal(demand(STRAIGHT, found(pkix), 'verified'), 'verify never authority')
  assert.equal(demand(way('encrypt'), host(), 'none'), 'encrypt never nothing')
  const testing: Partial<SmtpRoute> = { sts: { ...sts, mode: 'testing', mx: ['nobody.example'] } }
  assert.equal(demand(STRAIGHT, host(), 'verified', testing), 'verify never authority')
  assert.equal(demand(STRAIGHT, host(), 'encrypted', testing), 'sts-testing never authority lenient')
  const own = { identity: { certificate: '/c', key: '/k' } }
  assert.equal(said(ruled(way('opportunistic', own), host())), 'encrypt never nothing')
})

test('REQUIRETLS only where it is proven who the hosts are', () => {
  const asked = (of: Host, more: Partial<SmtpRoute>) => said(ruled(STRAIGHT, of, more, { requireTls: true }))
  assert.equal(asked(host(), {}), 'requiretls 550 5.7.30')
  assert.equal(asked(host(), { sts: { ...sts, mode: 'testing' } }), 'requiretls 550 5.7.30')
  assert.equal(asked(host(), { sts }), 'sts never authority')
  assert.equal(asked(host(), { secure: true }), 'verify never authority')
  assert.equal(asked(found(record), { secure: true }), 'dane never dane')
})

test('connections are shared only where all that was held against the host is the same', () => {
  const key = (one: Way, of: SmtpRoute, wanted: Partial<Wanted> = {}) =>
    keyOf(one, of, { ...plain, ...wanted })
  const keys = [
    key(STRAIGHT, route([host()])),
    key(way('encrypt'), route([host()])),
    key(STRAIGHT, route([host()], { sts })),
    key(STRAIGHT, route([host()], { sts: { ...sts, mode: 'testing' } })),
    key(STRAIGHT, route([found(record)])),
    key(STRAIGHT, route([found(pkix)])),
    key(STRAIGHT, route([lost])),
    key(STRAIGHT, route([host()]), { demand: 'verified' }),
    key(STRAIGHT, route([host()]), { requireTls: true }),
    key(STRAIGHT, route([host()], { secure: true }), { requireTls: true }),
  ]
  assert.equal(new Set(keys).size, keys.length)
  assert.equal(key(STRAIGHT, route([host()])), key(STRAIGHT, route([host()], { secure: true })))
})

test("the recipients' domain is a name of the host's for DANE-TA, where they have one", () => {
  const anchored = route([found({ ...record, usage: 2 })])
  const to = (...addresses: string[]) => ({
    route: anchored,
    recipients: addresses.map((address, n) => ({ address, n })),
  })
  assert.equal(wantedBy(to('a@d.example', 'b@d.example')).domain, 'd.example')
  assert.equal(wantedBy(to('a@d.example', 'b@e.example')).domain, null)
  assert.equal(wantedBy({ ...to('a@d.example'), route: route([found(record)]) }).domain, null)
})
