/**
 * What became of one recipient in one attempt: sent, later or never. Three outcomes, never a boolean.
 *
 * `later` says whose trouble it is, because the scheduler reacts to it: trouble of a `recipient` or of the
 * `message` leaves the destination's standing alone; trouble of the `destination` (no connection, 421, timeout)
 * shrinks its share; `ours` (disk, DNS, a dead worker) is held against nobody and never becomes a bounce.
 */
import { boolean, type Infer, integer, oneOf, optional, string, struct, union } from '../base/shape.ts'

/** A reply as SMTP gives it, RFC 5321 section 4.2 and RFC 3463; `host` is who said it ('' for ourselves). */
export const replyShape = struct({
  code: integer,
  /** `5.1.1`, or '' when the peer gave none. */
  enhanced: string,
  /** Lines joined by `\n`, without the codes. */
  text: string,
  host: string,
})
export type Reply = Infer<typeof replyShape>

export const outcomeShape = union({
  sent: {
    reply: replyShape,
    /** The next host took NOTIFY over (RFC 3461 section 5.2.1): it tells the sender, not we. */
    dsn: optional(boolean),
    /** The next host does not know of the time by which it should be delivered (RFC 2852 section 4.2). */
    untimed: optional(boolean),
  },
  later: {
    reply: replyShape,
    blame: oneOf('recipient', 'message', 'destination', 'ours'),
    /** The final dot went out and no reply came back: it may have been delivered (RFC 1047). */
    inDoubt: optional(boolean),
  },
  never: { reply: replyShape },
})
export type Outcome = Infer<typeof outcomeShape>

/** For whoever submitted the message: the recipient as they called it; no outcome while nothing was tried. */
export const fateShape = struct({ address: string, outcome: optional(outcomeShape) })
export type RecipientFate = Infer<typeof fateShape>
export type Blame = Extract<Outcome, { kind: 'later' }>['blame']
