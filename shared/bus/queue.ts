/**
 * What commands and qmgr say to each other about the queue: how mail is selected, how a recipient is shown, what
 * may be done. The messages themselves are with all others in `messages.ts`.
 *
 * A selection is the AND of its parts. Texts are patterns: `*` stands for any text, everything else for itself.
 * Limits: a text of a selection has at most 1000 characters.
 */
import {
  boolean,
  type Infer,
  integer,
  list,
  nullable,
  oneOf,
  optional,
  type Shape,
  string,
  struct,
} from '../base/shape.ts'
import { replyShape } from '../message/outcome.ts'

const MOST_CHARACTERS = 1000

const pattern: Shape<string> = {
  accepts: (value): value is string => string.accepts(value) && value.length <= MOST_CHARACTERS,
  explain: (_value, path) => `${path}: expected a string of at most ${MOST_CHARACTERS} characters`,
}

const states = ['active', 'deferred', 'held', 'removed'] as const
export const queueStateShape = oneOf(...states)
export type QueueState = Infer<typeof queueStateShape>

export const queueFilterShape = struct({
  ids: optional(list(integer)),
  sender: optional(pattern),
  recipient: optional(pattern),
  /** Of the recipient's address. */
  domain: optional(pattern),
  destination: optional(pattern),
  /** Absent: all but removed. */
  state: optional(queueStateShape),
  /** Milliseconds since 1970, exclusive. */
  receivedBefore: optional(integer),
  receivedAfter: optional(integer),
  /** Octets, exclusive. */
  largerThan: optional(integer),
  smallerThan: optional(integer),
  /** Of the last reply: `451` or `4.7.1`, or a pattern. */
  code: optional(pattern),
  /** What the last reply's text contains, without regard to ASCII case. */
  reply: optional(pattern),
  /** An attempt ended in doubt: the final dot got no answer, so it may have been delivered. */
  inDoubt: optional(boolean),
})
export type QueueFilter = Infer<typeof queueFilterShape>

/** One recipient of one queued message. */
export const queueEntryShape = struct({
  id: integer,
  /** Index in the envelope's recipients. */
  n: integer,
  sender: string,
  recipient: string,
  size: integer,
  receivedAt: integer,
  state: queueStateShape,
  attempts: integer,
  /** Milliseconds since 1970; null unless deferred. */
  nextAttemptAt: nullable(integer),
  destination: string,
  lastReply: nullable(replyShape),
  /** When that was said. */
  repliedAt: nullable(integer),
  /** Attempts that ended in doubt. */
  doubts: integer,
  /** Null unless removed. */
  removedAt: nullable(integer),
})
export type QueueEntry = Infer<typeof queueEntryShape>

/** An earlier reply than the last, where it was another one. */
export const pastReplyShape = struct({ n: integer, at: integer, reply: replyShape, inDoubt: boolean })
export type PastReply = Infer<typeof pastReplyShape>

/**
 * hold: tried no more until release. retry: the next attempt is now. route-again: the same, and where it was to go is
 * forgotten. remove: kept aside for a while, until restore. discard: gone for good.
 */
export const queueActShape = oneOf('hold', 'release', 'retry', 'route-again', 'remove', 'restore', 'discard')
export type QueueAct = Infer<typeof queueActShape>
