/** A queue that an older version left, full of mail, is taken over in place with nothing lost. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import { SCHEMA_VERSION } from '../../services/qmgr/schema.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import { contentOf, writeVersion1 } from '../support/old-queue.ts'

const MESSAGES = 2000
const timeout = 120_000

describe('schema', { timeout }, () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'posthorn-schema-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  it('takes over a full queue of version 1', () => {
    writeVersion1(join(directory, 'queue.db'), MESSAGES)
    const store = new SqliteStore(directory)
    const [first, second] = store.rows(6)
    assert.deepEqual(first, {
      ...{ message: 6, n: 0, state: 'deferred', nextAttemptAt: 60, attempts: 0, warned: false },
      ...{ address: 'a6@example.org', sender: 's6@example.net', owner: 1000, destination: 'mx' },
      ...{
        octets: contentOf(6).length,
        receivedAt: 6,
        repliedAt: null,
        inDoubt: false,
        doubts: 0,
        removal: null,
      },
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
    assert.equal(Buffer.from(store.load(8)?.content ?? []).toString(), String(contentOf(8)))
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
    writeVersion1(join(directory, 'queue.db'), MESSAGES)
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
    writeVersion1(file, MESSAGES)
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
