/**
 * When a message may be tried and until when it is of use: FUTURERELEASE (RFC 4865) and DELIVERBY (RFC 2852). Pure.
 *
 * The life of a held message begins with its release: lifetime and delay warning count from there. Nothing is tried
 * before, whoever asks for it. A message that is to come back when it is late (by-mode R) is not tried once its time
 * is over; one whose sender only wants to know (N) goes on, and the sender is told (`verdict.ts`, `notice.ts`).
 */
import type { DeliverBy, Envelope } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'

/** When the first attempt may be, milliseconds since 1970. */
export function startsAt({ receivedAt, holdUntil }: Envelope): number {
  return Math.max(receivedAt, holdUntil ?? receivedAt)
}

/** `at`, or earlier when something has to be done about the message before then. */
export function noLaterThanDue(at: number, deliverBy: DeliverBy | undefined, now: number): number {
  return deliverBy && deliverBy.at > now ? Math.min(at, deliverBy.at) : at
}

export interface NotNow {
  outcome: Outcome
  /** Wait until then; absent: it is over. */
  notBefore?: number
}

/** Asked before each attempt. */
export function whyNotNow(envelope: Envelope, now: number): NotNow | null {
  const { deliverBy } = envelope
  if (deliverBy?.mode === 'return' && now >= deliverBy.at) return { outcome: TOO_LATE }
  const start = startsAt(envelope)
  return start > now ? { outcome: HELD, notBefore: start } : null
}

// RFC 3463 section 3.5: delivery time expired
const TOO_LATE: Outcome = {
  kind: 'never',
  reply: { code: 550, enhanced: '5.4.7', text: 'not delivered by the time that the sender named', host: '' },
}
const HELD: Outcome = {
  kind: 'later',
  blame: 'ours',
  reply: { code: 450, enhanced: '4.2.0', text: 'the sender wants it released later', host: '' },
}
