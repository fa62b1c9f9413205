/**
 * The stub resolver against a name server on loopback: silence, lies, truncation, failures, and what is remembered.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Answer } from '../../services/resolver/dns/answer.ts'
import type { Server } from '../../services/resolver/dns/exchange.ts'
import { Stub } from '../../services/resolver/dns/stub.ts'
import { silentLog } from '../../shared/base/log.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'

const TIMEOUT = { timeout: 60_000 }
const good: Script = { answers: [record.a('a.test', '192.0.2.1', 100)] }

function at(port: number, trusted = false): Server {
  return { address: '127.0.0.1', port, trusted }
}

interface Stage {
  stub: Stub
  server: NameServer
  /** Milliseconds. */
  clock: { now: number }
}

/** @param patience of one try: long where an answer must come, short where silence is the point. */
async function stage(
  t: { after: (work: () => void) => void },
  scripts: Record<string, Script>,
  more: { servers?: Server[]; patience?: number; cacheEntries?: number } = {},
): Promise<Stage> {
  const server = await startNameServer(scripts)
  t.after(() => server.close())
  const clock = { now: 0 }
  const servers = [...(more.servers ?? []), at(server.port)]
  const { patience = 20_000, cacheEntries = 100 } = more
  const set = { servers, timeout: patience, attempts: 2 }
  return {
    stub: new Stub({
      servers: () => set,
      cacheEntries,
      cacheOctets: 1 << 20,
      log: silentLog,
      now: () => clock.now,
    }),
    server,
    clock,
  }
}

test('an answer is remembered for its time to live, without a promise', TIMEOUT, async (t) => {
  const { stub, server, clock } = await stage(t, { 'A a.test': good })
  const first = await stub.lookup('a.test', 'A')
  assert.equal(first.kind, 'records')
  clock.now = 99_999
  assert.equal(stub.lookup('a.test', 'A'), first)
  clock.now = 100_000
  const again = stub.lookup('a.test', 'A')
  assert.ok(again instanceof Promise)
  await again
  assert.deepEqual(server.asked, ['A a.test', 'A a.test'])
})

test('absence is remembered as long as the SOA says, and not without one', TIMEOUT, async (t) => {
  const { stub, server, clock } = await stage(t, { 'A none.test': nodata('test'), 'A bare.test': {} })
  assert.equal((await stub.lookup('none.test', 'A')).kind, 'nodata')
  assert.equal((await stub.lookup('gone.test', 'A')).kind, 'nxdomain')
  assert.equal((await stub.lookup('bare.test', 'A')).kind, 'nodata')
  clock.now = 59_999
  await Promise.all(['none.test', 'gone.test', 'bare.test'].map((name) => stub.lookup(name, 'A')))
  assert.deepEqual(server.asked.slice(3), ['A bare.test'])
})

test('equal questions under way share one exchange', TIMEOUT, async (t) => {
  const { stub, server } = await stage(t, { 'A a.test': good })
  const all = await Promise.all(Array.from({ length: 50 }, () => stub.lookup('a.test', 'A')))
  assert.equal(new Set(all).size, 1)
  assert.deepEqual(server.asked, ['A a.test'])
})

test('more questions than may be under way all get their answers', TIMEOUT, async (t) => {
  const names = Array.from({ length: 400 }, (_, n) => `n${n}.test`)
  const { stub, server } = await stage(t, {}, { cacheEntries: 1000 })
  for (const name of names) server.scripts.set(`A ${name}`, { answers: [record.a(name, '192.0.2.1')] })
  const answers = await Promise.all(names.map((name) => stub.lookup(name, 'A')))
  assert.ok(answers.every(({ kind }) => kind === 'records'))
})

test('a truncated answer is fetched over TCP', TIMEOUT, async (t) => {
  const answers = Array.from({ length: 100 }, (_, n) => record.a('big.test', `192.0.2.${n}`))
  const { stub, server } = await stage(t, { 'A big.test': { answers, truncated: true } })
  const answer = await stub.lookup('big.test', 'A')
  assert.equal(answer.kind === 'records' && answer.records.length, 100)
  assert.deepEqual(server.asked, ['A big.test', 'tcp A big.test'])
})

test('a server that does not know EDNS is asked without', TIMEOUT, async (t) => {
  const { stub, server } = await stage(t, { 'A a.test': { ...good, refusesEdns: true } })
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'records')
  assert.equal(server.asked.length, 2)
})

test(
  'lies are passed over: another id, another question, garbage, and the truth is taken',
  TIMEOUT,
  async (t) => {
    const lies = (truth: Buffer) => {
      const otherId = Buffer.from(truth)
      otherId.writeUInt16BE((truth.readUInt16BE(0) + 1) & 0xffff, 0)
      const otherName = Buffer.from(truth)
      otherName[13] = 'x'.charCodeAt(0)
      const otherType = Buffer.from(truth)
      otherType[12 + 8 + 1] = 28
      const asQuery = Buffer.from(truth)
      asQuery[2] = 0
      for (const lie of [otherId, otherName, otherType, asQuery]) lie[lie.length - 1] = 66
      return [otherId, otherName, otherType, asQuery, truth.subarray(0, 20), Buffer.from('garbage')]
    }
    const { stub, server } = await stage(t, { 'A a.test': { ...good, lies } })
    const answer = await stub.lookup('a.test', 'A')
    assert.deepEqual(
      answer.kind === 'records' && answer.records.map((one) => one.kind === 'address' && one.address),
      ['192.0.2.1'],
    )
    assert.deepEqual(server.asked, ['A a.test'])
  },
)

test('a server that only babbles is given up', TIMEOUT, async (t) => {
  const lies = () => Array.from({ length: 100 }, () => Buffer.from('garbage'))
  const { stub } = await stage(t, { 'A a.test': { ...good, lies } })
  const answer = await stub.lookup('a.test', 'A')
  assert.match(answer.kind === 'failed' ? answer.why : '', /strange/)
})

test('SERVFAIL passes on to the next server, NXDOMAIN does not', TIMEOUT, async (t) => {
  const broken = await startNameServer({ 'A a.test': { rcode: 2 } })
  t.after(() => broken.close())
  const { stub, server } = await stage(t, { 'A a.test': good }, { servers: [at(broken.port)] })
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'records')
  assert.equal((await stub.lookup('gone.test', 'A')).kind, 'nxdomain')
  assert.deepEqual(server.asked, ['A a.test'])
  assert.deepEqual(broken.asked, ['A a.test', 'A gone.test'])
})

test('a closed port passes on at once, silence after its time', TIMEOUT, async (t) => {
  const closed = createSocket('udp4').bind(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address()
  closed.close()
  const mute = await startNameServer({ 'A a.test': { silent: true } })
  t.after(() => mute.close())
  const servers = [at(port), at(mute.port)]
  const { stub } = await stage(t, { 'A a.test': good }, { servers, patience: 500 })
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'records')
  assert.deepEqual(mute.asked, ['A a.test'])
})

test('when all fail the answer is a failure, remembered for moments only', TIMEOUT, async (t) => {
  const { stub, server, clock } = await stage(
    t,
    { 'A a.test': { rcode: 2 }, 'A mute.test': { silent: true } },
    { patience: 100 },
  )
  const failed = await stub.lookup('a.test', 'A')
  assert.match(failed.kind === 'failed' ? failed.why : '', /SERVFAIL/)
  assert.equal(server.asked.length, 2, 'both rounds')
  assert.equal(stub.lookup('a.test', 'A'), failed)
  const mute = await stub.lookup('mute.test', 'A')
  assert.match(mute.kind === 'failed' ? mute.why : '', /in time/)
  clock.now = 5000
  server.scripts.set('A a.test', good)
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'records')
})

test('a CNAME that leads out of the reply is asked for', TIMEOUT, async (t) => {
  const { stub, server } = await stage(t, {
    'A www.test': { answers: [record.cname('www.test', 'a.test', 20)] },
    'A a.test': good,
    'A x.test': { answers: [record.cname('x.test', 'y.test')] },
    'A y.test': { answers: [record.cname('y.test', 'x.test')] },
  })
  const answer = await stub.lookup('www.test', 'A')
  assert.equal(answer.kind === 'records' && answer.ttl, 20)
  assert.deepEqual(server.asked, ['A www.test', 'A a.test'])
  assert.equal((await stub.lookup('x.test', 'A')).kind, 'failed')
})

const addressesIn = (answer: Answer) =>
  answer.kind === 'records' ? answer.records.map((one) => (one.kind === 'address' ? one.address : '')) : []

test('a server that gives the question back in lower case is asked over TCP', TIMEOUT, async (t) => {
  const script = { answers: [record.a('abcdefghijklmnopqrstuvwxyz.test', '192.0.2.1')], lowersCase: true }
  const { stub, server } = await stage(t, { 'A abcdefghijklmnopqrstuvwxyz.test': script })
  assert.deepEqual(addressesIn(await stub.lookup('abcdefghijklmnopqrstuvwxyz.test', 'A')), ['192.0.2.1'])
  assert.match(server.asked.at(-1) ?? '', /^tcp /)
})

test('where it has no TCP either, it is believed as before', TIMEOUT, async (t) => {
  const name = 'abcdefghijklmnopqrstuvwxyz.test'
  const script = { answers: [record.a(name, '192.0.2.1')], lowersCase: true, noTcp: true }
  const { stub, server } = await stage(t, { [`A ${name}`]: script })
  assert.deepEqual(addressesIn(await stub.lookup(name, 'A')), ['192.0.2.1'])
  assert.deepEqual(server.asked, [`A ${name}`, `tcp A ${name}`])
})

test('an answer to the question in other letters is not believed', TIMEOUT, async (t) => {
  const name = 'abcdefghijklmnopqrstuvwxyz.test'
  // who forges it has not seen the question: id and port are guessed, and the letters are not
  const lies = (truth: Buffer) => {
    const lie = Buffer.from(truth.toString('latin1').toLowerCase(), 'latin1')
    truth.copy(lie, 0, 0, 12)
    lie[lie.length - 1] = 66
    return [lie]
  }
  const { stub } = await stage(t, { [`A ${name}`]: { answers: [record.a(name, '192.0.2.1')], lies } })
  const answer = await stub.lookup(name, 'A')
  assert.notDeepEqual(addressesIn(answer), ['192.0.2.66'])
})

test('when nobody answers, records of old are given, absence of old is not', TIMEOUT, async (t) => {
  const { stub, server, clock } = await stage(
    t,
    { 'A a.test': good, 'A none.test': nodata('test') },
    { patience: 100 },
  )
  await stub.lookup('a.test', 'A')
  await stub.lookup('none.test', 'A')
  for (const name of ['A a.test', 'A none.test']) server.scripts.set(name, { silent: true })
  clock.now = 200_000
  const old = await stub.lookup('a.test', 'A')
  assert.deepEqual([addressesIn(old), old.ttl], [['192.0.2.1'], 30])
  assert.equal((await stub.lookup('none.test', 'A')).kind, 'failed')
  const asked = server.asked.length
  await stub.lookup('a.test', 'A')
  assert.equal(server.asked.length, asked, 'not asked again for a while')
  clock.now += 2 * 86_400_000
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'failed', 'too old')
})

test('SERVFAIL is no reason to give records of old', TIMEOUT, async (t) => {
  const { stub, server, clock } = await stage(t, { 'A a.test': good })
  await stub.lookup('a.test', 'A')
  server.scripts.set('A a.test', { rcode: 2 })
  clock.now = 200_000
  assert.equal((await stub.lookup('a.test', 'A')).kind, 'failed')
})

test('a server that is silent comes last for a while', TIMEOUT, async (t) => {
  const mute = await startNameServer({
    'A a.test': { silent: true },
    'A b.test': { answers: [record.a('b.test', '192.0.2.2')] },
  })
  t.after(() => mute.close())
  const b: Script = { answers: [record.a('b.test', '192.0.2.2')] }
  const { stub, clock } = await stage(
    t,
    { 'A a.test': good, 'A b.test': b, 'A c.test': b },
    { servers: [at(mute.port)], patience: 500 },
  )
  await stub.lookup('a.test', 'A')
  assert.equal((await stub.lookup('b.test', 'A')).kind, 'records')
  assert.deepEqual(mute.asked, ['A a.test'])
  clock.now = 60_000
  await stub.lookup('c.test', 'A')
  assert.deepEqual(mute.asked, ['A a.test', 'A c.test'], 'it gets another chance')
})

test('what is proven counts from those who are trusted, and through all of a chain', TIMEOUT, async (t) => {
  const scripts: Record<string, Script> = {
    'A a.test': { ...good, authenticated: true },
    'A none.test': { ...nodata('test'), authenticated: true },
    'A open.test': { answers: [record.a('open.test', '192.0.2.2')] },
    'A www.test': { answers: [record.cname('www.test', 'open.test')], authenticated: true },
    'A both.test': { answers: [record.cname('both.test', 'a.test')], authenticated: true },
  }
  const { stub, server } = await stage(t, scripts)
  const trusting = await stage(t, {}, { servers: [at(server.port, true)] })
  const secure = async (of: Stub, name: string) => {
    const answer = await of.lookup(name, 'A')
    return answer.kind !== 'failed' && answer.secure
  }
  assert.equal(await secure(stub, 'a.test'), false, 'the word of a stranger')
  for (const [name, expected] of [
    ['a.test', true],
    ['none.test', true],
    ['open.test', false],
    ['www.test', false],
    ['both.test', true],
  ] as const)
    assert.equal(await secure(trusting.stub, name), expected, name)
})

test(
  'what a validating server calls SERVFAIL is not asked of those who do not validate',
  TIMEOUT,
  async (t) => {
    const validating = await startNameServer({ 'A a.test': { rcode: 2 } })
    t.after(() => validating.close())
    const { stub, server } = await stage(
      t,
      { 'A a.test': good, 'A b.test': good },
      { servers: [at(validating.port, true)] },
    )
    assert.equal((await stub.lookup('a.test', 'A')).kind, 'failed')
    assert.deepEqual(server.asked, [])
  },
)

test('TLSA, SRV and CNAME records', TIMEOUT, async (t) => {
  const tlsa = record.tlsa('_25._tcp.mx.test', [3, 1, 1], Buffer.from('c0ffee', 'hex'))
  const { stub } = await stage(t, {
    'TLSA _25._tcp.mx.test': { answers: [tlsa] },
    'SRV _submission._tcp.test': {
      answers: [record.srv('_submission._tcp.test', [1, 2, 587], 'Smtp.test')],
    },
    'CNAME www.test': { answers: [record.cname('www.test', 'a.test')] },
  })
  const records = async (name: string, type: 'TLSA' | 'SRV' | 'CNAME') => {
    const answer = await stub.lookup(name, type)
    return answer.kind === 'records' ? answer.records.map(({ ttl, name: _, ...rest }) => rest) : answer
  }
  assert.deepEqual(await records('_25._tcp.mx.test', 'TLSA'), [
    { kind: 'tlsa', usage: 3, selector: 1, matching: 1, data: 'c0ffee' },
  ])
  assert.deepEqual(await records('_submission._tcp.test', 'SRV'), [
    { kind: 'srv', priority: 1, weight: 2, port: 587, target: 'smtp.test' },
  ])
  assert.deepEqual(await records('www.test', 'CNAME'), [{ kind: 'cname', target: 'a.test' }])
})
