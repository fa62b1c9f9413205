/** One suite for both queue stores: what qmgr relies on, whatever keeps it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import type { StoredCount } from '../../services/qmgr/backlog.ts'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import { SCHEMA_VERSION } from '../../services/qmgr/schema.ts'
import { meets, type RowAct, type Selection } from '../../services/qmgr/selection.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import {
  type Change,
  MOST_REPLIES,
  type Piece,
  type QueueStore,
  type RecipientRow,
  type StoredMessage,
} from '../../services/qmgr/store.ts'

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
    owner: null,
    destination: 'mx.example.org',
    octets: 4,
    receivedAt: 1,
    reply: { code: 451, enhanced: '4.3.0', text: 'later', host: 'mx.example.org' },
    repliedAt: 500,
    inDoubt: false,
    doubts: 0,
    removal: null,
    ...more,
  }
}

/** A message with nobody under way. */
function park(store: QueueStore, ...rows: RecipientRow[]): void {
  const id = rows[0]?.message ?? 0
  const waits = rows.map((one): Change => ({ kind: 'wait', row: one }))
  store.apply({ inserts: [message(id)], changes: [...waits, { kind: 'park', message: id }] })
}

function messagesOf(rows: readonly RecipientRow[]): number[] {
  return rows.map((one) => one.message)
}

function everything<T>(piece: (after: string | null) => Piece<T>): T[] {
  const found: T[] = []
  for (let after: string | null = null; ; ) {
    const { found: one, next }: Piece<T> = piece(after)
    found.push(one)
    if (next === null) return found
    after = next
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

    it('takes a fresh message out with one stroke', () => {
      const store = make()
      store.apply({
        inserts: [message(1), message(2)],
        changes: [{ kind: 'remove', message: 1, alone: true }],
      })
      assert.deepEqual(
        store.recover().map(({ id }) => id),
        [2],
      )
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

    it('lists, pages, holds, releases, retries and discards by selection', () => {
      const store = make()
      for (const id of [1, 2, 3]) park(store, row(id, 0, { destination: `mx${id}`, nextAttemptAt: 9e9 }))
      const first = store.list({}, null, 2)
      assert.deepEqual(messagesOf(first.rows), [1, 2])
      assert.deepEqual(messagesOf(store.list({}, first.next, 2).rows), [3])
      assert.equal(store.act('hold', { destination: 'mx2' }, null, 9, 5).found.recipients, 1)
      assert.deepEqual(store.totals(), { deferred: 2, held: 1, removed: 0 })
      assert.deepEqual(messagesOf(store.list({ state: 'held' }, null, 9).rows), [2])
      assert.equal(store.list({ destination: 'mx*' }, null, 9).rows.length, 3)
      assert.equal(store.list({ sender: 'send?r*' }, null, 9).rows.length, 0, 'only * is special')
      const retried = store.act('retry', { recipient: 'user0@*', states: ['deferred'] }, null, 9, 5)
      assert.deepEqual(retried.found, {
        recipients: 2,
        touched: [
          { destination: 'mx1', recipients: 0 },
          { destination: 'mx3', recipients: 0 },
        ],
      })
      assert.equal(store.nextDue(), 5)
      assert.equal(store.act('release', { states: ['held'] }, null, 9, 6).found.recipients, 1)
      assert.deepEqual(store.discard({ ids: [2, 3] }, null, 9).found.messages, [
        { message: 2, recipients: 1, removed: true },
        { message: 3, recipients: 1, removed: true },
      ])
      assert.equal(store.load(3), null)
      assert.deepEqual(store.list({ ids: [] }, null, 9).rows, [])
      store.close()
    })

    it('counts recipients by destination, the removed ones not', () => {
      const store = make()
      park(store, row(1, 0, { destination: 'x' }), row(1, 1, { destination: 'x', state: 'held' }))
      park(store, row(2, 0, { destination: 'y' }), row(2, 1, { destination: 'z' }))
      const counts = () =>
        store.destinations().map(({ destination, recipients }) => `${destination} ${recipients}`)
      assert.deepEqual(counts().sort(), ['x 2', 'y 1', 'z 1'])
      store.take(9000, 9)
      assert.deepEqual(counts().sort(), ['x 2', 'y 1', 'z 1'], 'under way is still queued')
      store.recover()
      store.act('remove', { destination: 'z', states: ['deferred'] }, null, 9, 70)
      store.act('remove', { destination: 'x', states: ['held'] }, null, 9, 70)
      assert.deepEqual(counts().sort(), ['x 1', 'y 1'])
      store.close()
    })

    it('says by how many each act changes the number of a destination', () => {
      const store = make()
      const before = new Map<string, number>()
      const check = (what: string, touched: StoredCount[]) => {
        for (const { destination, recipients } of touched)
          if (destination !== '') before.set(destination, (before.get(destination) ?? 0) + recipients)
        const now = store.destinations().filter(({ destination }) => destination !== '')
        const kept = [...before].filter(([, count]) => count !== 0)
        assert.deepEqual(new Map(kept), new Map(now.map((one) => [one.destination, one.recipients])), what)
      }
      for (let id = 1; id <= 12; id++) {
        const destination = ['x', 'y', ''][id % 3] ?? ''
        park(store, row(id, 0, { destination }), row(id, 1, { destination, state: 'held' }))
      }
      check('at first', store.destinations())
      const acts: [RowAct, Selection][] = [
        ['hold', { ids: [1, 2, 3], states: ['deferred'] }],
        ['route-again', { ids: [4, 5, 6], states: ['deferred'] }],
        ['remove', { ids: [1, 4, 7, 10, 2], states: ['deferred', 'held'] }],
        ['restore', { ids: [1, 4, 7], states: ['removed'] }],
        ['release', { states: ['held'] }],
        ['retry', { states: ['deferred'] }],
      ]
      for (const [act, selection] of acts) check(act, store.act(act, selection, null, 99, 5).found.touched)
      const states = ['deferred', 'removed'] as const
      check('discard', store.discard({ ids: [1, 2, 8, 10, 12], states }, null, 99).found.touched)
      assert.ok(store.destinations().length > 0)
      store.close()
    })

    it('removes, hides, restores as it was, and discards what was removed before', () => {
      const store = make()
      park(store, row(1, 0), row(1, 1, { state: 'held' }))
      park(store, row(2, 0))
      assert.equal(store.act('remove', { states: ['deferred', 'held'] }, null, 9, 70).found.recipients, 3)
      assert.deepEqual(store.list({}, null, 9).rows, [])
      assert.deepEqual(store.take(9000, 9), [])
      assert.deepEqual(store.totals(), { deferred: 0, held: 0, removed: 3 })
      const [, second] = store.list({ state: 'removed' }, null, 9).rows
      assert.deepEqual([second?.message, second?.removal], [1, { at: 70, was: 'held' }])
      assert.ok(store.load(1), 'content stays')
      assert.equal(store.act('restore', { ids: [1], states: ['removed'] }, null, 9, 80).found.recipients, 2)
      assert.deepEqual(
        store.rows(1).map(({ state, removal, nextAttemptAt }) => [state, removal, nextAttemptAt]),
        [
          ['deferred', null, 80],
          ['held', null, 80],
        ],
      )
      assert.deepEqual(store.discard({ states: ['removed'], removedBefore: 70 }, null, 9).found.messages, [])
      assert.deepEqual(store.discard({ states: ['removed'], removedBefore: 71 }, null, 9).found.messages, [
        { message: 2, recipients: 1, removed: true },
      ])
      assert.deepEqual(store.totals(), { deferred: 1, held: 1, removed: 0 })
      store.close()
    })

    it('keeps a message whose last recipient but a removed one is done', () => {
      const store = make()
      store.apply({ inserts: [message(1)], changes: [{ kind: 'wait', row: row(1, 0) }] })
      store.act('remove', { states: ['deferred'] }, null, 9, 70)
      store.apply({ inserts: [], changes: [{ kind: 'remove', message: 1 }] })
      assert.ok(store.load(1))
      store.act('restore', { states: ['removed'] }, null, 9, 80)
      assert.equal(store.take(90, 9).length, 1)
      store.close()
    })

    it('goes through any number of rows in pieces, each row once', () => {
      const store = make()
      const rows = Array.from({ length: 25_000 }, (_, n) =>
        row(1, n, { receivedAt: n % 7, sender: n % 3 === 0 ? 'a@x' : 'b@x' }),
      )
      park(store, ...rows)
      for (const selection of [
        {},
        { sender: 'a@x' },
        { reply: 'nowhere said' },
        { receivedAfter: 2, receivedBefore: 5 },
        { recipient: 'user1*', sender: 'b*' },
      ]) {
        const listed = everything((after) => {
          const { rows: found, next } = store.list(selection, after, 700)
          return { found, next }
        }).flat()
        const wanted = rows.filter((one) => meets(selection, one)).length
        assert.equal(new Set(listed.map(({ n }) => n)).size, wanted, JSON.stringify(selection))
        assert.equal(listed.length, wanted)
        const counts = everything((after) => store.count(selection, after))
        assert.equal(
          counts.reduce((sum, one) => sum + one, 0),
          wanted,
        )
      }
      const held = everything((after) => store.act('hold', { states: ['deferred'] }, after, 1000, 5))
      assert.equal(
        held.reduce((sum, { recipients }) => sum + recipients, 0),
        25_000,
      )
      store.close()
    })

    it('keeps the replies before the last where they were others, the latest of them', () => {
      const store = make()
      const said = (at: number, text: string, inDoubt = false): Change => ({
        kind: 'wait',
        row: row(1, 0, {
          reply: { code: 451, enhanced: '', text, host: 'h' },
          repliedAt: at,
          inDoubt,
          doubts: inDoubt ? 1 : 0,
        }),
      })
      store.apply({ inserts: [message(1)], changes: [said(1, 'one'), said(2, 'one'), said(3, 'two', true)] })
      store.apply({ inserts: [], changes: [said(4, 'three')] })
      assert.deepEqual(
        store.history(1).map(({ n, at, reply, inDoubt }) => [n, at, reply.text, inDoubt]),
        [
          [0, 2, 'one', false],
          [0, 3, 'two', true],
        ],
      )
      const many = Array.from({ length: 30 }, (_, at) => said(at + 5, `reply ${at}`))
      store.apply({ inserts: [], changes: many })
      const kept = store.history(1)
      assert.deepEqual([kept.length, kept.at(-1)?.reply.text], [MOST_REPLIES, 'reply 28'])
      store.apply({ inserts: [], changes: [{ kind: 'settle', message: 1, n: 0 }] })
      assert.deepEqual(store.history(1), [])
      store.close()
    })

    it('changes what a row says when its recipient waits again', () => {
      const store = make()
      park(store, row(1, 0))
      const again = row(1, 0, {
        ...{ state: 'held', address: 'other@else.example', destination: 'x', attempts: 5, warned: true },
        ...{ reply: null, repliedAt: null, inDoubt: true, doubts: 2, nextAttemptAt: 7 },
      })
      store.apply({ inserts: [], changes: [{ kind: 'wait', row: again }] })
      assert.deepEqual(store.rows(1), [again])
      assert.equal(store.list({ domain: 'else.example' }, null, 9).rows.length, 1)
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
    assert.throws(
      () => new SqliteStore(directory),
      new RegExp(`schema version ${SCHEMA_VERSION + 1}; this Posthorn knows ${SCHEMA_VERSION}:`),
    )
  })

  it('applies a batch whole or not at all', () => {
    const store = new SqliteStore(directory)
    const twice = { inserts: [message(1), message(1)], changes: [] }
    assert.throws(() => store.apply(twice))
    assert.deepEqual(store.recover(), [])
    store.close()
  })
})
