/**
 * DNS without sockets: layout and decoding of good, bad and random messages, what replies mean, which exchangers
 * are used, and the cache.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Packet } from 'dns2'
import fc from 'fast-check'
import { type Answer, readReply as readReplyTrusting } from '../../services/resolver/dns/answer.ts'
import { Cache } from '../../services/resolver/dns/cache.ts'
import { layOut } from '../../services/resolver/dns/layout.ts'
import {
  type DnsReply,
  decodeReply,
  encodeQuery,
  type Question,
} from '../../services/resolver/dns/message.ts'
import { combine } from '../../services/resolver/host-addresses.ts'
import { readExchangers } from '../../services/resolver/mail-exchangers.ts'
import { record } from '../support/name-server.ts'

const ID = 4711
const mx: Question = { name: 'example.org', type: 'MX' }
const a: Question = { name: 'example.org', type: 'A' }

type Data = Parameters<typeof Packet.createResourceFromQuestion>[1]

function message(question: Question, answers: Data[], authorities: Data[] = [], header: object = {}): Buffer {
  const query = Packet.parse(encodeQuery(Packet, ID, question, true))
  const packet = Packet.createResponseFromRequest(query)
  Object.assign(packet.header, header)
  packet.answers = answers.map((data) => new Packet.Resource(data))
  packet.authorities = authorities.map((data) => new Packet.Resource(data))
  packet.additionals = query.additionals
  return packet.toBuffer()
}

function decode(bytes: Buffer, question = mx): DnsReply | null {
  return decodeReply(Packet, bytes, ID, question)
}

test('a query asks for recursion and announces what a datagram may hold', () => {
  const query = Packet.parse(encodeQuery(Packet, ID, mx, true))
  assert.equal(query.header.id, ID)
  assert.equal(query.header.rd, 1)
  assert.deepEqual(
    query.questions.map(({ name, type }) => [name, type]),
    [['example.org', 15]],
  )
  assert.equal(query.additionals[0]?.class, 1232)
  assert.equal(Packet.parse(encodeQuery(Packet, ID, mx, false)).additionals.length, 0)
})

test('a reply is read with names in lower case', () => {
  const reply = decode(
    message(
      mx,
      [record.mx('Example.ORG', 10, 'MX1.Example.org', 120), record.cname('x', 'y')],
      [record.soa('org', 30)],
    ),
  )
  assert.deepEqual(reply, {
    truncated: false,
    rcode: 0,
    answers: [
      { kind: 'mx', name: 'example.org', ttl: 120, preference: 10, exchange: 'mx1.example.org' },
      { kind: 'cname', name: 'x', ttl: 300, target: 'y' },
    ],
    negativeTtl: 30,
    authenticated: false,
    caseKept: true,
  })
})

test('what is not the answer to our question is none', () => {
  const good = message(mx, [record.mx('example.org', 10, 'mx.example.org')])
  assert.ok(decode(good))
  assert.equal(decodeReply(Packet, good, ID + 1, mx), null, 'another id')
  assert.equal(decode(good, a), null, 'another type')
  assert.equal(decode(good, { ...mx, name: 'example.net' }), null, 'another name')
  assert.equal(decode(message(mx, [], [], { qr: 0 })), null, 'a query')
  assert.equal(decode(message(mx, [], [], { opcode: 5 })), null, 'another operation')
  assert.equal(decode(Buffer.alloc(0)), null)
})

test('the extended response code counts', () => {
  const bytes = message(mx, [])
  const opt = layOut(bytes)?.records.find(({ section }) => section === 'additional')
  assert.ok(opt)
  bytes[opt.start + 5] = 1
  assert.equal(decode(bytes)?.rcode, 16)
})

test('every cut of a message is no answer, and every changed octet is no exception', () => {
  const answers = [
    record.cname('example.org', 'b.example'),
    record.mx('b.example', 1, 'mx.b.example'),
    record.a('b.example', '192.0.2.1'),
  ]
  const whole = message(mx, answers, [record.soa('example')])
  assert.equal(decode(whole)?.answers.length, 3)
  for (let length = 0; length < whole.length; length++)
    assert.equal(decode(whole.subarray(0, length)), null, `${length}`)
  for (let at = 0; at < whole.length; at++) {
    for (const value of [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff]) {
      const changed = Buffer.from(whole)
      changed[at] = value
      decode(changed)
    }
  }
})

test('pointers that lead forwards, to themselves or in long chains are refused at once', () => {
  const head = Buffer.from(message(mx, []).subarray(0, 12))
  const question = Buffer.from('\x07example\x03org\0\0\x0f\0\x01', 'latin1')
  head.writeUInt16BE(1, 6)
  head.writeUInt16BE(0, 10)
  const rest = Buffer.from([0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1])
  const withName = (name: Buffer) => Buffer.concat([head, question, name, rest])
  const start = 12 + question.length
  const pointer = (to: number) => Buffer.from([0xc0 | (to >> 8), to & 0xff])
  assert.ok(decode(withName(pointer(12))))
  assert.equal(decode(withName(pointer(start))), null, 'to itself')
  assert.equal(decode(withName(pointer(start + 4))), null, 'forwards')
  assert.equal(decode(withName(Buffer.from([0x80, 0]))), null, 'a reserved label')
})

test('random octets never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
      const tail = Buffer.from(octets)
      decode(tail)
      const head = message(mx, [])
      head.writeUInt16BE(3, 6)
      decode(Buffer.concat([head.subarray(0, 29), tail]))
    }),
    { numRuns: 2000 },
  )
})

test('a message that claims thousands of records costs nothing', () => {
  const bytes = Buffer.concat([message(mx, []).subarray(0, 12), Buffer.alloc(65_000)])
  for (const at of [6, 8, 10]) bytes.writeUInt16BE(0xffff, at)
  assert.equal(layOut(bytes), null)
})

const readReply = (one: DnsReply, question: Question) => readReplyTrusting(one, question, true)

function reply(changes: Partial<DnsReply>): DnsReply {
  return {
    truncated: false,
    rcode: 0,
    answers: [],
    negativeTtl: null,
    authenticated: false,
    caseKept: true,
    ...changes,
  }
}
const address = (name: string, text: string, ttl = 100, type: 'A' | 'AAAA' = 'A') => {
  return { kind: 'address', name, ttl, type, address: text } as const
}
const cname = (name: string, target: string, ttl = 50) => ({ kind: 'cname', name, ttl, target }) as const

test('records, absence, no such name and failure are four things', () => {
  const found = readReply(
    reply({ answers: [address('example.org', '192.0.2.1'), address('other', '192.0.2.9')] }),
    a,
  )
  assert.deepEqual(found, {
    kind: 'records',
    records: [address('example.org', '192.0.2.1')],
    ttl: 100,
    secure: false,
  })
  assert.deepEqual(readReply(reply({ negativeTtl: 9 }), a), { kind: 'nodata', ttl: 9, secure: false })
  assert.deepEqual(readReply(reply({ rcode: 3, negativeTtl: 9 }), a), {
    kind: 'nxdomain',
    ttl: 9,
    secure: false,
  })
  assert.deepEqual(readReply(reply({ rcode: 3 }), a), { kind: 'nxdomain', ttl: 0, secure: false })
  assert.deepEqual(readReply(reply({ rcode: 3, negativeTtl: 9e6 }), a), {
    kind: 'nxdomain',
    ttl: 10_800,
    secure: false,
  })
  for (const [rcode, why] of [
    [1, 'FORMERR'],
    [2, 'SERVFAIL'],
    [5, 'REFUSED'],
    [16, 'RCODE 16'],
  ] as const)
    assert.deepEqual(readReply(reply({ rcode }), a), { kind: 'failed', why, ttl: 0, trouble: 'said' })
})

test('CNAMEs are followed inside the reply, out of it, and never in circles', () => {
  const end = address('c.example', '192.0.2.1')
  const chain = [cname('example.org', 'b.example'), end, cname('b.example', 'c.example', 10)]
  assert.deepEqual(readReply(reply({ answers: chain }), a), {
    kind: 'records',
    records: [end],
    ttl: 10,
    secure: false,
  })
  const open = readReply(reply({ answers: [cname('example.org', 'b.example')] }), a)
  assert.deepEqual(open, { kind: 'alias', target: 'b.example', ttl: 50, secure: false })
  const closed = readReply(reply({ answers: [cname('example.org', 'b.example')], negativeTtl: 7 }), a)
  assert.deepEqual(closed, { kind: 'nodata', ttl: 7, secure: false })
  const circle = readReply(reply({ answers: [cname('example.org', 'b'), cname('b', 'example.org')] }), a)
  assert.equal(circle.kind, 'failed')
})

test('addresses: IPv4 first, no unspecified ones, and one kind is enough', () => {
  const four: Answer = {
    kind: 'records',
    secure: false,
    ttl: 9,
    records: [address('x', '0.0.0.0'), address('x', '192.0.2.1')],
  }
  const six: Answer = {
    kind: 'records',
    secure: false,
    ttl: 5,
    records: [address('x', '::', 1, 'AAAA'), address('x', '2001:db8::1', 1, 'AAAA')],
  }
  const none: Answer = { kind: 'nodata', ttl: 3, secure: false }
  const gone: Answer = { kind: 'nxdomain', ttl: 4, secure: false }
  const failed: Answer = { kind: 'failed', why: 'SERVFAIL', ttl: 0, trouble: 'said' }
  assert.deepEqual(combine(four, six), {
    kind: 'addresses',
    addresses: ['192.0.2.1', '2001:db8::1'],
    ttl: 5,
    secure: false,
    canonical: 'x',
  })
  assert.deepEqual(combine(four, failed), {
    kind: 'addresses',
    addresses: ['192.0.2.1'],
    ttl: 0,
    secure: false,
    canonical: 'x',
  })
  assert.deepEqual(combine(none, none), { kind: 'none', nxdomain: false, ttl: 3 })
  assert.deepEqual(combine(gone, gone), { kind: 'none', nxdomain: true, ttl: 4 })
  assert.deepEqual(combine(none, failed), { kind: 'failed', why: 'SERVFAIL' })
})

function exchangers(...hosts: [number, string][]) {
  const records = hosts.map(
    ([preference, exchange]) => ({ kind: 'mx', name: 'x', ttl: 60, preference, exchange }) as const,
  )
  return readExchangers({ kind: 'records', records, ttl: 60, secure: false }, 'Me.example.org')
}

test('exchangers are sorted, doubled names once, names that are none passed over', () => {
  const found = exchangers(
    [20, 'c.x'],
    [10, 'b.x'],
    [10, 'a.x'],
    [5, 'c.x'],
    [1, '192.0.2.1'],
    [1, ''],
    [1, 'a..x'],
  )
  assert.deepEqual(found, {
    kind: 'hosts',
    ttl: 60,
    secure: false,
    hosts: [
      { host: 'c.x', preference: 5 },
      { host: 'a.x', preference: 10 },
      { host: 'b.x', preference: 10 },
    ],
  })
})

test('ourselves and all that are no better are cut away', () => {
  const found = exchangers([10, 'a.x'], [20, 'me.example.org'], [20, 'b.x'], [30, 'c.x'])
  assert.deepEqual(found.kind === 'hosts' && found.hosts, [{ host: 'a.x', preference: 10 }])
  assert.equal(exchangers([10, 'me.example.org'], [20, 'b.x']).kind, 'loop')
  assert.equal(exchangers([10, 'me.example.org'], [10, 'b.x']).kind, 'loop')
})

test('null MX, no MX, only useless MX', () => {
  assert.equal(exchangers([0, '']).kind, 'null-mx')
  assert.equal(exchangers([0, '192.0.2.1']).kind, 'unusable')
  assert.equal(readExchangers({ kind: 'nodata', ttl: 1, secure: false }, 'me').kind, 'implicit')
  assert.equal(readExchangers({ kind: 'nxdomain', ttl: 1, secure: false }, 'me').kind, 'nxdomain')
  assert.equal(readExchangers({ kind: 'failed', why: '', ttl: 0, trouble: 'said' }, 'me').kind, 'failed')
})

test('the cache forgets by time, and what was used longest ago', () => {
  const cache = new Cache<number>(2)
  cache.set('a', 1, 100)
  cache.set('b', 2, 200)
  assert.equal(cache.get('a', 99), 1)
  cache.set('c', 3, 200)
  assert.equal(cache.get('b', 99), undefined, 'b was used longest ago')
  assert.equal(cache.get('a', 100), undefined, 'its time is over')
  assert.equal(cache.get('c', 100), 3)
  assert.equal(cache.size, 1)
})
