/** Load control's pure parts: states by marks, what counts for which resource, what spilled, use over time. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readingsOf, type Sample } from '../../services/qmgr/readings.ts'
import { Spill } from '../../services/qmgr/spill.ts'
import type { Due, RecipientRow } from '../../services/qmgr/store.ts'
import {
  nextState,
  type Reading,
  type ThrottleState,
  throttle,
  worstOf,
} from '../../services/qmgr/throttle.ts'
import { add, freeAt, newWindow, used } from '../../services/qmgr/window.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import { usualLoad } from '../support/usual-load.ts'

const timeout = 60_000

const queue: Reading = {
  ...{ resource: 'queue', value: 0, unit: 'count', better: 'less', recovering: false, storage: false },
  marks: { relief: 10, wait: 20, refuse: 30 },
}
const disk: Reading = {
  ...{ resource: 'disk', value: 0, unit: 'octets', better: 'more', recovering: false, storage: true },
  marks: { relief: 30, wait: 20, refuse: 10 },
}

function play(reading: Reading, values: readonly number[]): ThrottleState[] {
  let state: ThrottleState = 'go'
  return values.map((value) => {
    state = nextState({ ...reading, value }, state)
    return state
  })
}

describe('throttle', { timeout }, () => {
  it('waits, refuses, and lets go only when it is well better', () => {
    assert.deepEqual(play(queue, [19, 20, 15, 10, 9, 20, 30, 25, 20, 19, 9]), [
      ...['go', 'wait', 'wait', 'wait', 'go', 'wait', 'refuse', 'refuse', 'refuse', 'wait', 'go'],
    ])
    assert.deepEqual(play(disk, [21, 20, 30, 31, 10, 15, 21, 31]), [
      ...['go', 'wait', 'wait', 'go', 'refuse', 'refuse', 'wait', 'go'],
    ])
  })

  it('goes at once where the resource recovers', () => {
    assert.equal(nextState({ ...queue, value: 99, recovering: true }, 'refuse'), 'go')
  })

  it('is never worse for a better value, and says go below relief and refuse from refuse on', () => {
    const states: readonly ThrottleState[] = ['go', 'wait', 'refuse']
    fc.assert(
      fc.property(fc.nat(40), fc.nat(40), fc.constantFrom(...states), (one, other, before) => {
        const rank = (value: number) => states.indexOf(nextState({ ...queue, value }, before))
        const [low, high] = [Math.min(one, other), Math.max(one, other)]
        return rank(low) <= rank(high) && (low >= 10 || rank(low) === 0) && (high < 30 || rank(high) === 2)
      }),
    )
  })

  it('remembers since when, names the worst, and forgets what is read no more', () => {
    const first = throttle(new Map(), [queue, { ...disk, value: 40 }], 1000)
    assert.equal(worstOf(first.values()), null)
    const second = throttle(
      first,
      [
        { ...queue, value: 25 },
        { ...disk, value: 5 },
      ],
      2000,
    )
    assert.deepEqual(
      [...second.values()].map(({ state, since }) => [state, since]),
      [
        ['wait', 2000],
        ['refuse', 2000],
      ],
    )
    assert.equal(worstOf(second.values())?.reading.resource, 'disk')
    const third = throttle(second, [{ ...queue, value: 26 }], 3000)
    assert.deepEqual([third.size, third.get('queue')?.since], [1, 2000])
  })
})

describe('readings', { timeout }, () => {
  const slice = {
    ...{ activeEntries: 100, activeOctets: 1000, minFreeSpace: 1000, sessionLimit: 50 },
    load: usualLoad,
  } as QmgrSlice
  const fine: Sample = {
    ...{ health: 'good', activeEntries: 100, activeOctets: 1000, spillGrows: false, sessions: 0 },
    ...{ intakeRate: 0, memory: 1 << 20, freeSpace: 1e9, freeInodes: 1e6, lags: {} },
  }
  const stateOf = (change: Partial<Sample>): string => {
    const worst = worstOf(throttle(new Map(), readingsOf({ ...fine, ...change }, slice), 0).values())
    return worst ? `${worst.state} ${worst.reading.resource}` : 'go'
  }

  it('takes each resource with its marks', () => {
    assert.equal(stateOf({}), 'go', 'a full active queue is no reason to stop anybody')
    assert.equal(stateOf({ health: 'full' }), 'refuse queue-store')
    assert.equal(stateOf({ health: 'broken' }), 'refuse queue-store')
    assert.equal(stateOf({ freeSpace: 1000 }), 'refuse disk-space')
    assert.equal(stateOf({ freeSpace: 1050 }), 'wait disk-space')
    assert.equal(stateOf({ freeInodes: 3 }), 'refuse inodes')
    assert.equal(stateOf({ memory: 800 << 20 }), 'wait memory')
    assert.equal(stateOf({ memory: 2000 << 20 }), 'refuse memory')
    assert.equal(stateOf({ sessions: 45 }), 'wait sessions')
    assert.equal(stateOf({ intakeRate: 30_000 }), 'wait intake-rate')
    assert.equal(stateOf({ lags: { 'smtpd-1': 20, smtpc: 1500 } }), 'wait lag smtpc')
    assert.equal(stateOf({ lags: { 'smtpd-1': 20_000, smtpc: 1500 } }), 'refuse lag smtpd-1')
  })

  it('counts what spilled only while it becomes more', () => {
    assert.equal(stateOf({ activeEntries: 250 }), 'go')
    assert.equal(stateOf({ activeEntries: 250, spillGrows: true }), 'wait active-entries')
    assert.equal(stateOf({ activeEntries: 5000, spillGrows: true }), 'refuse active-entries')
    assert.equal(stateOf({ activeOctets: 4500, spillGrows: true }), 'wait active-size')
  })
})

describe('spill', { timeout }, () => {
  const due = (rows: Partial<RecipientRow>[], octets = 10): Due => ({
    ...{ id: 1, envelope: new Uint8Array(), content: new Uint8Array(octets), waiting: 0 },
    rows: rows.map((row) => ({ ...fresh, ...row })),
  })
  const fresh: RecipientRow = {
    ...{ message: 1, n: 0, state: 'active', nextAttemptAt: 5, receivedAt: 5, attempts: 0, warned: false },
    ...{ address: 'a@x', sender: '', destination: 'x', octets: 10, reply: null },
    ...{ owner: null, repliedAt: null, inDoubt: false, doubts: 0, removal: null },
  }

  it('goes down by what comes back that had spilled, each message once', () => {
    const spill = new Spill()
    for (let n = 0; n < 4; n++) spill.out(10)
    spill.back([due([{}, { n: 1 }]), due([{ n: 2 }]), due([{ attempts: 1 }]), due([{ nextAttemptAt: 9 }])])
    assert.deepEqual([spill.messages, spill.octets], [3, 30])
    spill.back([])
    assert.deepEqual([spill.messages, spill.octets], [0, 0], 'nobody is due: it is all back')
    spill.back([due([{}])])
    assert.deepEqual([spill.messages, spill.octets], [0, 0], 'that was of an earlier life')
  })

  it('grows when there is more than ten ticks ago', () => {
    const spill = new Spill()
    for (let n = 0; n < 12; n++) spill.tick()
    spill.out(1)
    assert.equal(spill.grows, true)
    for (let n = 0; n < 10; n++) spill.tick()
    assert.equal(spill.grows, false, 'it stays as it is')
  })
})

describe('use over time', { timeout }, () => {
  it('fades away within two periods', () => {
    const window = newWindow(0)
    add(window, 1000, 10, 0)
    assert.deepEqual([used(window, 1000, 999), used(window, 1000, 1500)], [10, 5])
    assert.equal(used(window, 1000, 2000), 0)
    add(window, 1000, 10, 2000)
    assert.equal(used(window, 1000, 9000), 0, 'long idle')
  })

  it('stands a clock that is set back', () => {
    const window = newWindow(10_000)
    add(window, 1000, 10, 10_000)
    assert.equal(used(window, 1000, 3000), 10)
  })

  it('never has more than twice the limit in a period, and is free exactly when it says', () => {
    const steps = fc.array(fc.tuple(fc.nat(700), fc.integer({ min: 1, max: 4 })), { maxLength: 60 })
    fc.assert(
      fc.property(steps, (list) => {
        const window = newWindow(0)
        const taken: [number, number][] = []
        let now = 0
        for (const [wait, amount] of list) {
          now += wait
          const free = freeAt(window, 1000, 10, now)
          if (free > now) {
            assert.ok(free <= now + 2000)
            assert.ok(used({ ...window }, 1000, free) < 10, 'free when it says')
            assert.ok(used({ ...window }, 1000, Math.max(now, free - 2)) >= 10 - 0.1, 'and not much earlier')
            continue
          }
          add(window, 1000, amount, now)
          taken.push([now, amount])
          const lately = taken.filter(([at]) => at > now - 1000).reduce((sum, [, one]) => sum + one, 0)
          assert.ok(lately <= 20 + 4, `${lately} within a period`)
        }
      }),
    )
  })
})
