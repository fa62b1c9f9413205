/**
 * A queue as version 1 of the schema left it, letter for letter, full of mail: for tests of what becomes of it.
 *
 * Odd ids are in intake, even ones deferred. Each message has two recipients, with a row each: deferred and due,
 * held, or active in turn. Of ten messages one has its content in a file, which is left to the caller.
 */
import Database from 'better-sqlite3'
import { encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import type { Envelope } from '../../shared/message/envelope.ts'

const VERSION_1 = `
  CREATE TABLE intake (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, content BLOB);
  CREATE TABLE deferred (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, content BLOB);
  CREATE TABLE settled (message INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (message, n)) WITHOUT ROWID;
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
  INSERT INTO meta VALUES ('serial', 77);
  PRAGMA user_version = 1;
`
export const contentOf = (id: number): Buffer => Buffer.from(`content ${id}\r\n`)
export const isFiled = (id: number): boolean => id % 10 === 0

function envelope(id: number): Envelope {
  return {
    id,
    sender: `s${id}@example.net`,
    recipients: [{ address: `a${id}@example.org` }, { address: `"b@c"@d${id}.example` }],
    size: contentOf(id).length,
    body: '7bit',
    smtputf8: false,
    receivedAt: id,
    origin: { listener: 'local', session: 'S1', client: '', ...(id % 2 === 0 && { uid: 1000 + (id % 3) }) },
  }
}

export function writeVersion1(file: string, messages: number): void {
  const database = new Database(file)
  database.exec(VERSION_1)
  const row = database.prepare('INSERT INTO recipient VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  database.transaction(() => {
    for (let id = 1; id <= messages; id++) {
      const table = id % 2 === 0 ? 'deferred' : 'intake'
      const content = isFiled(id) ? null : contentOf(id)
      database.prepare(`INSERT INTO ${table} VALUES (?, ?, ?)`).run(id, encodeEnvelope(envelope(id)), content)
      const reply = { code: 451, enhanced: '4.7.1', text: `wait "${id}"\nplease`, host: 'mx' }
      const said = id % 5 === 0 ? null : JSON.stringify(reply)
      for (const [n, { address }] of envelope(id).recipients.entries())
        row.run(
          id,
          n,
          (id + n) % 3,
          id * 10,
          n,
          id % 2,
          address,
          `s${id}@example.net`,
          'mx',
          contentOf(id).length,
          id,
          said,
        )
    }
    database.prepare('INSERT INTO settled VALUES (3, 9)').run()
  })()
  database.close()
}
