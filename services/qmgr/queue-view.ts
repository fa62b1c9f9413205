/**
 * Recipients as `posthorn queue` shows them: rows of the store and, on their first way through, slots that are only
 * in memory. Here both become one list, in the order of the selection.
 */
import type { QueueEntry } from '../../shared/bus/queue.ts'
import { type Entry, rowOf, type Slot } from './entry.ts'
import {
  comparePlaces,
  meets,
  type Order,
  orderOf,
  type Place,
  placeOf,
  readPlace,
  type Selection,
  writePlace,
} from './selection.ts'
import type { Page, RecipientRow } from './store.ts'

/**
 * A page of both: what the store has, and what is in memory between its ends. What does not fit comes with the next.
 */
export function pageOf(
  stored: Page,
  entries: ReadonlyMap<number, Entry>,
  selection: Selection,
  after: string | null,
  limit: number,
): { entries: QueueEntry[]; next: string | null } {
  const order = orderOf(selection)
  const end = stored.next === null ? null : readPlace(stored.next, order)
  const fresh = freshRows(entries, selection, { order, from: readPlace(after, order), to: end, limit })
  const rows = [...stored.rows, ...fresh]
    .map((row) => ({ row, place: placeOf(order, row) }))
    .sort((a, b) => comparePlaces(a.place, b.place))
  const last = rows[limit - 1]
  const next = last && rows.length > limit ? writePlace(last.place) : stored.next
  return { entries: rows.slice(0, limit).map(({ row }) => entryOfRow(row)), next }
}

interface Window {
  order: Order
  /** Both null where there is no end; `from` itself is left out. */
  from: Place | null
  to: Place | null
  limit: number
}

/** Recipients that the store has no rows of; one more than the limit at least, where there are so many. */
function freshRows(
  entries: ReadonlyMap<number, Entry>,
  selection: Selection,
  window: Window,
): RecipientRow[] {
  const { order, from, to, limit } = window
  const { ids: _ids, ...rest } = selection
  const found: RecipientRow[] = []
  for (const entry of candidates(entries, selection, window)) {
    if (order.column === null && found.length > limit) break
    for (const slot of entry.slots) {
      if (slot.hasRow || slot.state === 'done') continue
      const row = rowInMemory(entry, slot)
      const place = placeOf(order, row)
      if (from && comparePlaces(place, from) <= 0) continue
      if (to && comparePlaces(place, to) > 0) continue
      if (meets(rest, row)) found.push(row)
    }
  }
  return found
}

/** Messages in memory that may be meant; in order where the order is theirs. */
function candidates(
  entries: ReadonlyMap<number, Entry>,
  { ids }: Selection,
  { order, from, to }: Window,
): Entry[] {
  const wanted = ids ? [...new Set(ids)] : [...entries.keys()]
  const within =
    order.column !== null
      ? wanted
      : wanted
          .filter((id) => (!from || id >= from.message) && (!to || id <= to.message))
          .sort((a, b) => a - b)
  return within.flatMap((id) => entries.get(id) ?? [])
}

export function rowInMemory(entry: Entry, slot: Slot): RecipientRow {
  return rowOf(entry, slot, { state: 'active', at: 0 })
}

export function entryOfRow(row: RecipientRow): QueueEntry {
  return {
    id: row.message,
    n: row.n,
    sender: row.sender,
    recipient: row.address,
    size: row.octets,
    receivedAt: row.receivedAt,
    state: row.state,
    attempts: row.attempts,
    nextAttemptAt: row.state === 'deferred' ? row.nextAttemptAt : null,
    destination: row.destination,
    lastReply: row.reply,
    repliedAt: row.repliedAt,
    doubts: row.doubts,
    removedAt: row.removal?.at ?? null,
  }
}
