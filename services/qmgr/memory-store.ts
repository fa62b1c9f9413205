/**
 * The queue store's twin in memory: for tests of everything above it. Same interface, same suite as SQLite's.
 * `failNext` makes the next `apply` throw, as a disk would.
 */
import { isDeepStrictEqual } from 'node:util'
import type { PastReply } from '../../shared/bus/queue.ts'
import type { StoredCount } from './backlog.ts'
import {
  comparePlaces,
  meets,
  orderOf,
  placeOf,
  type RowAct,
  readPlace,
  type Selection,
  touchedBy,
  writePlace,
} from './selection.ts'
import {
  type Acted,
  type Batch,
  type Change,
  type Disposed,
  type Due,
  MOST_REPLIES,
  type Page,
  PIECE_ROWS,
  type Piece,
  type QueueStore,
  type RecipientRow,
  type Recovered,
  type StoredMessage,
  StoreTrouble,
  type Totals,
  type Trouble,
} from './store.ts'

export class MemoryStore implements QueueStore {
  readonly #intake = new Map<number, StoredMessage>()
  readonly #deferred = new Map<number, StoredMessage>()
  readonly #rows = new Map<string, RecipientRow>()
  readonly #settled = new Map<number, Set<number>>()
  readonly #earlier = new Map<string, PastReply[]>()
  #serial = 1
  #failure: Trouble | null = null

  failNext(trouble: Trouble): void {
    this.#failure = trouble
  }

  apply(batch: Batch): void {
    const failure = this.#failure
    this.#failure = null
    if (failure) throw new StoreTrouble(failure, 'as told')
    for (const message of batch.inserts) this.#intake.set(message.id, message)
    for (const change of batch.changes) this.#change(change)
  }

  #change(change: Change): void {
    switch (change.kind) {
      case 'settle': {
        const settled = this.#settled.get(change.message) ?? new Set()
        this.#settled.set(change.message, settled.add(change.n))
        this.#forget(`${change.message}.${change.n}`)
        return
      }
      case 'wait':
        return this.#wait(change.row)
      case 'park':
        return this.#park(change.message)
      case 'remove':
        if (change.alone) this.#intake.delete(change.message)
        else this.#remove(change.message)
        return
      case 'rewrite':
        for (const table of [this.#intake, this.#deferred]) {
          const message = table.get(change.message)
          if (message) table.set(message.id, { ...message, envelope: change.envelope })
        }
        return
      default: {
        const never: never = change
        throw new Error(`unknown change ${String(never)}`)
      }
    }
  }

  #wait(row: RecipientRow): void {
    const key = `${row.message}.${row.n}`
    const before = this.#rows.get(key)
    this.#rows.set(key, row)
    if (!before?.reply || before.repliedAt === null || !row.reply || row.repliedAt === before.repliedAt)
      return
    if (isDeepStrictEqual([before.reply, before.inDoubt], [row.reply, row.inDoubt])) return
    const { n, reply, repliedAt, inDoubt } = before
    const kept = [...(this.#earlier.get(key) ?? []), { n, at: repliedAt, reply, inDoubt }]
    this.#earlier.set(key, kept.slice(-MOST_REPLIES))
  }

  #forget(key: string): void {
    this.#rows.delete(key)
    this.#earlier.delete(key)
  }

  #park(id: number): void {
    const message = this.#intake.get(id)
    if (message) this.#deferred.set(id, message)
    this.#intake.delete(id)
  }

  #remove(id: number): void {
    for (const row of this.rows(id)) if (row.state === 'active') this.#forget(`${id}.${row.n}`)
    if (this.rows(id).length > 0) return this.#park(id)
    this.#intake.delete(id)
    this.#deferred.delete(id)
    this.#settled.delete(id)
  }

  recover(): Recovered[] {
    for (const [key, row] of this.#rows) {
      if (row.state === 'active') this.#rows.set(key, { ...row, state: 'deferred' })
    }
    return [...this.#intake.values()].map((message) => {
      const waiting = this.rows(message.id).map((row) => row.n)
      return {
        ...message,
        done: [...(this.#settled.get(message.id) ?? []), ...waiting],
        waiting: waiting.length,
      }
    })
  }

  take(now: number, limit: number): Due[] {
    const due = [...this.#rows.values()]
      .filter((row) => row.state === 'deferred' && row.nextAttemptAt <= now)
      .sort((a, b) => a.nextAttemptAt - b.nextAttemptAt)
      .slice(0, limit)
    const byMessage = groupBy(due, (row) => row.message)
    return [...byMessage].flatMap(([id, rows]) => {
      const active = rows.map((row) => ({ ...row, state: 'active' as const }))
      for (const row of active) this.#rows.set(`${id}.${row.n}`, row)
      const message = this.load(id)
      const waiting = this.rows(id).filter((row) => row.state !== 'active').length
      return message ? [{ ...message, rows: active, waiting }] : []
    })
  }

  nextDue(): number | null {
    const times = [...this.#rows.values()]
      .filter((row) => row.state === 'deferred')
      .map((row) => row.nextAttemptAt)
    return times.length > 0 ? Math.min(...times) : null
  }

  load(id: number): StoredMessage | null {
    return this.#intake.get(id) ?? this.#deferred.get(id) ?? null
  }

  rows(message: number): RecipientRow[] {
    return this.#sorted().filter((row) => row.message === message)
  }

  history(message: number): PastReply[] {
    return this.rows(message).flatMap(({ n }) => this.#earlier.get(`${message}.${n}`) ?? [])
  }

  list(selection: Selection, after: string | null, limit: number): Page {
    const order = orderOf(selection)
    const from = readPlace(after, order)
    const places = this.#sorted()
      .filter((row) => order.column !== 'removed' || row.state === 'removed')
      .map((row) => ({ row, place: placeOf(order, row) }))
      .filter(({ place }) => from === null || comparePlaces(place, from) > 0)
      .sort((a, b) => comparePlaces(a.place, b.place))
      .slice(0, PIECE_ROWS)
    const found = places.filter(({ row }) => meets(selection, row)).slice(0, limit)
    const last = found.length === limit ? found.at(-1) : places.length === PIECE_ROWS ? places.at(-1) : null
    return { rows: found.map(({ row }) => row), next: last ? writePlace(last.place) : null }
  }

  count(selection: Selection, after: string | null): Piece<number> {
    const { rows: found, next } = this.list(selection, after, PIECE_ROWS + 1)
    return { found: found.length, next }
  }

  act(act: RowAct, selection: Selection, after: string | null, limit: number, now: number): Piece<Acted> {
    const { rows: found, next } = this.list(selection, after, limit)
    for (const row of found) this.#rows.set(`${row.message}.${row.n}`, changed(row, act, now))
    return { found: { recipients: found.length, touched: touchedBy(act, found) }, next }
  }

  discard(selection: Selection, after: string | null, limit: number): Piece<Disposed> {
    const { rows: found, next } = this.list(selection, after, limit)
    for (const { message, n } of found) this.#change({ kind: 'settle', message, n })
    const messages = [...groupBy(found, (row) => row.message)].map(([message, rows]) => {
      const removed = this.rows(message).length === 0 && this.#deferred.delete(message)
      if (removed) this.#settled.delete(message)
      return { message, recipients: rows.length, removed }
    })
    return { found: { messages, touched: touchedBy('discard', found) }, next }
  }

  totals(): Totals {
    const total = { deferred: 0, held: 0, removed: 0 }
    for (const { state } of this.#rows.values()) total[state === 'active' ? 'deferred' : state]++
    return total
  }

  destinations(): StoredCount[] {
    const counts = new Map<string, number>()
    for (const { destination, state } of this.#rows.values())
      if (state !== 'removed') counts.set(destination, (counts.get(destination) ?? 0) + 1)
    return [...counts].map(([destination, recipients]) => ({ destination, recipients }))
  }

  filed(): number[] {
    return [...this.#intake.values(), ...this.#deferred.values()]
      .filter((message) => message.content === null)
      .map((message) => message.id)
  }

  reserveSerials(count: number): number {
    const first = this.#serial
    this.#serial += count
    return first
  }

  probe(): boolean {
    return true
  }

  reopen(): void {
    // memory does not break
  }

  close(): void {
    // nothing to close
  }

  #sorted(): RecipientRow[] {
    return [...this.#rows.values()].sort((a, b) => a.message - b.message || a.n - b.n)
  }
}

function groupBy(rows: RecipientRow[], key: (row: RecipientRow) => number): Map<number, RecipientRow[]> {
  const groups = new Map<number, RecipientRow[]>()
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row])
  return groups
}

function changed(row: RecipientRow, act: RowAct, now: number): RecipientRow {
  switch (act) {
    case 'hold':
      return { ...row, state: 'held' }
    case 'release':
      return { ...row, state: 'deferred', nextAttemptAt: now }
    case 'retry':
      return { ...row, nextAttemptAt: now }
    case 'route-again':
      return { ...row, nextAttemptAt: now, destination: '' }
    case 'remove':
      return {
        ...row,
        state: 'removed',
        removal: { at: now, was: row.state === 'held' ? 'held' : 'deferred' },
      }
    case 'restore':
      return { ...row, state: row.removal?.was ?? 'deferred', nextAttemptAt: now, removal: null }
    default: {
      const never: never = act
      throw new Error(`unknown act ${String(never)}`)
    }
  }
}
