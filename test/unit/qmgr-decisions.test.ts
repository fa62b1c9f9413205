/** qmgr's pure decisions: what follows an outcome, how much a destination gets, who goes next, what the disk allows. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  finished,
  mayStart,
  newDestination,
  revive,
  started,
  startsAt,
} from '../../services/qmgr/destination.ts'
import { freshEntry } from '../../services/qmgr/entry.ts'
import { limitsFor } from '../../services/qmgr/limits.ts'
import { Scheduler, tasksOf } from '../../services/qmgr/scheduler.ts'
import { type History, judge, type RetryPolicy } from '../../services/qmgr/verdict.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const MINUTE = 60_000
const policy: RetryPolicy = {
  retry: [5 * MINUTE, 15 * MINUTE, 60 * MINUTE],
  lifetime: 5 * 24 * 60 * MINUTE,
  bounceLifetime: 24 * 60 * MINUTE,
  delayWarning: 4 * 60 * MINUTE,
}
const fresh: History = { attempts: 0, receivedAt: 0, warned: false, isReport: false }
const reply = { code: 451, enhanced: '4.3.0', text: 'later', host: 'mx' }
const busy: Outcome = { kind: 'later', blame: 'recipient', reply }
const ours: Outcome = { kind: 'later', blame: 'ours', reply }

describe('verdict', () => {
  it('retries at growing intervals, the last one for good', () => {
    const waits = [0, 1, 2, 3, 9].map((attempts) => {
      const verdict = judge(busy, { ...fresh, attempts }, policy, 1000, 0.5)
      return verdict.kind === 'wait' ? (verdict.at - 1000) / MINUTE : null
    })
    assert.deepEqual(waits, [5, 15, 60, 60, 60])
  })

  it('keeps jitter within a tenth', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (random) => {
        const verdict = judge(busy, fresh, policy, 0, random)
        return verdict.kind === 'wait' && Math.abs(verdict.at - 5 * MINUTE) <= 0.5 * MINUTE
      }),
    )
  })

  it('gives up when the lifetime is over, reports sooner, and tries once more at the very end', () => {
    assert.equal(judge(busy, fresh, policy, policy.lifetime, 0.5).kind, 'fail')
    assert.equal(judge(busy, { ...fresh, isReport: true }, policy, policy.bounceLifetime, 0.5).kind, 'fail')
    const last = judge(busy, { ...fresh, attempts: 9 }, policy, policy.lifetime - MINUTE, 0.5)
    assert.equal(last.kind === 'wait' && last.at, policy.lifetime)
  })

  it('never gives up for our own trouble, and does not count it', () => {
    const verdict = judge(ours, { ...fresh, attempts: 2 }, policy, policy.lifetime * 10, 0.5)
    assert.deepEqual(verdict.kind === 'wait' && [verdict.attempts, verdict.warn], [2, false])
  })

  it('waits a full interval and more when in doubt, whosever trouble it was, and counts the attempt', () => {
    const end = policy.lifetime
    for (const blame of ['recipient', 'destination', 'ours'] as const) {
      for (const [now, attempts] of [
        [0, 0],
        [0, 2],
        [end - 1, 9],
      ] as const) {
        const doubt: Outcome = { kind: 'later', blame, reply, inDoubt: true }
        const verdict = judge(doubt, { ...fresh, attempts }, policy, now, 0)
        const interval = policy.retry[Math.min(attempts, 2)] ?? 0
        assert.deepEqual(verdict.kind === 'wait' && [verdict.at - now >= interval, verdict.attempts], [
          true,
          attempts + 1,
        ])
      }
    }
  })

  it('warns of delay once, and never about a report', () => {
    const at = policy.delayWarning
    const warns = (history: History) => {
      const verdict = judge(busy, history, policy, at, 0.5)
      return verdict.kind === 'wait' && verdict.warn
    }
    assert.deepEqual(
      [warns(fresh), warns({ ...fresh, warned: true }), warns({ ...fresh, isReport: true })],
      [true, false, false],
    )
  })
})

describe('destination', () => {
  const limits = { initial: 2, max: 4, rate: null }

  it('grows by one for a success while full, up to the most', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 10; n++) {
      while (mayStart(destination, 0)) started(destination, 0)
      finished(destination, 'good', 0)
    }
    assert.equal(destination.limit, 4)
  })

  it('shrinks by trouble, dies after five in a row, is probed once and comes back', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 5; n++) {
      started(destination, 0)
      finished(destination, 'bad', 0)
    }
    assert.equal(mayStart(destination, 0), false)
    const probe = startsAt(destination, 0)
    assert.equal(probe, 30_000)
    assert.equal(mayStart(destination, 30_000), true)
    started(destination, 30_000)
    assert.equal(mayStart(destination, 30_000), false, 'one probe at a time')
    finished(destination, 'bad', 30_000)
    assert.equal(startsAt(destination, 30_000), 90_000, 'each failed probe doubles the wait')
    started(destination, 90_000)
    finished(destination, 'good', 90_000)
    assert.equal(mayStart(destination, 90_000), true)
  })

  it('is brought back by a flush', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 5; n++) {
      started(destination, 0)
      finished(destination, 'bad', 0)
    }
    revive(destination)
    assert.equal(mayStart(destination, 0), true)
  })

  it('keeps a rate', () => {
    const destination = newDestination({ initial: 100, max: 100, rate: { count: 10, period: 1000 } }, 0)
    let count = 0
    for (let now = 0; now < 10_000; now += 10) {
      while (mayStart(destination, now)) {
        started(destination, now)
        finished(destination, 'good', now)
        count++
      }
    }
    assert.ok(count >= 105 && count <= 110, `${count} in ten seconds at 10/s and a bucket of 10`)
    assert.ok((startsAt(destination, 9_990) ?? 0) > 9_990)
  })

  it('never runs more than its limit, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('start', 'good', 'bad', 'neutral', 'wait')), (steps) => {
        const destination = newDestination(limits, 0)
        let now = 0
        for (const step of steps) {
          if (step === 'wait') now += 40_000
          else if (step === 'start') {
            if (!mayStart(destination, now)) continue
            started(destination, now)
            if (destination.running > Math.max(destination.limit, 1)) return false
          } else if (destination.running > 0) finished(destination, step, now)
        }
        return destination.running >= 0 && destination.limit >= 1 && destination.limit <= 4
      }),
    )
  })
})

function routeTo(destination: string): Route {
  const host = { name: `mx.${destination}`, addresses: ['127.0.0.1'], port: 25, preference: 0 }
  return { kind: 'smtp', zone: '.', destination, protocol: 'smtp', hosts: [host] }
}

function envelopeTo(...addresses: [string, string][]): Envelope {
  return {
    id: 1,
    sender: 'a@b',
    recipients: addresses.map(([address, destination]) => ({ address, route: routeTo(destination) })),
    size: 0,
    body: '7bit',
    smtputf8: false,
    receivedAt: 0,
    origin: { listener: 'mx', session: '', client: '' },
  }
}

describe('scheduler', () => {
  const entryFor = (...addresses: [string, string][]) => {
    const entry = freshEntry(envelopeTo(...addresses), new Uint8Array())
    for (const slot of entry.slots) slot.state = 'queued'
    return entry
  }

  it('makes one transaction for a destination, sliced', () => {
    const entry = entryFor(['a@x', 'x'], ['b@y', 'y'], ['c@x', 'x'], ['d@x', 'x'])
    const tasks = tasksOf(entry, entry.slots, 2)
    assert.deepEqual(
      tasks.map((task) => [task.route.destination, task.slots.map((slot) => slot.recipient.address)]),
      [
        ['x', ['a@x', 'c@x']],
        ['x', ['d@x']],
        ['y', ['b@y']],
      ],
    )
  })

  it('does not let one destination wait for another, and passes over slots that were taken out', () => {
    const scheduler = new Scheduler(() => ({ initial: 1, max: 1, rate: null }))
    const first = entryFor(['a@x', 'x'])
    const second = entryFor(['b@x', 'x'], ['c@y', 'y'])
    for (const entry of [first, second])
      for (const task of tasksOf(entry, entry.slots, 9)) scheduler.add(task, 0)
    assert.equal(scheduler.next('x', 0)?.entry, first)
    assert.equal(scheduler.next('x', 0), null, 'its limit is one')
    assert.equal(scheduler.next('y', 0)?.entry, second)
    const [held] = second.slots
    if (held) held.state = 'done'
    scheduler.finished('x', 'good', 0)
    assert.equal(scheduler.next('x', 0), null)
    assert.equal(scheduler.peek('x'), null)
  })

  it('revives those destinations that are named and no others', () => {
    const scheduler = new Scheduler(() => ({ initial: 9, max: 9, rate: null }))
    for (const name of ['x', 'y']) {
      for (let n = 0; n < 6; n++) {
        const entry = entryFor([`${n}@${name}`, name])
        for (const task of tasksOf(entry, entry.slots, 9)) scheduler.add(task, 0)
        if (n === 5) continue
        assert.ok(scheduler.next(name, 0))
        scheduler.finished(name, 'bad', 0)
      }
      assert.equal(scheduler.next(name, 0), null)
    }
    scheduler.revive(['x', 'z'])
    assert.equal(scheduler.abandoned('x', 0), null)
    assert.ok(scheduler.next('x', 0))
    assert.equal(scheduler.next('y', 0), null)
    assert.equal(scheduler.abandoned('y', 0)?.tasks.length, 1)
  })

  it('gives back all that waits for a dead destination', () => {
    const scheduler = new Scheduler(() => ({ initial: 9, max: 9, rate: null }))
    for (let n = 0; n < 7; n++) {
      const entry = entryFor([`${n}@x`, 'x'])
      for (const task of tasksOf(entry, entry.slots, 9)) scheduler.add(task, 0)
    }
    for (let n = 0; n < 5; n++) {
      assert.ok(scheduler.next('x', 0))
      scheduler.finished('x', 'bad', 0)
    }
    assert.equal(scheduler.abandoned('x', 0)?.tasks.length, 2)
    assert.equal(scheduler.abandoned('x', 40_000), null, 'time for a probe')
  })
})

describe('limits', () => {
  const slice = { initialConcurrency: 5, maxConcurrency: 20 }
  const servers = [{ match: '*.big.example', maxConnections: 2, rate: { count: 60, period: 60_000 } }]

  it('takes the first server block that names a next hop', () => {
    const qmgr = { ...slice, servers } as unknown as QmgrSlice
    assert.deepEqual(limitsFor(routeTo('big.example'), qmgr), {
      initial: 2,
      max: 2,
      rate: { count: 60, period: 60_000 },
    })
    assert.deepEqual(limitsFor(routeTo('small.example'), qmgr), { initial: 5, max: 20, rate: null })
  })
})
