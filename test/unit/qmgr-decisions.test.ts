/** What follows an outcome; how much a destination and a group get is in `qmgr-scheduler.test.ts`. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type History, judge, type RetryPolicy } from '../../services/qmgr/verdict.ts'
import type { Outcome } from '../../shared/message/outcome.ts'

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
