/** One suite for both queue stores: what qmgr relies on, whatever keeps it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import { SCHEMA_VERSION } from '../../services/qmgr/schema.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { QueueStore, RecipientRow, StoredMessage } from '../../services/qmgr/store.ts'

function message(id: number, content: string | null = 'body'): StoredMessage {
  return {
    id,
    envelope: Buffer.from(`envelope ${id}`),
    content: content === null ? null : Buffer.from(content),
  }
}

function row(message: number, n: number, more: Partial<RecipientRow> = {}): RecipientRow {
  return {
    message,
    n,
    state: 'deferred',
    nextAttemptAt: 1000,
    attempts: 1,
    warned: false,
    address: `user${n}@example.org`,
    sender: 'sender@example.net',
    destination: 'mx.example.org',
    octets: 4,
    receivedAt: 1,
    reply: { code: 451, enhanced: '4.3.0', text: 'later', host: 'mx.example.org' },
    ...more,
  }
}

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'posthorn-store-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const kinds: Record<string, () => QueueStore> = {
  sqlite: () => new SqliteStore(directory),
  memory: () => new MemoryStore(),
}

for (const [kind, make] of Object.entries(kinds)) {
  describe(`queue store: ${kind}`, () => {
    it('gives back at start what was inserted, and nothing that was removed', () => {
      const store = make()
      store.apply({ inserts: [message(1), message(2), message(3, null)], changes: [] })
      store.apply({ inserts: [], changes: [{ kind: 'remove', message: 2 }] })
      const found = store.recover()
      assert.deepEqual(
        found.map(({ id, content }) => [id, content === null ? null : Buffer.from(content).toString()]),
        [
          [1, 'body'],
          [3, null],
        ],
      )
      assert.deepEqual(store.filed(), [3])
      store.close()
    })

    it('remembers who is settled and who waits while others are under way', () => {
      const store = make()
      store.apply({
        inserts: [message(1)],
        changes: [
          { kind: 'settle', message: 1, n: 0 },
          { kind: 'wait', row: row(1, 2) },
        ],
      })
      const [found] = store.recover()
      assert.deepEqual(
        [...(found?.done ?? [])].sort((a, b) => a - b),
        [0, 2],
      )
      assert.equal(found?.waiting, 1)
      store.close()
    })

    it('takes what is due once, marks it active, and defers it again after a crash', () => {
      const store = make()
      const changes = [0, 1].map((n) => ({
        kind: 'wait' as const,
        row: row(1, n, { nextAttemptAt: 1000 + n * 1000 }),
      }))
      store.apply({ inserts: [message(1)], changes: [...changes, { kind: 'park', message: 1 }] })
      assert.equal(store.nextDue(), 1000)
      assert.deepEqual(store.take(999, 10), [])
      const [due] = store.take(1500, 10)
      assert.deepEqual(
        due?.rows.map((one) => one.n),
        [0],
      )
      assert.equal(due?.waiting, 1)
      assert.deepEqual(store.take(1500, 10), [])
      assert.equal(store.nextDue(), 2000)
      assert.deepEqual(store.recover(), [], 'a parked message is not in intake')
      assert.equal(store.take(1500, 10).length, 1, 'deferred again by recover')
      store.close()
    })

    it('keeps a message that somebody waits for, whatever it is told', () => {
      const store = make()
      store.apply({ inserts: [message(1)], changes: [{ kind: 'wait', row: row(1, 0) }] })
      store.apply({ inserts: [], changes: [{ kind: 'remove', message: 1 }] })
      assert.ok(store.load(1))
      assert.equal(store.take(2000, 10).length, 1)
      store.apply({ inserts: [], changes: [{ kind: 'remove', message: 1 }] })
      assert.equal(store.load(1), null)
      store.close()
    })

    it('lists, pages, holds, releases, flushes and discards by filter', () => {
      const store = make()
      for (const id of [1, 2, 3]) {
        store.apply({
          inserts: [message(id)],
          changes: [
            { kind: 'wait', row: row(id, 0, { destination: `mx${id}`, nextAttemptAt: 9e9 }) },
            { kind: 'park', message: id },
          ],
        })
      }
      const first = store.list({}, null, 2)
      assert.deepEqual(
        first.rows.map((one) => one.message),
        [1, 2],
      )
      assert.deepEqual(
        store.list({}, first.next, 2).rows.map((one) => one.message),
        [3],
      )
      assert.equal(store.shift({ destination: 'mx2' }, 'hold', 5), 1)
      assert.deepEqual(store.totals(), { deferred: 2, held: 1, messages: 3 })
      assert.equal(store.list({ state: 'held' }, null, 9).rows[0]?.message, 2)
      assert.equal(store.list({ destination: 'mx*' }, null, 9).rows.length, 3)
      assert.equal(store.list({ sender: 'send?r*' }, null, 9).rows.length, 0, 'only * is special')
      assert.equal(store.shift({ recipient: 'user0@*' }, 'flush', 5), 2)
      assert.equal(store.nextDue(), 5)
      assert.equal(store.shift({}, 'release', 6), 1)
      assert.deepEqual(store.discard({ ids: [2, 3] }), [
        { message: 2, recipients: 1, removed: true },
        { message: 3, recipients: 1, removed: true },
      ])
      assert.equal(store.load(3), null)
      assert.deepEqual(store.list({ ids: [] }, null, 9).rows, [])
      store.close()
    })

    it('rewrites an envelope and never gives a serial twice', () => {
      const store = make()
      store.apply({
        inserts: [message(1)],
        changes: [{ kind: 'rewrite', message: 1, envelope: Buffer.from('new') }],
      })
      assert.equal(Buffer.from(store.load(1)?.envelope ?? []).toString(), 'new')
      const first = store.reserveSerials(10)
      assert.equal(store.reserveSerials(10), first + 10)
      store.close()
    })
  })
}

describe('queue store: sqlite on disk', () => {
  it('runs every connection at synchronous=FULL, the reopened database too', () => {
    const first = new SqliteStore(directory)
    assert.equal(first.synchronous, 2)
    first.close()
    const second = new SqliteStore(directory)
    assert.equal(second.synchronous, 2)
    second.reopen()
    assert.equal(second.synchronous, 2)
    second.close()
  })

  it('keeps messages and serials over a restart', () => {
    const store = new SqliteStore(directory)
    store.apply({ inserts: [message(7)], changes: [] })
    const serial = store.reserveSerials(5)
    store.close()
    const again = new SqliteStore(directory)
    assert.deepEqual(
      again.recover().map((one) => one.id),
      [7],
    )
    assert.equal(again.reserveSerials(1), serial + 5)
    again.close()
  })

  it('refuses a database that a newer version wrote, by name', () => {
    new SqliteStore(directory).close()
    const database = new Database(join(directory, 'queue.db'))
    database.pragma(`user_version = ${SCHEMA_VERSION + 1}`)
    database.close()
    assert.throws(() => new SqliteStore(directory), /schema version 2; this Posthorn knows 1/)
  })

  it('applies a batch whole or not at all', () => {
    const store = new SqliteStore(directory)
    const twice = { inserts: [message(1), message(1)], changes: [] }
    assert.throws(() => store.apply(twice))
    assert.deepEqual(store.recover(), [])
    store.close()
  })
})
