/** A queue that an older version left, full of mail, is taken over in place with nothing lost. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import { encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { SCHEMA_VERSION } from '../../services/qmgr/schema.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { Envelope } from '../../shared/message/envelope.ts'

/** As version 1 made it, letter for letter. */
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
const MESSAGES = 2000
const timeout = 120_000

function envelope(id: number): Envelope {
  return {
    id,
    sender: `s${id}@example.net`,
    recipients: [{ address: `a${id}@example.org` }, { address: `"b@c"@d${id}.example` }],
    size: 4,
    body: '7bit',
    smtputf8: false,
    receivedAt: id,
    origin: { listener: 'local', session: 'S1', client: '', ...(id % 2 === 0 && { uid: 1000 + (id % 3) }) },
  }
}

/** Odd ids in intake, even ones deferred; of each, one recipient in each state in turn. */
function writeVersion1(file: string): void {
  const database = new Database(file)
  database.exec(VERSION_1)
  const row = database.prepare('INSERT INTO recipient VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  database.transaction(() => {
    for (let id = 1; id <= MESSAGES; id++) {
      const table = id % 2 === 0 ? 'deferred' : 'intake'
      const content = id % 10 === 0 ? null : Buffer.from(`content ${id}`)
      database.prepare(`INSERT INTO ${table} VALUES (?, ?, ?)`).run(id, encodeEnvelope(envelope(id)), content)
      const reply = { code: 451, enhanced: '4.7.1', text: `wait "${id}"\nplease`, host: 'mx' }
      const said = id % 5 === 0 ? null : JSON.stringify(reply)
      for (const [n, { address }] of envelope(id).recipients.entries())
        row.run(id, n, (id + n) % 3, id * 10, n, id % 2, address, `s${id}@example.net`, 'mx', 4, id, said)
    }
    database.prepare('INSERT INTO settled VALUES (3, 9)').run()
  })()
  database.close()
}

describe('schema', { timeout }, () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'posthorn-schema-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  it('takes over a full queue of version 1', () => {
    writeVersion1(join(directory, 'queue.db'))
    const store = new SqliteStore(directory)
    const [first, second] = store.rows(6)
    assert.deepEqual(first, {
      ...{ message: 6, n: 0, state: 'deferred', nextAttemptAt: 60, attempts: 0, warned: false },
      ...{ address: 'a6@example.org', sender: 's6@example.net', owner: 1000, destination: 'mx' },
      ...{ octets: 4, receivedAt: 6, repliedAt: null, inDoubt: false, doubts: 0, removal: null },
      reply: { code: 451, enhanced: '4.7.1', text: 'wait "6"\nplease', host: 'mx' },
    })
    assert.deepEqual([second?.state, second?.attempts], ['held', 1])
    assert.equal(store.rows(5)[0]?.reply, null)
    assert.equal(store.rows(5)[0]?.owner, null)
    assert.deepEqual(
      store.list({ domain: 'd7.example' }, null, 9).rows.map(({ message, n }) => [message, n]),
      [[7, 1]],
      'the domain is behind the last @',
    )
    assert.equal(store.list({ code: '4.7.1', reply: 'WAIT "8"' }, null, 9).rows.length, 2)
    assert.equal(Buffer.from(store.load(8)?.content ?? []).toString(), 'content 8')
    assert.equal(store.filed().length, MESSAGES / 10)
    const recovered = store.recover()
    assert.equal(recovered.length, MESSAGES / 2)
    assert.deepEqual(
      [...(recovered.find(({ id }) => id === 3)?.done ?? [])].sort((a, b) => a - b),
      [0, 1, 9],
    )
    const { deferred, held, removed } = store.totals()
    assert.deepEqual([deferred + held, removed], [2 * MESSAGES, 0])
    assert.equal(store.reserveSerials(1), 77)
    store.close()
  })

  it('is the same for an old queue as for a new one', () => {
    writeVersion1(join(directory, 'queue.db'))
    new SqliteStore(directory).close()
    const fresh = mkdtempSync(join(tmpdir(), 'posthorn-schema-'))
    new SqliteStore(fresh).close()
    const [old, made] = [directory, fresh].map((where) => {
      const database = new Database(join(where, 'queue.db'))
      const parts = database
        .prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name')
        .all()
      const version = database.pragma('user_version', { simple: true })
      database.close()
      return { parts, version }
    })
    assert.deepEqual(old, made)
    assert.equal(old?.version, SCHEMA_VERSION)
    rmSync(fresh, { recursive: true, force: true })
  })

  it('survives envelopes and replies that cannot be read', () => {
    const file = join(directory, 'queue.db')
    writeVersion1(file)
    const database = new Database(file)
    database.prepare('UPDATE deferred SET envelope = ? WHERE id = 2').run(Buffer.from('what'))
    database.prepare("UPDATE recipient SET reply = '{' WHERE message = 4").run()
    database.close()
    const store = new SqliteStore(directory)
    assert.equal(store.rows(2)[0]?.owner, null)
    assert.equal(store.rows(4)[0]?.reply, null)
    assert.ok(store.load(2))
    store.close()
  })
})
