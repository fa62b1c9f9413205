/**
 * The queue store: what must survive. Names are sendmail X's.
 *
 * - *intake* (IBDB): messages on their first way through. A message enters here and, when all goes well, leaves
 *   from here within milliseconds; nothing but its id is indexed.
 * - *deferred* (DEFEDB): messages with nobody under way, and `recipient` rows for everyone who waits, is held or
 *   was removed and may come back, indexed by everything that `posthorn queue` asks for (`selection.ts`).
 * - *earlier*: replies that such a recipient got before the last one.
 * - *settled*: recipients of a message that are done while others are not; gone with the message.
 *
 * `apply` takes a batch: one transaction, one sync; when it returns, all of it is on stable storage, and when it
 * throws none of it is (`StoreTrouble` says whether the disk is full). The interface is synchronous because
 * SQLite is; qmgr runs it in a thread of its own (`store-thread.ts`). Two implementations, one test suite:
 * `sqlite-store.ts` and `memory-store.ts`.
 */
import type { PastReply } from '../../shared/bus/queue.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import type { StoredCount } from './backlog.ts'
import type { RowAct, Selection } from './selection.ts'

/** Why `apply` threw: `full` heals when space is freed; `broken` needs the database to be opened anew. */
export type Trouble = 'full' | 'broken'

export class StoreTrouble extends Error {
  override name = 'StoreTrouble'
  readonly trouble: Trouble

  constructor(trouble: Trouble, message: string) {
    super(message)
    this.trouble = trouble
  }
}

export interface StoredMessage {
  id: number
  /** msgpack of `Envelope`; see `envelope-codec.ts`. */
  envelope: Uint8Array
  /** Null when the content is a file of its own. */
  content: Uint8Array | null
}

/** Who waits: one recipient that is deferred, held, removed for now, or (`active`) taken up again from there. */
export interface RecipientRow {
  message: number
  /** Index in the envelope's recipients. */
  n: number
  state: 'deferred' | 'held' | 'active' | 'removed'
  /** Milliseconds since 1970. */
  nextAttemptAt: number
  attempts: number
  /** The delay warning has been sent (RFC 3464 action `delayed`). */
  warned: boolean
  address: string
  sender: string
  /** The local uid that submitted the message, who may look at it; null for everything else. */
  owner: number | null
  destination: string
  octets: number
  receivedAt: number
  /** What was said last, and when; null before the first attempt. */
  reply: Reply | null
  repliedAt: number | null
  /** That attempt ended in doubt: the final dot got no answer (RFC 1047). */
  inDoubt: boolean
  /** How many attempts did. */
  doubts: number
  /** Since when it is removed, and what it was; null for all others. */
  removal: { at: number; was: 'deferred' | 'held' } | null
}

export type Change =
  /** A recipient is done; others of the message are not. */
  | { kind: 'settle'; message: number; n: number }
  /** A recipient waits, is held, or is removed for now. */
  | { kind: 'wait'; row: RecipientRow }
  /** Nobody of the message is under way any more, but some wait: intake to deferred. */
  | { kind: 'park'; message: number }
  /** All recipients are done. A store that knows of one who waits keeps the message and parks it instead. */
  /** `alone`: it came fresh from intake and nothing was ever said of its recipients, so there is nothing else to look for. */
  | { kind: 'remove'; message: number; alone?: true }
  /** Routing made other recipients of the ones there were. */
  | { kind: 'rewrite'; message: number; envelope: Uint8Array }

export interface Batch {
  inserts: StoredMessage[]
  changes: Change[]
}

/** An intake message found at start, with the recipients that need no more work now. */
export interface Recovered extends StoredMessage {
  /** Settled, or waiting in a row of their own. */
  done: number[]
  waiting: number
}

/** A message whose recipients are due. */
export interface Due extends StoredMessage {
  rows: RecipientRow[]
  /** How many others of the message wait still. */
  waiting: number
}

/** What an act did to rows. */
export interface Acted {
  recipients: number
  touched: Touched[]
}

/** What `discard` did, by message. */
export interface Disposed {
  messages: Discarded[]
  touched: Touched[]
}

/** A destination that rows of an act were for, and by how many recipients more are queued for it now; or less: below 0. */
export type Touched = StoredCount

/** What `discard` did to one message. */
export interface Discarded {
  message: number
  recipients: number
  /** Nobody was left, so the message went too. */
  removed: boolean
}

export interface Totals {
  /** Being tried again included. */
  deferred: number
  held: number
  removed: number
}

export interface Page {
  rows: RecipientRow[]
  next: string | null
}

/**
 * Queries and acts go through the rows a bounded piece at a time, for the store does nothing else meanwhile. `next`
 * is where to go on, null at the end; a piece may hold nothing and have a next one.
 */
export interface Piece<T> {
  found: T
  next: string | null
}

export interface QueueStore {
  apply(batch: Batch): void
  /** Every intake message; rows marked `active` by an earlier life are deferred again. */
  recover(): Recovered[]
  /** Marks up to `limit` recipients that are due `active`, and gives them out by message. */
  take(now: number, limit: number): Due[]
  /** When the next deferred recipient is due; null when there is none. */
  nextDue(): number | null
  load(id: number): StoredMessage | null
  rows(message: number): RecipientRow[]
  /** Replies before the last one, by recipient and time; the latest MOST_REPLIES of each. */
  history(message: number): PastReply[]
  /** Up to `limit` rows, in the order that `selection.ts` has for such a selection. */
  list(selection: Selection, after: string | null, limit: number): Page
  count(selection: Selection, after: string | null): Piece<number>
  /** Does it to up to `limit` of the rows, whatever their state: the selection says which. */
  act(act: RowAct, selection: Selection, after: string | null, limit: number, now: number): Piece<Acted>
  /** Settles recipients for good, and removes messages that have nobody left. */
  discard(selection: Selection, after: string | null, limit: number): Piece<Disposed>
  totals(): Totals
  /** Recipients that wait, are held or are under way from a row, by destination. */
  destinations(): StoredCount[]
  /** Ids of all messages whose content is a file. */
  filed(): number[]
  /** The first of `count` serials that no one else will ever get; durable with the next batch. */
  reserveSerials(count: number): number
  /** After `full`: whether there is room again, the reserve included. */
  probe(): boolean
  /** After `broken`: opens everything anew. Throws when that fails. */
  reopen(): void
  close(): void
}

/** Replies kept for one recipient besides the last. */
export const MOST_REPLIES = 10
/** Rows that a query looks at in one go. */
export const PIECE_ROWS = 10_000
