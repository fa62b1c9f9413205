/** How much a destination and its group get, and who goes next before them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  finished,
  isDead,
  isForgettable,
  newDestination,
  revive,
  room,
  started,
} from '../../services/qmgr/destination.ts'
import { freshEntry } from '../../services/qmgr/entry.ts'
import {
  groupFinished,
  groupMayStart,
  groupStarted,
  groupStartsAt,
  isPlain,
  type Limits,
  newGroup,
  relimit,
  suspend,
} from '../../services/qmgr/group.ts'
import { Scheduler } from '../../services/qmgr/scheduler.ts'
import { tasksOf } from '../../services/qmgr/tasks.ts'
import type { Terms } from '../../services/qmgr/terms.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Route } from '../../shared/message/route.ts'

const reply = { code: 421, enhanced: '4.7.0', text: 'rate limited', host: 'mx' }

describe('destination', () => {
  const limits = { initial: 2, max: 4 }

  it('grows by one for a success while full, up to the most', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 10; n++) {
      while (room(destination, 0) > 0) started(destination)
      finished(destination, 'good', 0)
    }
    assert.equal(destination.limit, 4)
  })

  it('shrinks by trouble, dies after five in a row, is probed once and comes back', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 5; n++) {
      started(destination)
      finished(destination, n % 2 ? 'bad' : 'braked', 0)
    }
    assert.deepEqual([room(destination, 0), isDead(destination, 29_999)], [0, true])
    assert.equal(room(destination, 30_000), 1)
    started(destination)
    assert.equal(room(destination, 30_000), 0, 'one probe at a time')
    finished(destination, 'bad', 30_000)
    assert.equal(isDead(destination, 89_999), true, 'each failed probe doubles the wait')
    started(destination)
    finished(destination, 'good', 90_000)
    assert.ok(room(destination, 90_000) > 0)
  })

  it('is brought back by a flush', () => {
    const destination = newDestination(limits, 0)
    for (let n = 0; n < 5; n++) {
      started(destination)
      finished(destination, 'bad', 0)
    }
    revive(destination)
    assert.equal(room(destination, 0), 1)
  })

  it('is forgotten when there is nothing to remember, or it is long ago', () => {
    const destination = newDestination(limits, 0)
    assert.equal(isForgettable(destination, 0), true)
    started(destination)
    assert.equal(isForgettable(destination, 9e9), false)
    finished(destination, 'bad', 0)
    assert.deepEqual([isForgettable(destination, 0), isForgettable(destination, 600_001)], [false, true])
  })

  it('never runs more than its limit, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('start', 'good', 'bad', 'braked', 'neutral', 'wait')), (steps) => {
        const destination = newDestination(limits, 0)
        let now = 0
        for (const step of steps) {
          if (step === 'wait') now += 40_000
          else if (step === 'start') {
            if (room(destination, now) === 0) continue
            started(destination)
            if (destination.running > Math.max(destination.limit, 1)) return false
          } else if (destination.running > 0) finished(destination, step, now)
        }
        return destination.running >= 0 && destination.limit >= 1 && destination.limit <= 4
      }),
    )
  })
})

describe('group', () => {
  it('grows on success, shrinks only when the provider says so', () => {
    const group = newGroup({ initial: 2, max: 4, rate: null }, 0)
    for (let n = 0; n < 10; n++) {
      while (groupMayStart(group, 0)) groupStarted(group, 0)
      groupFinished(group, 'good')
    }
    assert.equal(group.limit, 4)
    groupFinished(group, 'bad')
    groupFinished(group, 'neutral')
    assert.equal(group.limit, 4)
    groupFinished(group, 'braked')
    assert.equal(group.limit, 2)
  })

  it('keeps a rate', () => {
    const group = newGroup({ initial: 100, max: 100, rate: { count: 10, period: 1000 } }, 0)
    let count = 0
    for (let now = 0; now < 10_000; now += 10) {
      while (groupMayStart(group, now)) {
        groupStarted(group, now)
        groupFinished(group, 'good')
        count++
      }
    }
    assert.ok(count >= 105 && count <= 110, `${count} in ten seconds at 10/s and a bucket of 10`)
    assert.ok((groupStartsAt(group, 9_990) ?? 0) > 9_990)
    assert.deepEqual([isPlain(group, 9_990), isPlain(group, 20_000)], [false, true])
  })

  it('is suspended until the later of two ends', () => {
    const group = newGroup({ initial: 2, max: 4, rate: null }, 0)
    suspend(group, { until: 500, reply, retryClass: 'a' })
    suspend(group, { until: 400, reply, retryClass: 'b' })
    assert.deepEqual([groupMayStart(group, 499), isPlain(group, 499)], [false, false])
    assert.deepEqual([groupMayStart(group, 500), isPlain(group, 500)], [true, true])
  })

  it('takes other limits with what it has learnt', () => {
    const group = newGroup({ initial: 5, max: 20, rate: null }, 0)
    relimit(group, { initial: 2, max: 2, rate: { count: 1, period: 1000 } }, 0)
    assert.equal(group.limit, 2)
    groupStarted(group, 0)
    assert.equal(groupMayStart(group, 0), false)
    assert.equal(groupStartsAt(group, 0), 1000)
  })
})

function routeTo(destination: string): Route {
  const host = { name: `mx.${destination}`, addresses: ['127.0.0.1'], port: 25, preference: 0 }
  return { kind: 'smtp', zone: '.', destination, protocol: 'smtp', hosts: [host] }
}

function entryFor(...addresses: [string, string][]) {
  const envelope: Envelope = {
    id: 1,
    sender: 'a@b',
    recipients: addresses.map(([address, destination]) => ({ address, route: routeTo(destination) })),
    size: 0,
    body: '7bit',
    smtputf8: false,
    receivedAt: 0,
    origin: { listener: 'mx', session: '', client: '' },
  }
  const entry = freshEntry(envelope, new Uint8Array())
  for (const slot of entry.slots) slot.state = 'queued'
  return entry
}

/** `a.big` and `b.big` share limits with all others below `big`; all else stands for itself. */
function termsWith(limits: Limits): (route: Route) => Terms {
  return ({ destination }) => ({
    group: destination.split('.').at(-1) ?? '',
    ...{ limits, share: limits.max, recipients: 9, connections: null, schedule: null },
  })
}

function schedulerWith(more: Partial<Limits> = {}): Scheduler {
  return new Scheduler(termsWith({ initial: 9, max: 9, rate: null, ...more }))
}

function put(scheduler: Scheduler, destination: string, count = 1, now = 0) {
  return Array.from({ length: count }, (_, n) => {
    const entry = entryFor([`${n}@${destination}`, destination])
    for (const task of tasksOf(entry, entry.slots, () => 9)) scheduler.add(task, now)
    return entry
  })
}

/** Who starts, until nothing more may. */
function startAll(scheduler: Scheduler, group: string, now = 0): string[] {
  const started: string[] = []
  for (let task = scheduler.next(group, now); task; task = scheduler.next(group, now)) {
    started.push(task.route.destination)
  }
  return started
}

function fail(scheduler: Scheduler, destination: string, times: number): void {
  for (let n = 0; n < times; n++) {
    put(scheduler, destination)
    assert.deepEqual(startAll(scheduler, destination.split('.').at(-1) ?? ''), [destination])
    scheduler.finished(destination, 'bad', 0)
  }
}

describe('scheduler', () => {
  it('makes one transaction for a destination, sliced as its terms say', () => {
    const entry = entryFor(['a@x', 'x'], ['b@y', 'y'], ['c@x', 'x'], ['d@x', 'x'], ['e@y', 'y'], ['f@y', 'y'])
    const tasks = tasksOf(entry, entry.slots, ({ destination }) => (destination === 'x' ? 2 : 3))
    assert.deepEqual(
      tasks.map((task) => [task.route.destination, task.slots.map((slot) => slot.recipient.address)]),
      [
        ['x', ['a@x', 'c@x']],
        ['x', ['d@x']],
        ['y', ['b@y', 'e@y', 'f@y']],
      ],
    )
  })

  it('does not let one destination wait for another, and passes over slots that were taken out', () => {
    const scheduler = schedulerWith({ initial: 1, max: 1 })
    const first = entryFor(['a@x', 'x'])
    const second = entryFor(['b@x', 'x'], ['c@y', 'y'])
    for (const entry of [first, second])
      for (const task of tasksOf(entry, entry.slots, () => 9)) scheduler.add(task, 0)
    assert.equal(scheduler.next('x', 0)?.entry, first)
    assert.equal(scheduler.next('x', 0), null, 'its limit is one')
    assert.equal(scheduler.next('y', 0)?.entry, second)
    const [held] = second.slots
    if (held) held.state = 'done'
    scheduler.finished('x', 'good', 0)
    assert.equal(scheduler.next('x', 0), null)
    assert.equal(scheduler.peek('x', 0), null)
  })

  it('goes on behind tasks that were taken out while they stood before the group', () => {
    const scheduler = schedulerWith({ initial: 2, max: 2 })
    const entries = put(scheduler, 'x', 5)
    for (const { slots } of entries.slice(0, 3)) for (const slot of slots) slot.state = 'done'
    assert.equal(startAll(scheduler, 'x').length, 2)
  })

  it('gives back all that waits for a dead destination', () => {
    const scheduler = schedulerWith()
    put(scheduler, 'x', 7)
    for (let n = 0; n < 5; n++) {
      assert.ok(scheduler.next('x', 0))
      scheduler.finished('x', 'bad', 0)
    }
    assert.equal(scheduler.abandoned('x', 0)?.tasks.length, 2)
    assert.equal(scheduler.abandoned('x', 40_000), null, 'time for a probe')
  })

  it('revives those destinations that are named and no others', () => {
    const scheduler = schedulerWith()
    for (const name of ['x', 'y']) {
      fail(scheduler, name, 5)
      put(scheduler, name)
      assert.equal(scheduler.next(name, 0), null)
    }
    scheduler.revive(['x', 'z'])
    put(scheduler, 'x')
    assert.equal(scheduler.abandoned('x', 0), null)
    assert.ok(scheduler.next('x', 0))
    assert.equal(scheduler.next('y', 0), null)
    assert.equal(scheduler.abandoned('y', 0)?.tasks.length, 1)
  })
})

describe('destinations of one group', () => {
  it('share connections, and take turns', () => {
    const scheduler = schedulerWith({ initial: 4, max: 4 })
    put(scheduler, 'a.big', 9)
    put(scheduler, 'b.big', 9)
    put(scheduler, 'small', 9)
    assert.equal(startAll(scheduler, 'big').length, 4)
    assert.equal(startAll(scheduler, 'small').length, 4)
    scheduler.finished('a.big', 'good', 0)
    assert.deepEqual(startAll(scheduler, 'big').length, 1)
  })

  it('let the mail of another sender pass a flood to many of them', () => {
    const scheduler = schedulerWith({ initial: 2, max: 2 })
    for (let n = 0; n < 200; n++) put(scheduler, `${n}.big`)
    const other = entryFor(['z@z.big', 'z.big'])
    other.envelope = { ...other.envelope, sender: 'other@b' }
    for (const task of tasksOf(other, other.slots, () => 9)) scheduler.add(task, 0)
    const first = startAll(scheduler, 'big')
    assert.ok(first.includes('z.big'), first.join())
  })

  it('are not held up by one that is dead, nor by one that is slow', () => {
    const scheduler = schedulerWith({ initial: 4, max: 4 })
    fail(scheduler, 'dead.big', 4)
    put(scheduler, 'dead.big', 9)
    put(scheduler, 'live.big', 9)
    const started = startAll(scheduler, 'big')
    assert.deepEqual(started.filter((one) => one === 'dead.big').length, 1, 'four troubles: one at a time')
    scheduler.finished('dead.big', 'bad', 0)
    assert.deepEqual(startAll(scheduler, 'big'), ['live.big'])
    assert.deepEqual(scheduler.abandoned('dead.big', 0)?.tasks.length, 8)
    assert.equal(scheduler.abandoned('live.big', 0), null)
  })

  it('leave each other a share, where there are several', () => {
    const limits = { initial: 4, max: 4, rate: null }
    const scheduler = new Scheduler((route) => ({ ...termsWith(limits)(route), share: 2 }))
    put(scheduler, 'slow.big', 9)
    assert.equal(scheduler.next('big', 0)?.route.destination, 'slow.big')
    put(scheduler, 'other.big', 1)
    const started = ['slow.big', ...startAll(scheduler, 'big')]
    assert.equal(started.filter((one) => one === 'other.big').length, 1)
    scheduler.finished('other.big', 'good', 0)
    assert.deepEqual(
      startAll(scheduler, 'big').length,
      0,
      'the slow one had its share, or stood in line with it',
    )
    put(scheduler, 'other.big', 2)
    assert.ok(startAll(scheduler, 'big').every((one) => one === 'other.big'))
  })

  it('tell of what stood before the group when its destination died', () => {
    const scheduler = schedulerWith({ initial: 9, max: 9 })
    put(scheduler, 'dead.big', 9)
    put(scheduler, 'live.big', 1)
    for (let n = 0; n < 5; n++) {
      assert.equal(scheduler.next('big', 0)?.route.destination, 'dead.big')
    }
    for (let n = 0; n < 5; n++) scheduler.finished('dead.big', 'bad', 0)
    assert.deepEqual(startAll(scheduler, 'big'), ['live.big'])
    assert.deepEqual(scheduler.stranded(), ['dead.big'])
    assert.deepEqual(scheduler.stranded(), [])
    assert.equal(scheduler.abandoned('dead.big', 0)?.tasks.length, 4)
  })

  it('are suspended together, give back all that waits, and go on when it is over', () => {
    const scheduler = schedulerWith({ initial: 2, max: 2 })
    put(scheduler, 'a.big', 3)
    put(scheduler, 'b.big', 3)
    put(scheduler, 'small')
    assert.equal(startAll(scheduler, 'big').length, 2)
    const suspension = { until: 1000, reply, retryClass: 'slow' }
    assert.equal(scheduler.suspend('a.big', suspension, 0)?.tasks.length, 4)
    put(scheduler, 'c.big')
    scheduler.finished('a.big', 'braked', 0)
    assert.deepEqual(startAll(scheduler, 'big'), [])
    const aside = scheduler.abandoned('c.big', 0)
    assert.deepEqual([aside?.until, aside?.suspension, aside?.tasks.length], [1000, suspension, 1])
    assert.deepEqual(startAll(scheduler, 'small'), ['small'])
    scheduler.finished('b.big', 'good', 0)
    scheduler.finished('a.big', 'good', 0)
    put(scheduler, 'b.big', 1, 1000)
    assert.deepEqual(startAll(scheduler, 'big', 1000), ['b.big'])
  })

  it('share a rate', () => {
    const scheduler = schedulerWith({ rate: { count: 3, period: 60_000 } })
    for (let n = 0; n < 5; n++) put(scheduler, `${n}.big`)
    assert.equal(startAll(scheduler, 'big').length, 3)
    assert.equal(scheduler.startsAt('big', 0), 20_000)
    assert.equal(startAll(scheduler, 'big', 20_000).length, 1)
  })

  it('stand where a new config puts them, with what is under way', () => {
    let limits: Limits = { initial: 2, max: 2, rate: null }
    let apart = false
    const scheduler = new Scheduler((route) => {
      const terms = termsWith(limits)(route)
      return apart ? { ...terms, group: route.destination } : terms
    })
    put(scheduler, 'a.big', 5)
    put(scheduler, 'b.big', 5)
    assert.equal(startAll(scheduler, 'big').length, 2)
    limits = { initial: 3, max: 3, rate: null }
    scheduler.reconfigured(0)
    assert.equal(startAll(scheduler, 'big').length, 0, 'what was learnt stays: it grows by success')
    scheduler.finished('a.big', 'good', 0)
    assert.equal(startAll(scheduler, 'big').length, 2)
    apart = true
    scheduler.reconfigured(0)
    assert.equal(scheduler.groupOf('b.big'), 'b.big')
    assert.equal(startAll(scheduler, 'big').length, 0)
    const [a, b] = [startAll(scheduler, 'a.big').length, startAll(scheduler, 'b.big').length]
    assert.ok(a + b >= 2 && a <= 3 && b <= 3, `${a} ${b}`)
  })

  it('never run more than the group may, and lose no task', () => {
    const step = fc.tuple(
      fc.constantFrom('put', 'next', 'good', 'bad', 'braked', 'hold', 'suspend', 'reload'),
      fc.nat(2),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const scheduler = schedulerWith({ initial: 2, max: 3 })
        const waiting = new Set<object>()
        const running: { destination: string; entry: object }[] = []
        let now = 0
        for (const [what, n] of steps) {
          const destination = `${n}.big`
          now += 100
          if (what === 'put') for (const one of put(scheduler, destination, 2, now)) waiting.add(one)
          else if (what === 'next') {
            const task = scheduler.next('big', now)
            if (task && !waiting.delete(task.entry)) return false
            if (task) running.push({ destination: task.route.destination, entry: task.entry })
          } else if (what === 'suspend') {
            const aside = scheduler.suspend(destination, { until: now + 50, reply, retryClass: 's' }, 0)
            for (const { entry } of aside?.tasks ?? []) if (!waiting.delete(entry)) return false
            if (aside && waiting.size > 0) return false
          } else if (what === 'reload') scheduler.reconfigured(now)
          else if (what === 'hold') {
            const [first] = waiting as Set<ReturnType<typeof entryFor>>
            for (const slot of first?.slots ?? []) slot.state = 'done'
            if (first) waiting.delete(first)
          } else {
            const over = running.shift()
            if (over) scheduler.finished(over.destination, what, now)
          }
          for (const key of [...scheduler.stranded(), '0.big', '1.big', '2.big'])
            for (const { entry } of scheduler.abandoned(key, now)?.tasks ?? [])
              if (!waiting.delete(entry)) return false
          if (running.length > 3) return false
        }
        for (const { destination } of running) scheduler.finished(destination, 'good', now)
        for (let n = 0; n < 200 && waiting.size > 0; n++) {
          now += 700_000
          const task = scheduler.next('big', now)
          if (task && !waiting.delete(task.entry)) return false
          if (task) scheduler.finished(task.route.destination, 'good', now)
        }
        return waiting.size === 0
      }),
      { numRuns: 500 },
    )
  })
})
