/**
 * What to do with a recipient after an attempt: a pure function of the outcome, the recipient's history, the
 * retry policy and the time (RFC 5321 section 4.5.4.1: retry for days, at growing intervals).
 *
 * Our own trouble is never a reason to give up (design rule D4): it is retried soon, for ever, and not counted.
 * An attempt in doubt (RFC 1047) counts, whose trouble it was or not, and a full interval goes by before the next: the
 * message may have arrived, and who takes long to answer must not get it again and again (design rule D3).
 */
import type { DeliverBy } from '../../shared/message/envelope.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { noLaterThanDue } from './timing.ts'

export interface RetryPolicy {
  /** Milliseconds before the second, third, … attempt; the last one repeats. */
  retry: readonly number[]
  lifetime: number
  bounceLifetime: number
  /** 0: never. */
  delayWarning: number
  /** Milliseconds that nothing is sent to whoever said so, this recipient included. */
  suspend?: number
}

export interface History {
  /** Attempts before this one. */
  attempts: number
  /** When its life began: as it came, or when it was released. */
  receivedAt: number
  deliverBy?: DeliverBy | undefined
  warned: boolean
  /** The null reverse-path: a report, for which nobody is to be told. */
  isReport: boolean
}

export type Verdict =
  | { kind: 'done' }
  | { kind: 'fail'; reply: Reply; expired: boolean }
  /** `until`: the end of its life. */
  | { kind: 'wait'; at: number; attempts: number; warn: boolean; reply: Reply; until: number }

const OURS_MS = 30_000
const JITTER = 0.1

/** @param random 0 to 1, for the jitter that keeps retries from marching in step. */
export function judge(
  outcome: Outcome,
  history: History,
  policy: RetryPolicy,
  now: number,
  random: number,
): Verdict {
  switch (outcome.kind) {
    case 'sent':
      return { kind: 'done' }
    case 'never':
      return { kind: 'fail', reply: outcome.reply, expired: false }
    case 'later':
      return later(outcome, history, policy, now, random)
    default: {
      const never: never = outcome
      throw new Error(`unknown outcome ${String(never)}`)
    }
  }
}

function later(
  outcome: Extract<Outcome, { kind: 'later' }>,
  history: History,
  policy: RetryPolicy,
  now: number,
  random: number,
): Verdict {
  const { reply } = outcome
  const first = policy.retry[0] ?? OURS_MS
  const ends = endOf(history, policy)
  if (outcome.blame === 'ours' && !outcome.inDoubt) {
    return {
      kind: 'wait',
      at: now + Math.min(first, OURS_MS),
      attempts: history.attempts,
      warn: false,
      reply,
      until: ends,
    }
  }
  if (now >= ends) return { kind: 'fail', reply, expired: true }
  const wait = policy.retry[Math.min(history.attempts, policy.retry.length - 1)] ?? first
  const jitter = outcome.inDoubt ? random : 2 * random - 1
  const at = now + Math.max(Math.round(wait * (1 + JITTER * jitter)), policy.suspend ?? 0)
  const warn = !history.warned && !history.isReport && isLate(history, policy, now)
  return {
    kind: 'wait',
    at: outcome.inDoubt
      ? at
      : noLaterThanDue(Math.min(at, Math.max(ends, now + 1000)), history.deliverBy, now),
    attempts: history.attempts + 1,
    warn,
    reply,
    until: ends,
  }
}

function endOf({ receivedAt, isReport, deliverBy }: History, policy: RetryPolicy): number {
  const ends = receivedAt + (isReport ? policy.bounceLifetime : policy.lifetime)
  return deliverBy?.mode === 'return' ? Math.min(ends, deliverBy.at) : ends
}

/** RFC 2852 section 4.1: a sender who has said what late means is told then. */
function isLate({ receivedAt, deliverBy }: History, { delayWarning }: RetryPolicy, now: number): boolean {
  if (deliverBy?.mode === 'notify') return now >= deliverBy.at
  return delayWarning > 0 && now >= receivedAt + delayWarning
}
