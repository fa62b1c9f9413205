/**
 * What is counted for one kind of reports, by day and policy domain, in a database of its own (`reports.db` for DMARC,
 * `tls.db` for TLS). One writer: this process.
 *
 * `synchronous` is NORMAL: a power cut takes some statistics, and no mail. Bounded: above `most` different results the
 * rest of them is not counted until a day is over. Days are whole numbers since 1970, UTC.
 * Fails: throws what SQLite throws, and `Error` for a file of a newer version.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import type { Payload } from '../../../shared/bus/messages.ts'
import type { loadSqlite } from '../greylist/store.ts'

export type Count = Payload<'dmarc-counts'>['counts'][number]

/** What a count of any kind has: the policy domain, its wish for reports, and how often. The rest are its facts. */
export interface Countable {
  domain: string
  record: string
  count: number
}

/** One report that is to be sent. */
export interface Due {
  day: number
  domain: string
  record: string
  attempts: number
}

const VERSION = 1
const SCHEMA = `
  CREATE TABLE report (
    day INTEGER NOT NULL, domain TEXT NOT NULL, record TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, domain)
  ) WITHOUT ROWID;
  CREATE TABLE result (
    day INTEGER NOT NULL, domain TEXT NOT NULL, facts TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (day, domain, facts)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${VERSION};
`

export class ReportStore<C extends Countable = Count> {
  readonly #database: Database.Database
  readonly #most: number
  #rows: number

  /** @param path a file, made if it is not there; `:memory:` for tests. */
  constructor(sqlite: Awaited<ReturnType<typeof loadSqlite>>, path: string, most: number) {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#most = most
    this.#database = new sqlite(path)
    this.#database.pragma('journal_mode = WAL')
    this.#database.pragma('synchronous = NORMAL')
    const version = this.#database.pragma('user_version', { simple: true }) as number
    if (version > VERSION) throw new Error(`${path} was written by a newer Posthorn (version ${version})`)
    if (version === 0) this.#database.exec(`BEGIN; ${SCHEMA} COMMIT;`)
    this.#rows = this.#database.prepare('SELECT count(*) FROM result').pluck().get() as number
  }

  /** Answers how many were left out for want of room. */
  add(day: number, counts: readonly C[]): number {
    const raise = this.#database.prepare(
      'UPDATE result SET count = count + ? WHERE day = ? AND domain = ? AND facts = ?',
    )
    const insert = this.#database.prepare('INSERT INTO result VALUES (?, ?, ?, ?)')
    const found = this.#database.prepare(
      'INSERT INTO report (day, domain, record) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record',
    )
    let left = 0
    this.#database.transaction(() => {
      for (const { count, domain, record, ...facts } of counts) {
        const text = JSON.stringify(facts)
        if (raise.run(count, day, domain, text).changes > 0) continue
        if (this.#rows >= this.#most) {
          left += count
          continue
        }
        found.run(day, domain, record)
        insert.run(day, domain, text, count)
        this.#rows++
      }
    })()
    return left
  }

  /** Of days before that one, to be tried by now. @param now milliseconds since 1970 */
  due(before: number, now: number, most: number): Due[] {
    return this.#database
      .prepare(
        'SELECT day, domain, record, attempts FROM report WHERE day < ? AND next <= ? ORDER BY day, domain LIMIT ?',
      )
      .all(before, now, most) as Due[]
  }

  messages({ day, domain }: Due): number {
    const sum = this.#database.prepare('SELECT sum(count) FROM result WHERE day = ? AND domain = ?').pluck()
    return (sum.get(day, domain) as number | null) ?? 0
  }

  /** At most so many, those with most messages first. */
  results({ day, domain }: Due, most: number): Omit<C, 'domain' | 'record'>[] {
    const rows = this.#database
      .prepare('SELECT facts, count FROM result WHERE day = ? AND domain = ? ORDER BY count DESC LIMIT ?')
      .all(day, domain, most) as { facts: string; count: number }[]
    return rows.map(({ facts, count }) => ({ ...JSON.parse(facts), count }) as Omit<C, 'domain' | 'record'>)
  }

  postpone({ day, domain }: Due, next: number): void {
    const put = 'UPDATE report SET attempts = attempts + 1, next = ? WHERE day = ? AND domain = ?'
    this.#database.prepare(put).run(next, day, domain)
  }

  /** It is sent, or nobody is to get it. */
  remove({ day, domain }: Due): void {
    this.#database.transaction(() => {
      this.#database.prepare('DELETE FROM report WHERE day = ? AND domain = ?').run(day, domain)
      const gone = this.#database.prepare('DELETE FROM result WHERE day = ? AND domain = ?').run(day, domain)
      this.#rows -= gone.changes
    })()
  }

  close(): void {
    this.#database.close()
  }
}
