/**
 * FUTURERELEASE, DELIVERBY and MT-PRIORITY in the queue: when a message is tried, when it is over, who is told.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noticeFor } from '../../services/qmgr/notice.ts'
import { priorityOf } from '../../services/qmgr/priority.ts'
import { returnsWhole } from '../../services/qmgr/returned-content.ts'
import { startsAt, whyNotNow } from '../../services/qmgr/timing.ts'
import { type History, judge, type RetryPolicy } from '../../services/qmgr/verdict.ts'
import type { DeliverBy, Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const MINUTE = 60_000
const envelope: Envelope = {
  id: 1,
  sender: 'a@example.org',
  recipients: [{ address: 'b@example.net' }],
  size: 10,
  body: '7bit',
  smtputf8: false,
  receivedAt: 0,
  origin: { listener: 'submission', session: 'S1', client: '127.0.0.1' },
}
const policy: RetryPolicy = {
  retry: [30 * MINUTE],
  lifetime: 1000 * MINUTE,
  bounceLifetime: 1000 * MINUTE,
  delayWarning: 100 * MINUTE,
}
const busy: Outcome = {
  kind: 'later',
  blame: 'recipient',
  reply: { code: 450, enhanced: '4.2.1', text: 'busy', host: 'mx' },
}
const by = (minutes: number, mode: DeliverBy['mode'], trace = false): DeliverBy => {
  return { at: minutes * MINUTE, mode, trace }
}
const history = (deliverBy: DeliverBy): History => {
  return { attempts: 0, receivedAt: 0, warned: false, isReport: false, deliverBy }
}

test('nothing is tried before its release, and its life begins there', () => {
  const held = { ...envelope, holdUntil: 10 * MINUTE }
  assert.equal(whyNotNow(envelope, 0), null)
  assert.equal(whyNotNow(held, 10 * MINUTE), null)
  const wait = whyNotNow(held, 5 * MINUTE)
  assert.deepEqual([wait?.outcome.kind, wait?.notBefore], ['later', 10 * MINUTE])
  assert.equal(startsAt(held), 10 * MINUTE)
})

test('what is to come back when it is late is not tried any more', () => {
  const urgent = { ...envelope, deliverBy: by(10, 'return') }
  assert.equal(whyNotNow(urgent, 10 * MINUTE - 1), null)
  const late = whyNotNow(urgent, 10 * MINUTE)
  assert.deepEqual([late?.outcome.kind, late?.outcome.reply.enhanced], ['never', '5.4.7'])
  assert.equal(whyNotNow({ ...envelope, deliverBy: by(10, 'notify') }, 99 * MINUTE), null)
})

test('the next look is no later than the time that was named; then it fails, or its sender is told once', () => {
  const soon = judge(busy, history(by(10, 'return')), policy, 0, 0.5)
  assert.equal(soon.kind === 'wait' && soon.at, 10 * MINUTE)
  assert.equal(judge(busy, history(by(10, 'return')), policy, 10 * MINUTE, 0.5).kind, 'fail')
  const early = judge(busy, history(by(10, 'notify')), policy, 0, 0.5)
  assert.deepEqual(early.kind === 'wait' && [early.at, early.warn], [10 * MINUTE, false])
  const late = judge(busy, history(by(10, 'notify')), policy, 10 * MINUTE, 0.5)
  assert.deepEqual(late.kind === 'wait' && [late.at, late.warn], [40 * MINUTE, true])
  const told = judge(busy, { ...history(by(10, 'notify')), warned: true }, policy, 41 * MINUTE, 0.5)
  assert.equal(told.kind === 'wait' && told.warn, false)
})

test('by-mode N is a wish to hear of delay, a trace one to hear of each relay, unless NOTIFY=NEVER', () => {
  const route: Route = { kind: 'smtp', zone: '.', destination: 'd', protocol: 'smtp', hosts: [] }
  const recipient: Recipient = { address: 'b@example.net', notify: 'FAILURE', route }
  const sent: Outcome = { kind: 'sent', reply: busy.reply, dsn: true }
  const waits = { kind: 'wait', at: 0, attempts: 1, warn: true, until: 9000, reply: busy.reply } as const
  const kindFor = (deliverBy: DeliverBy | undefined, notify: string, outcome: Outcome = sent) =>
    noticeFor(
      { ...envelope, ...(deliverBy && { deliverBy }) },
      { ...recipient, notify },
      outcome,
      outcome.kind === 'sent' ? { kind: 'done' } : waits,
    )?.kind
  assert.equal(kindFor(undefined, 'FAILURE', busy), undefined)
  assert.equal(kindFor(by(1, 'notify'), 'FAILURE', busy), 'delayed')
  assert.equal(kindFor(by(1, 'notify'), 'NEVER', busy), undefined)
  assert.equal(kindFor(by(1, 'return'), 'FAILURE'), undefined)
  assert.equal(kindFor(by(1, 'return', true), 'FAILURE'), 'relayed')
  assert.equal(kindFor(by(1, 'return', true), 'NEVER'), undefined)
  assert.equal(kindFor(by(1, 'notify'), 'FAILURE', { ...sent, untimed: true }), 'relayed')
})

test('MT-PRIORITY goes before what we guess', () => {
  const list = Buffer.from('Precedence: bulk\r\n\r\n')
  assert.equal(priorityOf({ ...envelope, priority: 1 }, list), 'urgent')
  assert.equal(priorityOf({ ...envelope, priority: -1 }, null), 'bulk')
  assert.equal(priorityOf({ ...envelope, priority: 0 }, list), 'bulk')
})

test('content that is binary, or must not travel unprotected, does not come back', () => {
  const full = { ...envelope, ret: 'full' as const }
  assert.equal(returnsWhole(full, 'failed', 100), true)
  assert.equal(returnsWhole({ ...full, body: 'binarymime' }, 'failed', 100), false)
  assert.equal(returnsWhole({ ...full, requireTls: true }, 'failed', 100), false)
})
