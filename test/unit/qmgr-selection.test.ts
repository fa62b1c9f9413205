/**
 * Selections of the queue: the rule in memory and the rule in SQL are one, each asks its index and no content, and
 * pages have every row once and in order.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import {
  comparePlaces,
  meets,
  orderOf,
  placeOf,
  readPlace,
  type Selection,
  selectionFor,
  writePlace,
} from '../../services/qmgr/selection.ts'
import { walkOf } from '../../services/qmgr/sqlite-selection.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { QueueStore, RecipientRow } from '../../services/qmgr/store.ts'

const timeout = 120_000
const everyState = ['deferred', 'held', 'active', 'removed'] as const

const base: RecipientRow = {
  message: 1,
  n: 0,
  state: 'deferred',
  nextAttemptAt: 0,
  attempts: 1,
  warned: false,
  address: 'user@example.org',
  sender: 'sender@example.net',
  owner: null,
  destination: 'mx.example.org',
  octets: 100,
  receivedAt: 1000,
  reply: { code: 451, enhanced: '4.7.1', text: 'Greylisted, come back', host: 'mx' },
  repliedAt: 1500,
  inDoubt: false,
  doubts: 0,
  removal: null,
}

const text = fc.stringMatching(/^[ab@.*[?_%é\u{10400}]{0,6}$/u)
const number = fc.integer({ min: 0, max: 5 })
const reply = fc.record({
  code: fc.constantFrom(421, 451, 550),
  enhanced: fc.constantFrom('', '4.7.1', '4.2.0'),
  text: fc.constantFrom('', 'Greylisted', '50% of\nall_', 'a*b'),
  host: fc.constant(''),
})
const rowArbitrary = fc.record({
  state: fc.constantFrom(...everyState),
  address: text,
  sender: text,
  owner: fc.option(number),
  destination: text,
  octets: number,
  receivedAt: number,
  reply: fc.option(reply),
  doubts: number,
  removedAt: number,
})
type Drawn = typeof rowArbitrary extends fc.Arbitrary<infer T> ? T : never
const selectionArbitrary: fc.Arbitrary<Selection> = fc.record(
  {
    ids: fc.array(number, { maxLength: 4 }),
    sender: text,
    recipient: text,
    domain: text,
    destination: text,
    state: fc.constantFrom(...everyState),
    states: fc.subarray([...everyState], { minLength: 1 }),
    receivedBefore: number,
    receivedAfter: number,
    largerThan: number,
    smallerThan: number,
    code: fc.constantFrom('451', '4*', '45*', '4.7.1', '4.*', '5.*'),
    reply: fc.constantFrom('', 'grey', 'GREY*', '0%', 'l_', '*', 'a*b', 'x'),
    inDoubt: fc.boolean(),
    owner: number,
    removedBefore: number,
  },
  { requiredKeys: [] },
)

function rowsOf(drawn: readonly Drawn[]): RecipientRow[] {
  return drawn.map(({ removedAt, ...more }, at) => ({
    ...base,
    ...more,
    message: at >> 1,
    n: at & 1,
    removal: more.state === 'removed' ? { at: removedAt, was: 'deferred' } : null,
  }))
}

function fill(store: QueueStore, rows: readonly RecipientRow[]): void {
  store.apply({ inserts: [], changes: rows.map((row) => ({ kind: 'wait', row })) })
}

/** In pages of three. */
function listed(store: QueueStore, selection: Selection): string[] {
  const keys: string[] = []
  for (let next: string | null = null; ; ) {
    const page: ReturnType<QueueStore['list']> = store.list(selection, next, 3)
    keys.push(...page.rows.map(({ message, n }) => `${message}.${n}`))
    if (page.next === null) return keys
    next = page.next
  }
}

describe('selection', { timeout }, () => {
  it('means the same rows in memory and in SQL, in the same order, over any pages', () => {
    const draw = fc.tuple(fc.array(rowArbitrary, { maxLength: 12 }), selectionArbitrary)
    const directory = mkdtempSync(join(tmpdir(), 'posthorn-selection-'))
    const sqlite = new SqliteStore(directory)
    const judge = ([drawn, selection]: [Drawn[], Selection]) => {
      const rows = rowsOf(drawn)
      const memory = new MemoryStore()
      sqlite.discard({ states: everyState }, null, 100)
      for (const store of [sqlite, memory]) fill(store, rows)
      const order = orderOf(selection)
      const wanted = rows
        .filter((row) => meets(selection, row))
        .sort((a, b) => comparePlaces(placeOf(order, a), placeOf(order, b)))
        .map(({ message, n }) => `${message}.${n}`)
      assert.deepEqual(listed(memory, selection), wanted)
      assert.deepEqual(listed(sqlite, selection), wanted)
    }
    try {
      fc.assert(fc.property(draw, judge), { numRuns: 1000 })
    } finally {
      sqlite.close()
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it('knows what each part means', () => {
    const cases: [Selection, boolean][] = [
      [{ domain: 'example.org' }, true],
      [{ domain: '*.org', sender: '*@example.net' }, true],
      [{ domain: 'org' }, false],
      [{ sender: '' }, false],
      [{ reply: 'greyLISTED*back' }, true],
      [{ reply: 'greylisted?' }, false],
      [{ code: '451' }, true],
      [{ code: '4*' }, true],
      [{ code: '4.7.*' }, true],
      [{ code: '4.2.0' }, false],
      [{ receivedBefore: 1000 }, false],
      [{ receivedBefore: 1001, receivedAfter: 999 }, true],
      [{ largerThan: 99, smallerThan: 101 }, true],
      [{ smallerThan: 100 }, false],
      [{ inDoubt: true }, false],
      [{ owner: 5 }, false],
      [{ recipient: '*user*@*', destination: 'mx.example.org' }, true],
      [{ recipient: 'user*user@example.org' }, false],
    ]
    for (const [selection, wanted] of cases)
      assert.equal(meets(selection, base), wanted, JSON.stringify(selection))
  })

  it('judges a pattern of many stars fast', () => {
    const row = { ...base, sender: 'a'.repeat(300) }
    assert.equal(meets({ sender: `${'*a'.repeat(200)}b` }, row), false)
  })

  it('lets each act have the states that it is for, removed ones only when asked for', () => {
    const held = { ...base, state: 'held' as const }
    const removed = { ...base, state: 'removed' as const, removal: { at: 1, was: 'held' as const } }
    assert.equal(meets(selectionFor('hold', {}), held), false)
    assert.equal(meets(selectionFor('release', {}), held), true)
    assert.equal(meets(selectionFor('release', { state: 'deferred' }), held), false)
    assert.equal(meets(selectionFor('restore', {}), removed), true)
    assert.equal(meets(selectionFor('restore', {}), held), false)
    assert.equal(meets(selectionFor('discard', {}), removed), false)
    assert.equal(meets(selectionFor('discard', { state: 'removed' }), removed), true)
    assert.equal(meets({}, removed), false)
  })

  it('reads back the places it writes, and takes anything else for the beginning', () => {
    for (const selection of [{}, { receivedBefore: 5 }, { sender: 'x*' }]) {
      const order = orderOf(selection)
      const place = placeOf(order, base)
      assert.deepEqual(readPlace(writePlace(place), order), place)
      for (const text of ['', '{', '[]', 'null', '7', '[null]', '["a","b","c"]'])
        assert.deepEqual(readPlace(text, order)?.message ?? -1, order.from?.message ?? -1, text)
    }
  })
})

describe('what the queue is asked', { timeout }, () => {
  let directory = ''
  let database: Database.Database
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'posthorn-plan-'))
    new SqliteStore(directory).close()
    database = new Database(join(directory, 'queue.db'))
  })
  after(() => {
    database.close()
    rmSync(directory, { recursive: true, force: true })
  })

  function planOf(sql: string, values: readonly unknown[] = []): string {
    const steps = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[]
    return steps.map(({ detail }) => detail).join('\n')
  }

  const indexed: [Selection, string][] = [
    [{ ids: [1, 2] }, 'PRIMARY KEY'],
    [{}, 'PRIMARY KEY'],
    [{ recipient: 'a@b' }, 'recipient_address'],
    [{ recipient: 'a*' }, 'recipient_address'],
    [{ recipient: '*@b' }, 'recipient_domain'],
    [{ sender: 'a@b' }, 'recipient_sender'],
    [{ sender: '' }, 'recipient_sender'],
    [{ sender: 'a*' }, 'recipient_sender'],
    [{ domain: 'b' }, 'recipient_domain'],
    [{ domain: 'mail*' }, 'recipient_domain'],
    [{ destination: 'mx' }, 'recipient_destination'],
    [{ destination: 'mx*' }, 'recipient_destination'],
    [{ state: 'held' }, 'recipient_held'],
    [{ state: 'active' }, 'recipient_active'],
    [{ state: 'removed' }, 'recipient_removed'],
    [{ states: ['removed'], removedBefore: 5 }, 'recipient_removed'],
    [{ receivedBefore: 5 }, 'recipient_received'],
    [{ receivedAfter: 5 }, 'recipient_received'],
    [{ largerThan: 5 }, 'recipient_octets'],
    [{ smallerThan: 5 }, 'recipient_octets'],
    [{ code: '451' }, 'recipient_code'],
    [{ code: '4.7.1' }, 'recipient_enhanced'],
    [{ inDoubt: true }, 'recipient_doubtful'],
    [{ owner: 5 }, 'recipient_owner'],
    [{ owner: 5, reply: 'x', destination: 'mx', receivedBefore: 7 }, 'recipient_owner'],
  ]

  it('is answered along an index, in its order, without sorting', () => {
    for (const [selection, index] of indexed) {
      for (const after of [null, '["x",1,2]', '[3,1,2]', '[null,1,2]']) {
        const walk = walkOf(selection, after)
        const end = { value: 'y', message: 9, n: 9 }
        for (const { sql, values } of [
          walk.rows(500, null),
          walk.rows(500, end),
          walk.count(end),
          walk.end(),
        ]) {
          const plan = planOf(sql, values)
          assert.match(
            plan,
            new RegExp(`SEARCH recipient USING (COVERING )?(INDEX )?${index}\\b`),
            `${sql}\n${plan}`,
          )
          assert.doesNotMatch(plan, /SCAN recipient|TEMP B-TREE|deferred|intake/, `${sql}\n${plan}`)
        }
      }
    }
  })

  it('is bounded where no index helps: a piece of the rows at a time', () => {
    for (const selection of [
      { reply: 'x' },
      { code: '4*' },
      { sender: '*x' },
      { state: 'deferred' as const },
    ]) {
      const walk = walkOf(selection, '[null,1,2]')
      for (const { sql, values } of [walk.end(), walk.rows(500, { value: null, message: 9, n: 9 })])
        assert.match(planOf(sql, values), /SEARCH recipient USING (COVERING INDEX \w+|PRIMARY KEY) \(.*>.*\)/)
      assert.match(walk.end().sql, /LIMIT 1 OFFSET 9999$/)
    }
  })

  it('reads no content to count, or to find the messages that have files', () => {
    const filed = planOf(
      'SELECT id FROM intake WHERE content IS NULL UNION ALL SELECT id FROM deferred WHERE content IS NULL',
    )
    assert.match(filed, /SEARCH intake USING COVERING INDEX intake_filed/)
    assert.match(filed, /SEARCH deferred USING COVERING INDEX deferred_filed/)
    for (const state of [0, 1, 2, 3])
      assert.match(planOf(`SELECT count(*) FROM recipient WHERE state = ${state}`), /USING COVERING INDEX/)
  })
})
