/**
 * The queue store's twin in memory: for tests of everything above it. Same interface, same suite as SQLite's.
 * `failNext` makes the next `apply` throw, as a disk would.
 */
import type { QueueFilter } from '../../shared/bus/messages.ts'
import { pageKey, pageOf } from './sqlite-rows.ts'
import {
  type Batch,
  type Change,
  type Discarded,
  type Due,
  type Page,
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
        this.#rows.delete(`${change.message}.${change.n}`)
        return
      }
      case 'wait':
        this.#rows.set(`${change.row.message}.${change.row.n}`, change.row)
        return
      case 'park':
        return this.#park(change.message)
      case 'remove':
        return this.#remove(change.message)
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

  #park(id: number): void {
    const message = this.#intake.get(id)
    if (message) this.#deferred.set(id, message)
    this.#intake.delete(id)
  }

  #remove(id: number): void {
    for (const row of this.rows(id)) if (row.state === 'active') this.#rows.delete(`${id}.${row.n}`)
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

  list(filter: QueueFilter, after: string | null, limit: number): Page {
    const { message, n } = pageKey(after)
    const found = this.#sorted().filter(
      (row) => (row.message > message || (row.message === message && row.n > n)) && matches(filter, row),
    )
    return pageOf(found.slice(0, limit), limit)
  }

  shift(filter: QueueFilter, to: 'hold' | 'release' | 'flush', now: number): number {
    const from = to === 'release' ? 'held' : 'deferred'
    const found = this.#sorted().filter((row) => row.state === from && matches(filter, row))
    for (const row of found) {
      const changed =
        to === 'hold' ? { state: 'held' as const } : { state: 'deferred' as const, nextAttemptAt: now }
      this.#rows.set(`${row.message}.${row.n}`, { ...row, ...changed })
    }
    return found.length
  }

  discard(filter: QueueFilter): Discarded[] {
    const found = this.#sorted().filter((row) => row.state !== 'active' && matches(filter, row))
    for (const { message, n } of found) this.#change({ kind: 'settle', message, n })
    return [...groupBy(found, (row) => row.message)].map(([message, rows]) => {
      const removed = this.rows(message).length === 0 && this.#deferred.delete(message)
      if (removed) this.#settled.delete(message)
      return { message, recipients: rows.length, removed }
    })
  }

  totals(): Totals {
    const held = [...this.#rows.values()].filter((row) => row.state === 'held').length
    return { held, deferred: this.#rows.size - held, messages: this.#deferred.size }
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

/** Whether a row is meant by a filter; the same rule that `whereOf` gives SQLite. */
export function matches(filter: QueueFilter, row: Omit<RecipientRow, 'reply' | 'nextAttemptAt'>): boolean {
  if (filter.ids && !filter.ids.includes(row.message)) return false
  if (filter.state && filter.state !== row.state) return false
  return (
    fits(filter.sender, row.sender) &&
    fits(filter.recipient, row.address) &&
    fits(filter.destination, row.destination)
  )
}

function fits(pattern: string | undefined, text: string): boolean {
  if (pattern === undefined || pattern === text) return true
  if (!pattern.includes('*')) return false
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's').test(text)
}
