/**
 * The queue store: what must survive. Names are sendmail X's.
 *
 * - *intake* (IBDB): messages on their first way through. A message enters here and, when all goes well, leaves
 *   from here within milliseconds; nothing but its id is indexed.
 * - *deferred* (DEFEDB): messages with nobody under way, and `recipient` rows for everyone who waits or is held,
 *   indexed by time, destination, sender and recipient.
 * - *settled*: recipients of a message that are done while others are not; gone with the message.
 *
 * `apply` takes a batch: one transaction, one sync; when it returns, all of it is on stable storage, and when it
 * throws none of it is (`StoreTrouble` says whether the disk is full). The interface is synchronous because
 * SQLite is; qmgr runs it in a thread of its own (`store-thread.ts`). Two implementations, one test suite:
 * `sqlite-store.ts` and `memory-store.ts`.
 */
import type { QueueFilter } from '../../shared/bus/messages.ts'
import type { Reply } from '../../shared/message/outcome.ts'

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

/** Who waits: one recipient that is deferred, held, or (`active`) taken up again from there. */
export interface RecipientRow {
  message: number
  /** Index in the envelope's recipients. */
  n: number
  state: 'deferred' | 'held' | 'active'
  /** Milliseconds since 1970. */
  nextAttemptAt: number
  attempts: number
  /** The delay warning has been sent (RFC 3464 action `delayed`). */
  warned: boolean
  address: string
  sender: string
  destination: string
  octets: number
  receivedAt: number
  reply: Reply | null
}

export type Change =
  /** A recipient is done; others of the message are not. */
  | { kind: 'settle'; message: number; n: number }
  /** A recipient waits (or is held). */
  | { kind: 'wait'; row: RecipientRow }
  /** Nobody of the message is under way any more, but some wait: intake to deferred. */
  | { kind: 'park'; message: number }
  /** All recipients are done. A store that knows of one who waits keeps the message and parks it instead. */
  | { kind: 'remove'; message: number }
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

/** What `discard` did to one message. */
export interface Discarded {
  message: number
  recipients: number
  /** Nobody was left, so the message went too. */
  removed: boolean
}

export interface Totals {
  deferred: number
  held: number
  messages: number
}

export interface Page {
  rows: RecipientRow[]
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
  list(filter: QueueFilter, after: string | null, limit: number): Page
  /** Hold, release or flush deferred rows by filter; gives the number of recipients changed. */
  shift(filter: QueueFilter, to: 'hold' | 'release' | 'flush', now: number): number
  /** Settles waiting recipients for good, and removes messages that have nobody left. */
  discard(filter: QueueFilter): Discarded[]
  totals(): Totals
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
