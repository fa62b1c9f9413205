/**
 * The queue store on SQLite: one file `queue.db`, one writer, WAL, `synchronous=FULL` (design rule D7: an
 * existing WAL database opens at NORMAL, which forgets acknowledged mail at power loss, so the pragma is set and
 * read back on every open).
 *
 * Trouble: ENOSPC and the quota errors are `full`; a failed sync or any other I/O error is `broken`, and after it
 * the connection is not written through again (rule D5): `reopen` opens a new one, empties the log into the
 * database and takes back what the failed commit may have left there, before anything is promised. A reserve file
 * is given up when the disk is full so that results of deliveries can still be written, and made again when there
 * is room (rule D6).
 * The schema has a version: an older one is migrated in place, a newer one refused by name (rule D8).
 */
import { statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { PastReply } from '../../shared/bus/queue.ts'
import type { StoredCount } from './backlog.ts'
import { migrate } from './schema.ts'
import { type RowAct, type Selection, touchedBy } from './selection.ts'
import { actOnPiece, countPiece, keysPiece, listPiece } from './sqlite-control.ts'
import { type RawEarlier, type RawRow, readEarlier, readRow } from './sqlite-rows.ts'
import { applyBatch, applyChange, prepare, type Statements } from './sqlite-statements.ts'
import {
  type Acted,
  type Batch,
  type Disposed,
  type Due,
  type Page,
  type Piece,
  type QueueStore,
  type RecipientRow,
  type Recovered,
  type StoredMessage,
  StoreTrouble,
  type Totals,
} from './store.ts'

/** The write-ahead log is folded into the database when it has grown by this many pages. */
const CHECKPOINT_PAGES = 4000
const RESERVE_OCTETS = 4 << 20

export class SqliteStore implements QueueStore {
  readonly #directory: string
  #database: Database.Database
  #statements: Statements
  #transact: (batch: Batch) => void
  /** A write or a sync of this connection has failed: nothing is written through it any more. */
  #distrusted = false
  /** What the write that failed would have done: it may stand in the log all the same. */
  readonly #inDoubt: { inserted: number[]; taken: RawRow[] } = { inserted: [], taken: [] }

  /** @throws Error when the directory cannot be used or the file is of a newer version. */
  constructor(directory: string) {
    this.#directory = directory
    const opened = open(directory)
    this.#database = opened.database
    this.#statements = opened.statements
    this.#transact = opened.transact
    this.#keepReserve()
  }

  /** The pragma this connection runs at: 2 is FULL. */
  get synchronous(): unknown {
    return this.#database.pragma('synchronous', { simple: true })
  }

  apply(batch: Batch): void {
    try {
      this.#write(() => this.#transact(batch))
    } catch (error) {
      if (this.#distrusted) this.#inDoubt.inserted.push(...batch.inserts.map(({ id }) => id))
      throw error
    }
  }

  recover(): Recovered[] {
    this.#write(() => this.#statements.resetActive.run())
    return (this.#statements.intake.all() as StoredMessage[]).map((message) => {
      const waiting = this.rows(message.id).map((row) => row.n)
      const settled = this.#statements.settled.pluck().all(message.id) as number[]
      return { ...message, done: [...settled, ...waiting], waiting: waiting.length }
    })
  }

  take(now: number, limit: number): Due[] {
    const found = this.#statements.due.all(now, limit) as RawRow[]
    const byMessage = new Map<number, RecipientRow[]>()
    for (const raw of found) {
      const row = { ...readRow(raw), state: 'active' as const }
      const rows = byMessage.get(row.message)
      if (rows) rows.push(row)
      else byMessage.set(row.message, [row])
    }
    try {
      this.#write(() =>
        this.#database.transaction(() => {
          for (const raw of found) this.#statements.activate.run(raw.message, raw.n)
        })(),
      )
    } catch (error) {
      if (this.#distrusted) this.#inDoubt.taken.push(...found)
      throw error
    }
    return [...byMessage].flatMap(([id, rows]) => {
      const message = this.load(id)
      return message ? [{ ...message, rows, waiting: this.#waiting(id) }] : []
    })
  }

  nextDue(): number | null {
    return (this.#statements.nextDue.pluck().get() as number | null) ?? null
  }

  load(id: number): StoredMessage | null {
    return (this.#statements.load.get(id, id) as StoredMessage | undefined) ?? null
  }

  rows(message: number): RecipientRow[] {
    return (this.#statements.rows.all(message) as RawRow[]).map(readRow)
  }

  history(message: number): PastReply[] {
    return (this.#statements.history.all(message) as RawEarlier[]).flatMap(readEarlier)
  }

  list(selection: Selection, after: string | null, limit: number): Page {
    return listPiece(this.#database, selection, after, limit)
  }

  count(selection: Selection, after: string | null): Piece<number> {
    return countPiece(this.#database, selection, after)
  }

  act(act: RowAct, selection: Selection, after: string | null, limit: number, now: number): Piece<Acted> {
    const spends = false // an administrator can wait; results of deliveries cannot
    return this.#write(() => actOnPiece(this.#database, act, selection, after, limit, now), spends)
  }

  discard(selection: Selection, after: string | null, limit: number): Piece<Disposed> {
    return this.#write(() =>
      this.#database.transaction(() => {
        const { found, next } = keysPiece(this.#database, selection, after, limit)
        const counts = new Map<number, number>()
        for (const { message, n } of found) {
          applyChange(this.#statements, { kind: 'settle', message, n })
          counts.set(message, (counts.get(message) ?? 0) + 1)
        }
        const messages = [...counts].map(([message, recipients]) => ({
          message,
          recipients,
          removed: this.#removeEmpty(message),
        }))
        return { found: { messages, touched: touchedBy('discard', found) }, next }
      })(),
    )
  }

  totals(): Totals {
    return this.#statements.totals.get() as Totals
  }

  destinations(): StoredCount[] {
    return this.#statements.destinations.all() as StoredCount[]
  }

  filed(): number[] {
    return this.#statements.filed.pluck().all() as number[]
  }

  reserveSerials(count: number): number {
    const first = this.#statements.serial.pluck().get() as number
    this.#write(() => this.#statements.setSerial.run(first + count))
    return first
  }

  reopen(): void {
    try {
      this.#database.close()
    } catch {
      // a connection that failed may fail to close; it is not used again either way
    }
    const opened = open(this.#directory)
    opened.database.pragma('wal_checkpoint(TRUNCATE)')
    this.#database = opened.database
    this.#statements = opened.statements
    this.#transact = opened.transact
    this.#undoDoubtful()
    this.#distrusted = false
    this.#keepReserve()
  }

  /**
   * A commit whose sync failed comes to life when its log is read anew. Who was refused tries again, and results
   * with their reports are recorded again, so what came with it is taken out before anything else is promised.
   */
  #undoDoubtful(): void {
    const { inserted, taken } = this.#inDoubt
    const { removeIntake, removeDeferred, removeRows, removeSettled, deactivate } = this.#statements
    this.#database.transaction(() => {
      for (const id of inserted)
        for (const statement of [removeIntake, removeDeferred, removeRows, removeSettled]) statement.run(id)
      for (const { message, n } of taken) deactivate.run(message, n)
    })()
    inserted.length = 0
    taken.length = 0
  }

  close(): void {
    this.#database.close()
  }

  #waiting(message: number): number {
    return this.#statements.waiting.pluck().get(message) as number
  }

  /** Intake messages are somebody's who is under way; only deferred ones with no row at all are empty. */
  #removeEmpty(message: number): boolean {
    if (this.rows(message).length > 0) return false
    const removed = this.#statements.removeDeferred.run(message).changes > 0
    if (removed) this.#statements.removeSettled.run(message)
    return removed
  }

  probe(): boolean {
    return this.#keepReserve()
  }

  /** True when the reserve stands, complete and synced. */
  #keepReserve(): boolean {
    const path = join(this.#directory, 'reserve')
    try {
      if (statSync(path, { throwIfNoEntry: false })?.size === RESERVE_OCTETS) return true
      writeFileSync(path, Buffer.alloc(RESERVE_OCTETS), { mode: 0o600, flush: true })
      return true
    } catch {
      this.#spendReserve()
      return false
    }
  }

  /** Deliveries go on with a full disk (rule D6), so whatever finds it full gives up the reserve. */
  #write<T>(work: () => T, spends = true): T {
    if (this.#distrusted) throw new StoreTrouble('broken', 'this connection has failed; a new one is needed')
    try {
      return work()
    } catch (error) {
      const trouble = troubleOf(error)
      if (trouble === 'full' && spends) this.#spendReserve()
      this.#distrusted = DISK_TROUBLE.test(codeOf(error))
      throw new StoreTrouble(trouble, String(error))
    }
  }

  #spendReserve(): void {
    try {
      unlinkSync(join(this.#directory, 'reserve'))
    } catch {
      // spent before
    }
  }
}

interface Opened {
  database: Database.Database
  statements: Statements
  transact: (batch: Batch) => void
}

/** better-sqlite3 loads its library at the first database. */
export function loadNativeCode(): void {
  new Database(':memory:').close()
}

function open(directory: string): Opened {
  const database = new Database(join(directory, 'queue.db'))
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  if (database.pragma('synchronous', { simple: true }) !== 2)
    throw new Error('SQLite does not keep synchronous=FULL')
  database.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`)
  database.pragma('temp_store = MEMORY')
  migrate(database)
  const statements = prepare(database)
  return {
    database,
    statements,
    transact: database.transaction((batch: Batch) => applyBatch(statements, batch)),
  }
}

/** What says that a file is not as SQLite left it; a broken rule of ours, for example a name twice, does not. */
const DISK_TROUBLE = /^SQLITE_(IOERR|CORRUPT|NOTADB|READONLY|CANTOPEN|PROTOCOL)/

function troubleOf(error: unknown): 'full' | 'broken' {
  return codeOf(error) === 'SQLITE_FULL' ? 'full' : 'broken'
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
