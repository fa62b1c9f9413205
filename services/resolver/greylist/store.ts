/**
 * What greylisting remembers, in a database of its own (`greylist.db`). One writer: this process.
 *
 * `synchronous` is NORMAL, not FULL as for the queue: what a power cut takes from here is the memory of some senders,
 * who will wait once more, and no mail. Bounded: what has expired goes, and above `most` rows those that expire first,
 * which are the ones that never came again; looked at each SWEEP_EVERY new rows.
 * Fails: throws what SQLite throws, and `Error` for a file of a newer version.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type Database from 'better-sqlite3'
import type { Memory } from './decision.ts'

/** A network as a whole has '' for both. */
export interface Key {
  network: string
  sender: string
  recipient: string
}
export type Row = Key & Memory

const VERSION = 1
const SWEEP_EVERY = 1000

const SCHEMA = `
  CREATE TABLE seen (
    network TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, passed INTEGER NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (network, sender, recipient)
  ) WITHOUT ROWID;
  CREATE INDEX seen_expires ON seen (expires);
  CREATE INDEX seen_sender ON seen (sender);
  CREATE INDEX seen_recipient ON seen (recipient);
  PRAGMA user_version = ${VERSION};
`
const WHERE = 'network = @network AND sender = @sender AND recipient = @recipient'

type Sqlite = typeof Database

/**
 * Loaded only where there is greylisting, and before root is given up: its files may lie where the resolver's user
 * cannot read.
 */
export async function loadSqlite(): Promise<Sqlite> {
  const { default: sqlite } = await import('better-sqlite3')
  new sqlite(':memory:').close() // its library comes with the first database
  return sqlite
}

export class GreylistStore {
  readonly #database: Database.Database
  readonly #most: number
  readonly #get: Database.Statement<[Key]>
  readonly #put: Database.Statement<[Row & { expires: number }]>
  #fresh = 0

  /** @param path a file, made if it is not there; `:memory:` for tests. */
  constructor(sqlite: Sqlite, path: string, most: number) {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#most = most
    this.#database = new sqlite(path)
    this.#database.pragma('journal_mode = WAL')
    this.#database.pragma('synchronous = NORMAL')
    this.#prepareSchema(path)
    this.#get = this.#database.prepare(`SELECT first, last, passed FROM seen WHERE ${WHERE}`)
    this.#put = this.#database.prepare(
      'INSERT OR REPLACE INTO seen VALUES (@network, @sender, @recipient, @first, @last, @passed, @expires)',
    )
  }

  #prepareSchema(path: string): void {
    const version = this.#database.pragma('user_version', { simple: true }) as number
    if (version > VERSION) throw new Error(`${path} was written by a newer Posthorn (version ${version})`)
    if (version === 0) this.#database.exec(`BEGIN; ${SCHEMA} COMMIT;`)
  }

  get size(): number {
    return this.#database.prepare('SELECT count(*) FROM seen').pluck().get() as number
  }

  get(key: Key): Memory | null {
    return (this.#get.get(key) as Memory | undefined) ?? null
  }

  put(key: Key, memory: Memory, expires: number, now: number): void {
    this.#put.run({ ...key, ...memory, expires })
    if (memory.passed > 0 || memory.first !== memory.last || ++this.#fresh < SWEEP_EVERY) return
    this.sweep(now)
  }

  sweep(now: number): void {
    this.#fresh = 0
    this.#database.prepare('DELETE FROM seen WHERE expires < ?').run(now)
    const over = this.size - this.#most
    if (over <= 0) return
    this.#database
      .prepare(
        `DELETE FROM seen WHERE (network, sender, recipient) IN
          (SELECT network, sender, recipient FROM seen ORDER BY expires LIMIT ?)`,
      )
      .run(over)
  }

  /** By key, behind `after`. */
  list(after: Key | null, limit: number): Row[] {
    const from = after ?? { network: '', sender: '', recipient: '' }
    return this.#database
      .prepare(
        `SELECT network, sender, recipient, first, last, passed FROM seen
          WHERE (network, sender, recipient) > (@network, @sender, @recipient)
          ORDER BY network, sender, recipient LIMIT @limit`,
      )
      .all({ ...from, limit }) as Row[]
  }

  /** @param what a network, or the address of a sender or recipient; null: everything. Returns how many there were. */
  remove(what: string | null): number {
    if (what === null) return this.#database.prepare('DELETE FROM seen').run().changes
    return this.#database
      .prepare('DELETE FROM seen WHERE network = @what OR sender = @what OR recipient = @what')
      .run({ what }).changes
  }

  close(): void {
    this.#database.close()
  }
}
