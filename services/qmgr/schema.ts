/**
 * The schema of `queue.db`, as the list of steps that lead to it. `migrate` runs what is missing, in one
 * transaction, with the queue full or empty; `user_version` counts the steps taken. Steps are only ever added.
 */
import type Database from 'better-sqlite3'

const steps: readonly string[] = [
  `
  CREATE TABLE intake (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, content BLOB);
  CREATE TABLE deferred (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, content BLOB);
  CREATE TABLE settled (message INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (message, n)) WITHOUT ROWID;
  -- state: 0 deferred, 1 held, 2 active
  CREATE TABLE recipient (
    message INTEGER NOT NULL, n INTEGER NOT NULL,
    state INTEGER NOT NULL, next_attempt INTEGER NOT NULL, attempts INTEGER NOT NULL, warned INTEGER NOT NULL,
    address TEXT NOT NULL, sender TEXT NOT NULL, destination TEXT NOT NULL,
    octets INTEGER NOT NULL, received INTEGER NOT NULL, reply TEXT,
    PRIMARY KEY (message, n)
  ) WITHOUT ROWID;
  CREATE INDEX recipient_due ON recipient (next_attempt) WHERE state = 0;
  CREATE INDEX recipient_held ON recipient (message) WHERE state = 1;
  CREATE INDEX recipient_destination ON recipient (destination);
  CREATE INDEX recipient_sender ON recipient (sender);
  CREATE INDEX recipient_address ON recipient (address);
  CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO meta VALUES ('serial', 1);
  `,
]

export const SCHEMA_VERSION = steps.length

/** @throws Error for a database that a newer Posthorn wrote. */
export function migrate(database: Database.Database): void {
  const version = database.pragma('user_version', { simple: true }) as number
  if (version > SCHEMA_VERSION) {
    throw new Error(
      `queue.db has schema version ${version}; this Posthorn knows ${SCHEMA_VERSION}: use the newer one`,
    )
  }
  if (version === SCHEMA_VERSION) return
  database.transaction(() => {
    for (const step of steps.slice(version)) database.exec(step)
    database.pragma(`user_version = ${SCHEMA_VERSION}`)
  })()
}
