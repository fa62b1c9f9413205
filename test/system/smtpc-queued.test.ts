/**
 * Two transactions on one connection to a fast host, the second one's commands sent behind the first one's content
 * (RFC 2920 section 3.1), and what becomes of both when the first ends badly.
 */
import assert from 'node:assert/strict'
import test, { after, before, type TestContext } from 'node:test'
import type { Peer } from '../../shared/bus/peer.ts'
import { until } from '../support/wait.ts'
import { makeRig, playHub, startWorker } from '../support/worker.ts'
import { deliveryBy, print, SLICE } from './smtpc-client.ts'
import { type FarmHost, type FarmSession, goodAnswer, openFarmHost } from './smtpc-farm.ts'

const PATIENCE = { timeout: 60_000 }
const rig = makeRig()
let qmgr: Peer
let stop: () => Promise<unknown>

before(async () => {
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, { 'deliver-dial': () => undefined })
  const worker = await startWorker('smtpc', SLICE, rig)
  qmgr = await joined()
  stop = async () => {
    assert.equal(await worker.drain(), 0, worker.output())
    hub.close()
  }
})
after(async () => {
  await stop()
  rig.close()
})

interface Pair {
  farm: FarmHost
  session: FarmSession
  first: Promise<string[]>
  second: Promise<string[]>
  secondAttempt: number
}

/** A host that has the first one's content and the second one's commands, and has answered neither. */
async function queuePair(t: TestContext): Promise<Pair> {
  const good = goodAnswer()
  const held: FarmSession[] = []
  let holding = false
  const farm = await openFarmHost((line, session) => {
    if (!holding || line === '') return good(line, session)
    if (line === '.') {
      held.push(session)
      return null
    }
    return held.includes(session) ? null : good(line, session)
  })
  t.after(() => farm.close())
  const deliver = async (to: string) => {
    const delivery = deliveryBy([farm.port], [to])
    return { attempt: delivery.attempt, done: qmgr.request('deliver', delivery).then(print) }
  }
  // only a host that has just been fast is queued at: on a busy machine that may need more than one try
  const tryOnce = async (): Promise<Pair | null> => {
    holding = false
    await (await deliver('warm@x')).done
    holding = true
    const first = await deliver('first@x')
    const second = await deliver('second@x')
    const connections = farm.connections()
    const session = await until('the first dot', () => held.at(-1))
    const queued = await until('the second envelope', () => farm.lines.includes('RCPT TO:<second@x>'))
    holding = false
    if (queued && farm.connections() === connections)
      return { farm, session, first: first.done, second: second.done, secondAttempt: second.attempt }
    for (const one of held.splice(0)) one.close()
    await Promise.all([first.done, second.done])
    farm.lines.length = 0
    return null
  }
  return until('a queued pair', tryOnce)
}

test('both arrive over one connection', PATIENCE, async (t) => {
  const { farm, session, first, second } = await queuePair(t)
  const connections = farm.connections()
  session.socket.write('250 2.0.0 first\r\n250 2.1.0 mail\r\n250 2.1.5 rcpt\r\n')
  assert.deepEqual(await first, ['sent 250'])
  session.take('354 go on\r\n')
  assert.deepEqual(await second, ['sent 250'])
  assert.equal(farm.connections(), connections)
})

test(
  'the connection is lost: doubt for the first, a fresh connection for the second',
  PATIENCE,
  async (t) => {
    const { farm, session, first, second } = await queuePair(t)
    const connections = farm.connections()
    session.close()
    assert.deepEqual(await first, ['later 451 destination in doubt'])
    assert.deepEqual(await second, ['sent 250'])
    assert.equal(farm.connections(), connections + 1)
  },
)

test('421 to the first: a fresh connection for the second', PATIENCE, async (t) => {
  const { session, first, second } = await queuePair(t)
  session.socket.write('421 4.3.2 leaving\r\n')
  assert.deepEqual(await first, ['later 421 destination'])
  assert.deepEqual(await second, ['sent 250'])
})

test('the first refused: the second goes on', PATIENCE, async (t) => {
  const { session, first, second } = await queuePair(t)
  session.socket.write('554 5.6.0 no\r\n250 2.1.0 mail\r\n550 5.1.1 rcpt\r\n554 5.5.1 nobody\r\n')
  assert.deepEqual(await first, ['never 554'])
  assert.deepEqual(await second, ['never 550'])
  await until('RSET', () => session.lastLine() === 'RSET')
})

test('the second cancelled: it is not sent, and the first one is not disturbed', PATIENCE, async (t) => {
  const { farm, session, first, second, secondAttempt } = await queuePair(t)
  qmgr.send('deliver-cancel', { attempt: secondAttempt })
  assert.deepEqual(await second, ['later 451 ours'])
  const bodies = farm.bodies.length
  session.socket.write('250 2.0.0 first\r\n250 2.1.0 mail\r\n250 2.1.5 rcpt\r\n354 go on\r\n')
  assert.deepEqual(await first, ['sent 250'])
  await until('the end of the connection', () => session.socket.destroyed)
  assert.equal(farm.bodies.length, bodies)
})
