/**
 * One message in the active queue: its envelope, its content if that is at hand, and a slot for each recipient
 * that is being worked on. A slot goes `routing -> queued -> trying` and ends `done`; who must wait leaves the
 * entry for a row of the store (`waiting` counts those). An entry with no open slot leaves the active queue.
 */
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Conclusion } from './active-queue.ts'
import { type Priority, priorityOf } from './priority.ts'
import type { RecipientRow } from './store.ts'

export type SlotState = 'routing' | 'queued' | 'trying' | 'done'

/** What an attempt told of a recipient that must wait. */
export interface Heard {
  reply: Reply
  /** Null where it was not written down. */
  at: number | null
  /** The final dot got no answer. */
  inDoubt: boolean
  /** How often that was so until now. */
  doubts: number
}

export interface Slot {
  n: number
  recipient: Recipient
  state: SlotState
  attempts: number
  warned: boolean
  /** Null before the first attempt. */
  heard: Heard | null
  /** The store has a row for it, marked active. */
  hasRow: boolean
  /** The destination that row was written for; null without one. */
  filedUnder: string | null
  /** The destination it counts for in `backlog.ts`; '' for none yet. */
  destination: string
}

export interface Entry {
  id: number
  envelope: Envelope
  /** Null when it is a file, or was left in the store to save memory. */
  content: Uint8Array | null
  /** The content is a file of its own. */
  filed: boolean
  priority: Priority
  slots: Slot[]
  open: number
  /** Recipients that wait in rows of the store. */
  waiting: number
  /** Set while it is being cut through and no store knows of it. */
  provisional: { conclude: (conclusions: readonly Conclusion[]) => void } | null
  /** The store has the message in intake and not a word of its recipients. */
  alone: boolean
  /** Attempts that ended because a worker of ours died. */
  crashes: number
}

/** A message fresh from intake: everybody is to be tried now. */
export function freshEntry(envelope: Envelope, content: Uint8Array | null): Entry {
  const slots = envelope.recipients.map((recipient, n) => newSlot(n, recipient))
  return {
    id: envelope.id,
    envelope,
    content: content && tight(content),
    filed: content === null,
    priority: priorityOf(envelope, content),
    slots,
    open: slots.length,
    waiting: 0,
    provisional: null,
    alone: true,
    crashes: 0,
  }
}

export function newSlot(n: number, recipient: Recipient): Slot {
  const blank = { attempts: 0, warned: false, heard: null, hasRow: false, filedUnder: null, destination: '' }
  return { n, recipient, state: 'routing', ...blank }
}

export function slotOfRow(envelope: Envelope, row: RecipientRow): Slot {
  const recipient = envelope.recipients[row.n] ?? { address: row.address }
  const { n, attempts, warned, destination, reply, repliedAt, inDoubt, doubts } = row
  const heard = reply ? { reply, at: repliedAt, inDoubt, doubts } : null
  const filed = { hasRow: true, filedUnder: destination, destination }
  return { n, recipient, state: 'routing', attempts, warned, heard, ...filed }
}

/** By its route; '' while it has none. */
export function destinationOf({ recipient }: Slot): string {
  return recipient.route?.destination ?? ''
}

export function heardFrom(outcome: Outcome, before: Heard | null, at: number): Heard {
  const inDoubt = outcome.kind === 'later' && outcome.inDoubt === true
  return { reply: outcome.reply, at, inDoubt, doubts: (before?.doubts ?? 0) + (inDoubt ? 1 : 0) }
}

/** @param wait `at`: the next attempt; for held and removed ones, now. */
export function rowOf(
  entry: Entry,
  slot: Slot,
  wait: { state: RecipientRow['state']; at: number },
): RecipientRow {
  const { envelope } = entry
  const { heard } = slot
  return {
    message: entry.id,
    n: slot.n,
    state: wait.state,
    nextAttemptAt: wait.at,
    attempts: slot.attempts,
    warned: slot.warned,
    address: slot.recipient.address,
    sender: envelope.sender,
    owner: envelope.origin.uid ?? null,
    destination: destinationOf(slot),
    octets: envelope.size,
    receivedAt: envelope.receivedAt,
    reply: heard?.reply ?? null,
    repliedAt: heard?.at ?? null,
    inDoubt: heard?.inDoubt ?? false,
    doubts: heard?.doubts ?? 0,
    removal: wait.state === 'removed' ? { at: wait.at, was: 'deferred' } : null,
  }
}

/** A small view would keep the whole slab it was read into alive: copy it then. */
function tight(content: Uint8Array): Uint8Array {
  return content.buffer.byteLength > 2 * content.length ? new Uint8Array(content) : content
}
