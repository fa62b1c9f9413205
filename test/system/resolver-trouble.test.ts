/**
 * Ten thousand domains whose DNS is in every kind of trouble, asked for by the queue: each of them is tried again
 * later, and not one is refused.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Stub } from '../../services/resolver/dns/stub.ts'
import { NextHops } from '../../services/resolver/next-hops.ts'
import { replies } from '../../services/resolver/replies.ts'
import { silentLog } from '../../shared/base/log.ts'
import { record, type Script, startNameServer } from '../support/name-server.ts'
import { plainZone } from '../support/zone.ts'

const timeout = 180_000
const DOMAINS = 10_000
/** Of them asked for at one time. */
const TOGETHER = 200

const NXDOMAIN: Script = { rcode: 3, authorities: [record.soa('test')] }

/** What an off-path liar would send: each says that there is no such name, and none of them may be believed. */
function lies(truth: Buffer): Buffer[] {
  const changed = (change: (lie: Buffer) => void) => {
    const lie = Buffer.from(truth)
    lie.writeUInt8((lie.readUInt8(3) & 0xf0) | 3, 3)
    change(lie)
    return lie
  }
  return [
    changed((lie) => lie.writeUInt16BE((lie.readUInt16BE(0) + 1) & 0xffff, 0)),
    changed((lie) => lie.writeUInt8(lie.readUInt8(13) === 0x7a ? 0x79 : 0x7a, 13)),
    changed((lie) => lie.writeUInt8(0, 2)),
    changed((lie) => lie.writeUInt16BE(0, 4)),
    changed(() => undefined).subarray(0, 11),
    Buffer.alloc(40, 0xc0),
  ]
}

const troubles: readonly Script[] = [
  { rcode: 2 },
  { rcode: 5 },
  { silent: true },
  { rcode: 2, lies },
  { silent: true, lies },
  { rcode: 9 },
  { answers: [record.cname('loop.test', 'loop.test')], rcode: 2 },
]

const zone = plainZone('.', 'remote')

test('DNS in trouble ten thousand times: no refusal', { timeout }, async (t) => {
  const kindOf = (key: string) => Number(/d(\d+)\.test$/.exec(key)?.[1] ?? 0)
  const server = await startNameServer({}, (key) => {
    const n = kindOf(key)
    const trouble = troubles[n % troubles.length] ?? NXDOMAIN
    // with every other domain the trouble comes only behind the exchangers
    if (n % 2 === 0 || !key.startsWith('MX ')) return trouble
    const name = key.slice(3)
    return { answers: [record.mx(name, 10, `mx.${name}`)], authenticated: n % 3 === 0 }
  })
  t.after(() => server.close())
  const servers = {
    servers: [{ address: '127.0.0.1', port: server.port, trusted: true }],
    timeout: 250,
    attempts: 1,
  }
  const now = () => performance.now()
  const dns = new Stub({
    servers: () => servers,
    cacheEntries: 1000,
    cacheOctets: 1 << 20,
    log: silentLog,
    now,
  })
  const hops = new NextHops({
    ...{ dns, now, hostname: 'me.test', smtpPort: 25, cacheEntries: 1000, budget: 60_000 },
    hosts: () => new Map(),
    isOurs: () => false,
  })
  const refused: string[] = []
  let later = 0
  let next = 0
  const lane = async () => {
    while (next < DOMAINS) {
      const name = `d${next++}.test`
      const hop = await hops.find(zone, name)
      if (hop.kind === 'later' && replies[hop.reply].code < 500) later++
      else refused.push(`${name}: ${JSON.stringify(hop)}`)
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, lane))
  assert.deepEqual(refused, [])
  assert.equal(later, DOMAINS)
  // on a busy machine datagrams get lost, which is one more kind of trouble
  const seen = troubles.map(
    (_, kind) => server.asked.filter((key) => kindOf(key) % troubles.length === kind).length,
  )
  assert.ok(
    seen.every((count) => count > DOMAINS / troubles.length / 4),
    `${seen}`,
  )
})
