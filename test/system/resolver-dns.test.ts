/**
 * The stub resolver against a name server on loopback: silence, lies, truncation, failures, and what is remembered.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import type { Server } from '../../services/resolver/dns/exchange.ts'
import { Stub } from '../../services/resolver/dns/stub.ts'
import { silentLog } from '../../shared/base/log.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'

const TIMEOUT = { timeout: 60_000 }
const good: Script = { answers: [record.a('a.test', '192.0.2.1', 100)] }

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
  const servers = [...(more.servers ?? []), { address: '127.0.0.1', port: server.port }]
  const { patience = 20_000, cacheEntries = 100 } = more
  const set = { servers, timeout: patience, attempts: 2 }
  return {
    stub: new Stub({ servers: () => set, cacheEntries, log: silentLog, now: () => clock.now }),
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
  const { stub, server } = await stage(
    t,
    { 'A a.test': good },
    { servers: [{ address: '127.0.0.1', port: broken.port }] },
  )
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
  const servers = [
    { address: '127.0.0.1', port },
    { address: '127.0.0.1', port: mute.port },
  ]
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
