/** What the resolver makes of a client: DNS lists, its name, what it says in EHLO, and the sum. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reverseName, sameAddress, turnedRound } from '../../services/resolver/client-address.ts'
import { heloSigns } from '../../services/resolver/client-helo.ts'
import { nameClient, reverseNameOf } from '../../services/resolver/client-name.ts'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import type { DnsRecord } from '../../services/resolver/dns/message.ts'
import { DnsList, matches } from '../../services/resolver/dns-list.ts'
import { parseHosts } from '../../services/resolver/hosts-file.ts'
import { addUp, worst } from '../../services/resolver/score.ts'
import { Screener } from '../../services/resolver/screener.ts'
import { silentLog } from '../../shared/base/log.ts'

const NOTHING: Answer = { kind: 'nxdomain', ttl: 60, secure: false }
const FAILED: Answer = { kind: 'failed', why: 'SERVFAIL', ttl: 0, trouble: 'said' }

function address(name: string, text: string): Answer {
  const type = text.includes(':') ? 'AAAA' : 'A'
  return {
    kind: 'records',
    secure: false,
    records: [{ kind: 'address', name, ttl: 60, type, address: text }],
    ttl: 60,
  }
}

function pointers(name: string, ...targets: string[]): Answer {
  const records = targets.map((target): DnsRecord => ({ kind: 'ptr', name, ttl: 60, target }))
  return { kind: 'records', secure: false, records, ttl: 60 }
}

/** DNS by `TYPE name`; what is not there does not exist. */
function dnsOf(known: Record<string, Answer | Promise<Answer>>) {
  const asked: string[] = []
  const lookup = (name: string, type: string) => {
    asked.push(`${type} ${name}`)
    return known[`${type} ${name}`] ?? NOTHING
  }
  return { lookup, asked }
}

test('addresses are turned round for DNS', () => {
  assert.equal(turnedRound('192.0.2.1'), '1.2.0.192')
  assert.equal(reverseName('192.0.2.1'), '1.2.0.192.in-addr.arpa')
  // RFC 5782 section 2.4
  const turned = 'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4'
  assert.equal(turnedRound('4321:0:1:2:3:4:567:89ab'), turned)
  assert.equal(reverseName('4321:0:1:2:3:4:567:89ab'), `${turned}.ip6.arpa`)
  assert.equal(turnedRound('mx.example.org'), null)
  assert.equal(reverseName(''), null)
})

test('addresses are the same however they are written', () => {
  assert.ok(sameAddress('2001:db8::1', '2001:DB8:0:0::0:1'))
  assert.ok(!sameAddress('2001:db8::1', '2001:db8::2'))
  assert.ok(!sameAddress('0.0.0.1', '::1'))
  assert.ok(!sameAddress('x', 'x'))
})

const range = { from: 0x7f000002, to: 0x7f000004 }

test('a list means what its ranges say', () => {
  const list = { replies: [range, { from: 0x7f00000b, to: 0x7f00000b }] }
  const said = ['127.0.0.1', '127.0.0.2', '127.0.0.4', '127.0.0.5', '127.0.0.11', '127.255.255.254']
  assert.deepEqual(
    said.map((one) => matches(list, one)),
    [false, true, true, false, true, false],
  )
})

test('listed, not listed, or nobody knows', async () => {
  const dns = dnsOf({
    'A 1.2.0.192.bl.example': address('1.2.0.192.bl.example', '127.0.0.3'),
    'A 2.2.0.192.bl.example': address('2.2.0.192.bl.example', '127.255.255.254'),
    'A 3.2.0.192.bl.example': FAILED,
  })
  const list = new DnsList({
    list: { zone: 'bl.example', score: 5, replies: [range] },
    dns,
    log: silentLog,
    now: () => 0,
  })
  assert.equal(await list.ask('192.0.2.1'), 'listed')
  assert.equal(await list.ask('192.0.2.2'), 'not-listed')
  assert.equal(await list.ask('192.0.2.3'), 'unknown')
  assert.equal(await list.ask('192.0.2.4'), 'not-listed')
  assert.equal(await list.ask('nonsense'), 'unknown')
})

test('a dead list is left alone for a while, and asked again after it', async () => {
  let time = 0
  const known: Record<string, Answer> = { 'A 1.2.0.192.bl.example': FAILED }
  const dns = dnsOf(known)
  const list = new DnsList({
    list: { zone: 'bl.example', score: 5, replies: [range] },
    dns,
    log: silentLog,
    now: () => time,
  })
  for (let n = 0; n < 20; n++) assert.equal(await list.ask('192.0.2.1'), 'unknown')
  assert.equal(dns.asked.length, 5)
  time += 60_000
  known['A 1.2.0.192.bl.example'] = address('1.2.0.192.bl.example', '127.0.0.2')
  assert.equal(await list.ask('192.0.2.1'), 'listed')
})

test('a name counts when it leads back to the address', async () => {
  const dns = dnsOf({
    'PTR 1.2.0.192.in-addr.arpa': pointers('1.2.0.192.in-addr.arpa', 'liar.example', 'mx.example'),
    'A mx.example': address('mx.example', '192.0.2.1'),
    'PTR 2.2.0.192.in-addr.arpa': pointers('2.2.0.192.in-addr.arpa', 'mx.example'),
    'PTR 3.2.0.192.in-addr.arpa': FAILED,
    'PTR 4.2.0.192.in-addr.arpa': pointers('4.2.0.192.in-addr.arpa', 'bad name'),
    'PTR 5.2.0.192.in-addr.arpa': pointers('5.2.0.192.in-addr.arpa', 'slow.example'),
    'A slow.example': FAILED,
  })
  const found = await Promise.all([1, 2, 3, 4, 5, 6].map((host) => reverseNameOf(dns, `192.0.2.${host}`)))
  const kinds = found.map(({ kind }) => kind)
  assert.deepEqual(kinds, ['confirmed', 'unconfirmed', 'later', 'none', 'later', 'none'])
})

test('what a client is called: the hosts file first, then the first name that leads back, in good time', async () => {
  const reverse = '1.2.0.192.in-addr.arpa'
  const dns = dnsOf({
    [`PTR ${reverse}`]: pointers(reverse, 'Z.example.', 'b.example', 'a.example'),
    'A z.example': address('z.example', '192.0.2.1'),
    'A b.example': address('b.example', '192.0.2.1'),
    'PTR 2.2.0.192.in-addr.arpa': new Promise<Answer>(() => undefined),
  })
  const { value: hosts } = parseHosts('192.0.2.9 printer printer.lan # ours\n')
  const ask = (client: string) => nameClient({ dns, hosts }, { client }, 10)
  assert.deepEqual(await ask('192.0.2.1'), { kind: 'confirmed', name: 'b.example' })
  assert.deepEqual(await ask('192.0.2.2'), { kind: 'later' })
  dns.asked.length = 0
  assert.deepEqual(await ask('192.0.2.9'), { kind: 'confirmed', name: 'printer' })
  assert.deepEqual(await ask('::1'), { kind: 'confirmed', name: 'localhost' })
  assert.deepEqual(dns.asked, [])
})

test('what may be wrong with EHLO', async () => {
  const dns = dnsOf({
    'A mx.example': address('mx.example', '192.0.2.1'),
    'A other.example': address('other.example', '192.0.2.9'),
    'MX domain.example': {
      kind: 'records',
      secure: false,
      records: [{ kind: 'mx', name: 'domain.example', ttl: 60, preference: 1, exchange: 'mx.example' }],
      ttl: 60,
    },
    'A broken.example': FAILED,
    'AAAA broken.example': FAILED,
  })
  const cases: Record<string, string[]> = {
    'mx.example': [],
    'MX.Example': [],
    'other.example': ['helo-unconfirmed'],
    'domain.example': ['helo-unconfirmed'],
    'nowhere.example': ['helo-unknown', 'helo-unconfirmed'],
    'broken.example': [],
    'here.example': ['helo-own-name', 'helo-unconfirmed'],
    localhost: ['helo-invalid'],
    '192.0.2.1': ['helo-invalid'],
    '[192.0.2.1]': [],
    '[192.0.2.2]': ['helo-other-address'],
    '[IPv6:2001:db8::1]': ['helo-other-address'],
    '[1.2.3]': ['helo-invalid'],
    a_b: ['helo-invalid'],
  }
  for (const [helo, signs] of Object.entries(cases)) {
    const found = await heloSigns(dns, { helo, client: '192.0.2.1' }, (name) => name === 'here.example')
    assert.deepEqual(found, signs, helo)
  }
})

test('scores are summed, and of EHLO only the worst counts', () => {
  const signs = [
    { name: 'a', score: 5 },
    { name: 'b', score: 0 },
    { name: 'c', score: -3 },
  ]
  assert.deepEqual(addUp(signs), { score: 2, signs: [signs[0], signs[2]] })
  assert.deepEqual(worst(signs), signs[0])
  assert.equal(worst([{ name: 'b', score: 0 }]), null)
})

const noScores = {
  'no-reverse-name': 0,
  'unconfirmed-reverse-name': 0,
  'helo-invalid': 0,
  'helo-own-name': 0,
  'helo-other-address': 0,
  'helo-unknown': 0,
  'helo-unconfirmed': 0,
}

test('what does not come in time counts nothing, and the rest does', async () => {
  const never = new Promise<Answer>(() => undefined)
  const dns = dnsOf({
    'A 1.2.0.192.bl.example': address('1.2.0.192.bl.example', '127.0.0.2'),
    'A 1.2.0.192.wl.example': address('1.2.0.192.wl.example', '127.0.0.2'),
    'A 1.2.0.192.dead.example': never,
  })
  const list = (zone: string, score: number) => ({ zone, score, replies: [range] })
  const screener = new Screener({
    slice: {
      hostname: 'mx.example',
      zones: [],
      screenings: [
        {
          name: 's',
          lists: [list('bl.example', 5), list('dead.example', 9), list('wl.example', -2)],
          timeout: 100,
          scores: { ...noScores, 'no-reverse-name': 1, 'helo-invalid': 4 },
        },
      ],
    },
    dns,
    log: silentLog,
    now: () => 0,
  })
  assert.deepEqual(await screener.screen({ screening: 's', client: '192.0.2.1', helo: 'pc' }), {
    score: 8,
    signs: [
      { name: 'bl.example', score: 5 },
      { name: 'wl.example', score: -2 },
      { name: 'no-reverse-name', score: 1 },
      { name: 'helo-invalid', score: 4 },
    ],
  })
  assert.deepEqual(await screener.screen({ screening: 'gone', client: '192.0.2.1' }), { score: 0, signs: [] })
})
