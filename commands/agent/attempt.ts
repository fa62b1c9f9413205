/**
 * What one attempt to send means for a message: who has it, who never will, who is still waiting, and when the next
 * attempt is due. Pure.
 */
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { AgentSettings } from '../accounts/account.ts'
import type { Failure } from './notice.ts'
import type { OutboxMessage } from './outbox.ts'

export type Fate = { kind: 'done' } | { kind: 'kept'; message: OutboxMessage }

/** @param outcomes by position in `message.recipients`. */
export function afterAttempt(
  message: OutboxMessage,
  outcomes: readonly Outcome[],
  settings: Pick<AgentSettings, 'retry' | 'lifetime'>,
  now: number,
): Fate {
  const waiting = message.recipients.filter((_, at) => (outcomes[at]?.kind ?? 'later') === 'later')
  const refused = message.recipients.flatMap(({ address }, at) => {
    const outcome = outcomes[at]
    return outcome?.kind === 'never' ? [{ address, reply: outcome.reply }] : []
  })
  const all = [...message.refused, ...refused]
  if (waiting.length === 0 && all.length === 0) return { kind: 'done' }
  const attempts = message.attempts + 1
  const tooOld = now - message.receivedAt >= settings.lifetime
  const state = waiting.length === 0 || tooOld ? 'failed' : 'waiting'
  return {
    kind: 'kept',
    message: {
      ...message,
      recipients: waiting,
      refused: all,
      attempts,
      state,
      nextAttemptAt: now + waitAfter(attempts, settings.retry),
      lastReply: lastReplyOf(outcomes) ?? message.lastReply,
    },
  }
}

/** Who failed for good between the two: those refused since, and all that waited when it was given up. */
export function failedSince(before: OutboxMessage, after: OutboxMessage): Failure[] {
  const notify = new Map(before.recipients.map((one) => [one.address, one.notify]))
  const refused = after.refused
    .slice(before.refused.length)
    .map(({ address, reply }): Failure => ({ address, notify: notify.get(address) ?? null, reply }))
  if (after.state !== 'failed') return refused
  const expired = after.recipients.map(
    ({ address, notify }): Failure => ({ address, notify, reply: after.lastReply }),
  )
  return [...refused, ...expired]
}

/** The last of the waits repeats. */
export function waitAfter(attempts: number, retry: readonly number[]): number {
  return retry[Math.min(attempts, retry.length) - 1] ?? 60_000
}

function lastReplyOf(outcomes: readonly Outcome[]): Reply | null {
  return outcomes.findLast(({ kind }) => kind !== 'sent')?.reply ?? null
}
