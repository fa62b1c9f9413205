/**
 * The schema of `queue.db`, as the list of steps that lead to it. `migrate` runs what is missing, in one
 * transaction, with the queue full or empty; `user_version` counts the steps taken. Steps are only ever added.
 */
import type Database from 'better-sqlite3'
import { decodeEnvelope } from './envelope-codec.ts'

type Step = (database: Database.Database) => void

const steps: readonly Step[] = [
  (database) =>
    database.exec(`
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
  `),
  askable,
  wordy,
  demanding,
]

export const SCHEMA_VERSION = steps.length

/**
 * Everything that the queue is asked for gets a column and an index; removed recipients (state 3) and earlier
 * replies are kept. A row is in an index with its key, so that each index gives its rows in order.
 */
function askable(database: Database.Database): void {
  database.exec(`
  CREATE TABLE recipient_2 (
    message INTEGER NOT NULL, n INTEGER NOT NULL,
    state INTEGER NOT NULL, next_attempt INTEGER NOT NULL, attempts INTEGER NOT NULL, warned INTEGER NOT NULL,
    address TEXT NOT NULL, domain TEXT NOT NULL, sender TEXT NOT NULL, owner INTEGER, destination TEXT NOT NULL,
    octets INTEGER NOT NULL, received INTEGER NOT NULL,
    code INTEGER, enhanced TEXT, text TEXT, host TEXT, replied INTEGER,
    in_doubt INTEGER NOT NULL, doubts INTEGER NOT NULL,
    removed INTEGER, removed_from INTEGER,
    PRIMARY KEY (message, n)
  ) WITHOUT ROWID;
  -- rtrim by all signs of the address but @ leaves what ends with its last @
  INSERT INTO recipient_2
    SELECT message, n, state, next_attempt, attempts, warned,
      address, substr(address, length(rtrim(address, replace(address, '@', ''))) + 1), sender, NULL, destination,
      octets, received,
      said ->> 'code', said ->> 'enhanced', said ->> 'text', said ->> 'host', NULL,
      0, 0, NULL, NULL
    FROM (SELECT *, iif(json_valid(reply), reply, NULL) AS said FROM recipient) ORDER BY message, n;
  DROP TABLE recipient;
  ALTER TABLE recipient_2 RENAME TO recipient;
  CREATE INDEX recipient_due ON recipient (next_attempt) WHERE state = 0;
  CREATE INDEX recipient_held ON recipient (message) WHERE state = 1;
  CREATE INDEX recipient_active ON recipient (message) WHERE state = 2;
  CREATE INDEX recipient_removed ON recipient (removed) WHERE state = 3;
  CREATE INDEX recipient_doubtful ON recipient (message) WHERE doubts > 0;
  CREATE INDEX recipient_owner ON recipient (owner) WHERE owner IS NOT NULL;
  CREATE INDEX recipient_destination ON recipient (destination);
  CREATE INDEX recipient_domain ON recipient (domain);
  CREATE INDEX recipient_sender ON recipient (sender);
  CREATE INDEX recipient_address ON recipient (address);
  CREATE INDEX recipient_code ON recipient (code);
  CREATE INDEX recipient_enhanced ON recipient (enhanced);
  CREATE INDEX recipient_received ON recipient (received);
  CREATE INDEX recipient_octets ON recipient (octets);
  CREATE TABLE earlier (
    message INTEGER NOT NULL, n INTEGER NOT NULL, replied INTEGER NOT NULL,
    code INTEGER NOT NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL, host TEXT NOT NULL,
    in_doubt INTEGER NOT NULL,
    PRIMARY KEY (message, n, replied)
  ) WITHOUT ROWID;
  -- content is not read to find out which messages have a file
  CREATE INDEX deferred_filed ON deferred (content) WHERE content IS NULL;
  CREATE INDEX intake_filed ON intake (content) WHERE content IS NULL;
  `)
  nameOwners(database)
}

/** Envelopes may hold what an older Posthorn would not read: times, priority, TLS. Older ones are as they were. */
function wordy(): void {}

/** The same once more: what the sender demands of TLS. */
function demanding(): void {}

/** Envelopes know who submitted a message here; rows did not. What cannot be read stays nobody's. */
function nameOwners(database: Database.Database): void {
  const name = database.prepare('UPDATE recipient SET owner = ? WHERE message = ?')
  for (const table of ['deferred', 'intake']) {
    const next = database.prepare(`SELECT id, envelope FROM ${table} WHERE id > ? ORDER BY id LIMIT 100`)
    for (let at = -1; ; ) {
      const messages = next.all(at) as { id: number; envelope: Uint8Array }[]
      for (const { id, envelope } of messages) {
        const uid = uidOf(envelope)
        if (uid !== null) name.run(uid, id)
      }
      const last = messages.at(-1)
      if (!last) break
      at = last.id
    }
  }
}

function uidOf(envelope: Uint8Array): number | null {
  try {
    return decodeEnvelope(envelope).origin.uid ?? null
  } catch {
    return null
  }
}

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
    for (const step of steps.slice(version)) step(database)
    database.pragma(`user_version = ${SCHEMA_VERSION}`)
  })()
}
