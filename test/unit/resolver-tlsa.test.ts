/**
 * TLSA records by the rules of RFC 7672 section 2.2: what must be proven before they are asked for, under which name,
 * and what trouble on the way means; and exchangers that lead back to ourselves.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import type { DnsRecord } from '../../services/resolver/dns/message.ts'
import { findHosts } from '../../services/resolver/exchanger-hosts.ts'
import type { Lookups } from '../../services/resolver/host-addresses.ts'
import { readExchangers } from '../../services/resolver/mail-exchangers.ts'

const absent: Answer = { kind: 'nodata', ttl: 50, secure: true }
const failed: Answer = { kind: 'failed', why: 'SERVFAIL', ttl: 0, trouble: 'said' }
const records = (secure: boolean, ...all: DnsRecord[]): Answer => ({
  kind: 'records',
  records: all,
  ttl: 90,
  secure,
})
const a = (name: string, secure = true, address = '192.0.2.1') =>
  records(secure, { kind: 'address', name, ttl: 90, type: 'A', address })
const tlsa = (name: string, data = 'aa', secure = true) =>
  records(secure, { kind: 'tlsa', name, ttl: 90, usage: 3, selector: 1, matching: 1, data })
const alias = (name: string, secure: boolean) =>
  records(secure, { kind: 'cname', name, ttl: 90, target: 'x' })
const found = (base: string, data = 'aa') => {
  return { kind: 'found', base, records: [{ usage: 3, selector: 1, matching: 1, data }] } as const
}

async function look(zone: Record<string, Answer>, secure = true) {
  const asked: string[] = []
  const dns: Lookups = {
    lookup: (name, type) => {
      asked.push(`${type} ${name}`)
      return zone[`${type} ${name}`] ?? absent
    },
  }
  const options = { dns, smtpPort: 25, isOurs: (address: string) => address === '192.0.2.99' }
  const result = await findHosts([{ host: 'mx.test', preference: 10 }], secure, options)
  const [host] = result.kind === 'hosts' ? result.hosts : []
  return { tlsa: host?.tlsa, secure: host?.secure, asked: asked.slice(2), result }
}

const cases: [what: string, zone: Record<string, Answer>, expected: unknown, asked: string[]][] = [
  [
    'a signed host has them under its own name',
    { 'A mx.test': a('mx.test'), 'TLSA _25._tcp.mx.test': tlsa('_25._tcp.mx.test') },
    found('mx.test'),
    ['TLSA _25._tcp.mx.test'],
  ],
  [
    'they may stand behind an alias of their own',
    { 'A mx.test': a('mx.test'), 'TLSA _25._tcp.mx.test': tlsa('_dane.test') },
    found('mx.test'),
    ['TLSA _25._tcp.mx.test'],
  ],
  ['without any, none', { 'A mx.test': a('mx.test') }, undefined, ['TLSA _25._tcp.mx.test']],
  ['a host that does not sign is not asked for them', { 'A mx.test': a('mx.test', false) }, undefined, []],
  [
    'unproven ones are none',
    { 'A mx.test': a('mx.test'), 'TLSA _25._tcp.mx.test': tlsa('x', 'aa', false) },
    undefined,
    ['TLSA _25._tcp.mx.test'],
  ],
  [
    'trouble with them is trouble with the host',
    { 'A mx.test': a('mx.test'), 'TLSA _25._tcp.mx.test': failed },
    { kind: 'failed' },
    ['TLSA _25._tcp.mx.test'],
  ],
  [
    'the end of the aliases comes first',
    {
      'A mx.test': a('end.test'),
      'TLSA _25._tcp.end.test': tlsa('x', 'bb'),
      'TLSA _25._tcp.mx.test': tlsa('x'),
    },
    found('end.test', 'bb'),
    ['TLSA _25._tcp.end.test'],
  ],
  [
    'then the first name',
    { 'A mx.test': a('end.test'), 'TLSA _25._tcp.mx.test': tlsa('x') },
    found('mx.test'),
    ['TLSA _25._tcp.end.test', 'TLSA _25._tcp.mx.test'],
  ],
  [
    'trouble at the end of the aliases is not got round',
    { 'A mx.test': a('end.test'), 'TLSA _25._tcp.end.test': failed, 'TLSA _25._tcp.mx.test': tlsa('x') },
    { kind: 'failed' },
    ['TLSA _25._tcp.end.test'],
  ],
  [
    'a proven alias into an unsigned zone: only the first name',
    {
      'A mx.test': a('end.test', false),
      'CNAME mx.test': alias('mx.test', true),
      'TLSA _25._tcp.mx.test': tlsa('x'),
    },
    found('mx.test'),
    ['CNAME mx.test', 'TLSA _25._tcp.mx.test'],
  ],
  [
    'an unproven alias: none',
    { 'A mx.test': a('end.test', false), 'CNAME mx.test': alias('mx.test', false) },
    undefined,
    ['CNAME mx.test'],
  ],
  [
    'nobody can say whether the alias is proven',
    { 'A mx.test': a('end.test', false), 'CNAME mx.test': failed },
    { kind: 'failed' },
    ['CNAME mx.test'],
  ],
]
for (const [what, zone, expected, asked] of cases) {
  test(what, async () => {
    const result = await look(zone)
    assert.deepEqual([result.tlsa, result.asked], [expected, asked])
  })
}

test('exchangers that are not proven have no DANE, whatever they publish', async () => {
  const zone = { 'A mx.test': a('mx.test'), 'TLSA _25._tcp.mx.test': tlsa('x') }
  const { tlsa: none, asked, secure } = await look(zone, false)
  assert.deepEqual([none, asked, secure], [undefined, [], true])
})

test('one kind of address that fails does not make the other unproven', async () => {
  const { secure } = await look({ 'A mx.test': a('mx.test'), 'AAAA mx.test': failed })
  assert.equal(secure, true)
  const half = await look({ 'A mx.test': a('mx.test'), 'AAAA mx.test': { ...absent, secure: false } })
  assert.equal(half.secure, undefined)
})

test('an exchanger with an address of ours is ourselves, and what comes behind it is cut away', async () => {
  const zone: Record<string, Answer> = {
    'A first.test': a('first.test'),
    'A we.test': a('we.test', true, '192.0.2.99'),
    'A last.test': a('last.test'),
  }
  const dns: Lookups = { lookup: (name, type) => zone[`${type} ${name}`] ?? absent }
  const find = async (...names: string[]) => {
    const exchangers = names.map((host, preference) => ({ host, preference }))
    const isOurs = (address: string) => address === '192.0.2.99'
    const result = await findHosts(exchangers, false, { dns, smtpPort: 25, isOurs })
    return result.kind === 'hosts' ? result.hosts.map(({ name }) => name) : result.kind
  }
  assert.deepEqual(await find('first.test', 'we.test', 'last.test'), ['first.test'])
  assert.equal(await find('we.test', 'last.test'), 'loop')
  assert.equal(await find('none.test', 'we.test'), 'loop')
  assert.equal(await find('none.test'), 'none')
})

test('localhost as an exchanger is ourselves', () => {
  const read = (...hosts: string[]) => {
    const all = hosts.map((exchange, preference) => {
      return { kind: 'mx', name: 'x', ttl: 60, preference, exchange } as const
    })
    return readExchangers(records(true, ...all), 'me.test')
  }
  assert.equal(read('localhost').kind, 'loop')
  assert.equal(read('mail.localhost', 'b.test').kind, 'loop')
  const some = read('a.test', 'localhost', 'b.test')
  assert.deepEqual(some.kind === 'hosts' && some.hosts.map(({ host }) => host), ['a.test'])
})
