/** The administrator's acts, on rows of the store and on recipients that are only in memory, and who may do them. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ActiveQueue } from '../../services/qmgr/active-queue.ts'
import { Backlog } from '../../services/qmgr/backlog.ts'
import { ContentFiles } from '../../services/qmgr/content-files.ts'
import { Control } from '../../services/qmgr/control.ts'
import { Disposal } from '../../services/qmgr/disposal.ts'
import { destinationOf, type Entry, freshEntry, rowOf, type Slot } from '../../services/qmgr/entry.ts'
import { encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { Journal } from '../../services/qmgr/journal.ts'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import { Reports } from '../../services/qmgr/reports.ts'
import { type Change, type RecipientRow, StoreTrouble } from '../../services/qmgr/store.ts'
import type { StorePort } from '../../services/qmgr/store-port.ts'
import { IdSource } from '../../shared/base/ids.ts'
import { type Facts, type Log, silentLog } from '../../shared/base/log.ts'
import { Peer } from '../../shared/bus/peer.ts'
import type { QueueAct, QueueFilter } from '../../shared/bus/queue.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const timeout = 60_000
const NOW = 1_000_000
const OWNER = 1234
const route: Route = { kind: 'smtp', zone: '.', destination: 'mx', protocol: 'smtp', hosts: [] }

function envelope(id: number, addresses: readonly string[]): Envelope {
  return {
    id,
    sender: `s${id}@example.net`,
    recipients: addresses.map((address) => ({ address, route })),
    size: 8,
    body: '7bit',
    smtputf8: false,
    receivedAt: NOW - 5000,
    origin: { listener: 'local', session: 'S1', client: '', ...(id === 1 && { uid: OWNER }) },
  }
}

/** qmgr without processes and clocks: the real parts over a store in memory. */
class Stage {
  readonly directory = mkdtempSync(join(tmpdir(), 'posthorn-control-'))
  readonly store = new MemoryStore()
  readonly logged: { facts: Facts; event: string }[] = []
  readonly routed: Slot[] = []
  readonly queue: ActiveQueue
  readonly journal: Journal
  readonly control: Control
  readonly disposal: Disposal
  /** The destinations of each act that may make mail due. */
  readonly hurries: string[][] = []
  readonly backlog = new Backlog({ limit: () => 1000, onChange: () => undefined })
  removedKeep = 0
  /** Set to make the calls after the next so many fail. */
  callsLeft = Number.POSITIVE_INFINITY

  constructor() {
    const port: StorePort = {
      apply: async (batch) => this.store.apply(batch),
      call: async (method, ...values) => {
        if (method === 'act' && this.callsLeft-- <= 0) throw new StoreTrouble('full', 'no room')
        const run = this.store[method] as (...given: unknown[]) => ReturnType<MemoryStore[typeof method]>
        return run.apply(this.store, values) as never
      },
      close: async () => undefined,
    }
    const now = () => NOW
    const log = this.#log()
    const files = new ContentFiles(this.directory, 0)
    this.journal = new Journal(port, silentLog, () => undefined)
    const policy = { retry: [300_000], lifetime: 9e9, bounceLifetime: 9e9, delayWarning: 0 }
    this.queue = new ActiveQueue({
      policy: () => ({ activeEntries: 100, activeOctets: 1e6 }),
      retryPolicy: () => policy,
      journal: this.journal,
      reports: new Reports({
        policy: () => ({ hostname: 'mx.test', returnLimit: 1000 }),
        ids: new IdSource(9),
        sign: async (content) => content,
        log: silentLog,
        now,
        read: async () => new Uint8Array(),
      }),
      backlog: this.backlog,
      log: silentLog,
      now,
      random: () => 0.5,
      route: (_entry, slots) => {
        for (const slot of slots) {
          slot.state = 'queued'
          this.backlog.move(slot, destinationOf(slot))
        }
        this.routed.push(...slots)
      },
      onWait: () => undefined,
      dropFile: () => undefined,
    })
    const parts = { port, journal: this.journal, queue: this.queue, backlog: this.backlog, log, now }
    this.disposal = new Disposal({ ...parts, files, removedKeep: () => this.removedKeep })
    this.control = new Control({
      ...parts,
      disposal: this.disposal,
      isAdministrator: (who) => who?.uid === 0,
      nameOf: (uid) => (uid === 0 ? 'root' : null),
      onHurry: (destinations) => void this.hurries.push([...destinations]),
      readHeader: async () => Buffer.from('Subject: x\r\n\r\nbody'),
    })
  }

  #log(): Log {
    const note = (facts: Facts, event: string) => void this.logged.push({ facts, event })
    return { ...silentLog, info: note, warn: note, error: note }
  }

  async submit(id: number, ...addresses: string[]): Promise<Entry> {
    const entry = freshEntry(envelope(id, addresses), Buffer.from('content.'))
    await this.journal.insert({
      id,
      envelope: encodeEnvelope(entry.envelope),
      content: Buffer.from('content.'),
    })
    this.queue.admit(entry)
    return entry
  }

  /** All of a message wait after an attempt. */
  async defer(id: number, ...addresses: string[]): Promise<void> {
    const entry = await this.submit(id, ...addresses)
    this.queue.conclude(
      entry,
      entry.slots.map((slot) => ({ slot, outcome: later })),
    )
    await this.journal.settled()
  }

  async act(act: QueueAct, filter: QueueFilter, dryRun = false) {
    return this.control.act({ act, filter, dryRun }, peerOf(0))
  }

  async states(): Promise<Record<string, string>> {
    await this.journal.settled()
    const page = (state: 'removed' | null) =>
      this.control.list({ filter: state === null ? {} : { state }, after: null, limit: 100 }, peerOf(0))
    const all = [...(await page(null)).entries, ...(await page('removed')).entries]
    return Object.fromEntries(all.map(({ recipient, state }) => [recipient, state]))
  }
}

const later: Outcome = {
  kind: 'later',
  blame: 'recipient',
  reply: { code: 451, enhanced: '4.7.1', text: 'greylisted', host: 'mx' },
}

function peerOf(uid: number): Peer {
  const peer = new Peer({
    socket: new Socket(),
    self: 'qmgr',
    handlers: {},
    onEnd: () => undefined,
    onPanic: () => undefined,
  })
  peer.credentials = { uid, gid: uid, pid: 77 }
  return peer
}

describe('queue control', { timeout }, () => {
  let stage: Stage
  beforeEach(() => {
    stage = new Stage()
  })
  afterEach(() => rmSync(stage.directory, { recursive: true, force: true }))

  it('refuses who may not act, changes nothing, and logs it', async () => {
    await stage.submit(1, 'a@x')
    const answer = await stage.control.act({ act: 'remove', filter: {} }, peerOf(OWNER))
    assert.equal(answer.kind, 'refused')
    assert.deepEqual(await stage.states(), { 'a@x': 'active' })
    const [line] = stage.logged
    assert.equal(line?.event, 'queue act refused')
    assert.deepEqual([line?.facts['uid'], line?.facts['pid'], line?.facts['act']], [OWNER, 77, 'remove'])
    const nobody = peerOf(0)
    nobody.credentials = null
    assert.equal((await stage.control.act({ act: 'hold', filter: {} }, nobody)).kind, 'refused')
  })

  it('shows everybody what they submitted, and nothing else', async () => {
    await stage.defer(1, 'a@x')
    await stage.defer(2, 'b@x')
    await stage.submit(3, 'c@x')
    const seen = await stage.control.list({ filter: {}, after: null, limit: 100 }, peerOf(OWNER))
    assert.deepEqual(
      seen.entries.map((entry) => entry.recipient),
      ['a@x'],
    )
    assert.equal((await stage.control.show({ id: 1 }, peerOf(OWNER))).kind, 'found')
    assert.equal((await stage.control.show({ id: 2 }, peerOf(OWNER))).kind, 'missing')
  })

  it('holds what waits in memory and in rows, and logs who did it and how many', async () => {
    const entry = await stage.submit(1, 'a@x', 'b@x', 'c@x')
    await stage.defer(2, 'd@x')
    const [, second] = entry.slots
    if (second) second.state = 'trying'
    assert.deepEqual(await stage.act('hold', { domain: 'x' }), { kind: 'done', recipients: 3 })
    assert.deepEqual(await stage.states(), { 'a@x': 'held', 'b@x': 'active', 'c@x': 'held', 'd@x': 'held' })
    const line = stage.logged.at(-1)
    assert.deepEqual(line?.facts, {
      ...{ act: 'hold', filter: { domain: 'x' }, uid: 0, user: 'root', pid: 77, recipients: 3 },
    })
    assert.deepEqual(await stage.act('release', { recipient: 'a@x' }), { kind: 'done', recipients: 1 })
    assert.deepEqual(stage.hurries, [['mx']])
    assert.equal(stage.store.nextDue(), NOW)
  })

  it('says what it would do, and does nothing', async () => {
    await stage.submit(1, 'a@x', 'b@x')
    await stage.defer(2, 'c@x')
    for (const act of ['hold', 'remove', 'discard', 'route-again'] as const) {
      const answer = await stage.act(act, { sender: 's*' }, true)
      assert.equal(answer.kind, 'planned')
      if (answer.kind !== 'planned') continue
      assert.equal(answer.recipients, 3)
      assert.deepEqual(
        answer.sample.map(({ recipient, state }) => [recipient, state]),
        [
          ['a@x', 'active'],
          ['b@x', 'active'],
          ['c@x', 'deferred'],
        ],
      )
    }
    assert.deepEqual(await stage.states(), { 'a@x': 'active', 'b@x': 'active', 'c@x': 'deferred' })
    assert.deepEqual(stage.hurries, [])
    assert.deepEqual(stage.logged, [])
  })

  it('removes, keeps, restores, and the message is whole again', async () => {
    await stage.submit(1, 'a@x', 'b@x')
    await stage.defer(2, 'c@x')
    await stage.act('hold', { recipient: 'c@x' })
    assert.deepEqual(await stage.act('remove', {}), { kind: 'done', recipients: 3 })
    assert.deepEqual(await stage.states(), { 'a@x': 'removed', 'b@x': 'removed', 'c@x': 'removed' })
    assert.equal(stage.queue.entries.size, 0)
    assert.deepEqual(await stage.act('restore', { ids: [1, 2] }), { kind: 'done', recipients: 3 })
    assert.deepEqual(await stage.states(), { 'a@x': 'deferred', 'b@x': 'deferred', 'c@x': 'held' })
    assert.equal(Buffer.from(stage.store.load(1)?.content ?? []).toString(), 'content.')
  })

  it('removes for good, rows and memory, and the message with its last recipient', async () => {
    await stage.submit(1, 'a@x', 'b@x')
    await stage.defer(2, 'c@x')
    assert.deepEqual(await stage.act('discard', { recipient: 'a@x' }), { kind: 'done', recipients: 1 })
    assert.deepEqual(await stage.states(), { 'b@x': 'active', 'c@x': 'deferred' })
    assert.deepEqual(await stage.act('discard', {}), { kind: 'done', recipients: 2 })
    assert.deepEqual(await stage.states(), {})
    assert.deepEqual([stage.store.load(1), stage.store.load(2)], [null, null])
  })

  it('keeps a message in memory in step with rows of it that are discarded', async () => {
    const entry = await stage.submit(1, 'a@x', 'b@x')
    const [first, second] = entry.slots
    assert.ok(first && second)
    await stage.act('remove', { recipient: 'a@x' })
    assert.equal(entry.waiting, 1)
    await stage.act('discard', { state: 'removed' })
    assert.equal(entry.waiting, 0)
    stage.queue.conclude(entry, [{ slot: second, outcome: { kind: 'sent', reply: later.reply } }])
    await stage.journal.settled()
    assert.equal(stage.store.load(1), null)
  })

  it('routes anew what is in line: the old task finds nobody', async () => {
    const entry = await stage.submit(1, 'a@x', 'b@x')
    const [before] = entry.slots
    assert.ok(before)
    const routedBefore = stage.routed.length
    assert.deepEqual(await stage.act('route-again', { recipient: 'a@x' }), { kind: 'done', recipients: 1 })
    const [again, ...more] = stage.routed.slice(routedBefore)
    assert.deepEqual(more, [])
    assert.equal(again?.recipient.address, 'a@x')
    assert.equal(again?.recipient.route, undefined)
    assert.equal(before.state, 'done')
    assert.deepEqual([entry.slots.length, entry.open, entry.slots[0]], [2, 2, again])
  })

  it('forgets the destination of rows, and tries them now', async () => {
    await stage.defer(1, 'a@x')
    assert.deepEqual(await stage.act('route-again', { destination: 'mx' }), { kind: 'done', recipients: 1 })
    const [row] = stage.store.rows(1)
    assert.deepEqual([row?.destination, row?.nextAttemptAt, row?.reply], ['', NOW, later.reply])
    assert.deepEqual(stage.hurries, [['mx']])
  })

  it('keeps the backlog of a destination in step with what is done to waiting mail', async () => {
    await stage.defer(1, 'a@x', 'b@x', 'c@x')
    await stage.submit(2, 'd@x', 'e@x')
    const counts: number[] = [stage.backlog.count('mx')]
    for (const [act, recipient] of [
      ['hold', 'a@x'],
      ['remove', 'a@x'],
      ['remove', 'b@x'],
      ['remove', 'd@x'],
      ['restore', 'a@x'],
      ['discard', 'a@x'],
      ['route-again', 'c@x'],
      ['restore', 'b@x'],
      ['restore', 'd@x'],
      ['discard', 'e@x'],
    ] as const) {
      assert.deepEqual(await stage.act(act, { recipient }), { kind: 'done', recipients: 1 }, act)
      counts.push(stage.backlog.count('mx'))
    }
    assert.deepEqual(counts, [5, 5, 4, 3, 2, 3, 2, 1, 2, 3, 2])
    await stage.act('remove', {})
    await stage.act('discard', { state: 'removed' })
    assert.equal(stage.backlog.count('mx'), 0)
  })

  it('looks on for the first row it is asked for, many pieces away', async () => {
    const entry = freshEntry(envelope(1, ['a@x']), null)
    const [slot] = entry.slots
    assert.ok(slot)
    const usual = rowOf(entry, slot, { state: 'deferred', at: NOW })
    const row = (n: number): RecipientRow => {
      const reply = { code: 451, enhanced: '', text: n === 30_000 ? 'rare' : 'usual', host: 'mx' }
      return { ...usual, n, reply }
    }
    const rows = Array.from({ length: 30_001 }, (_, n): Change => ({ kind: 'wait', row: row(n) }))
    stage.store.apply({ inserts: [], changes: rows })
    const filter = { reply: 'rare' }
    const { entries, next } = await stage.control.list({ filter, after: null, limit: 9 }, peerOf(0))
    assert.deepEqual([entries.map(({ n }) => n), next], [[30_000], null])
    const nothing = await stage.control.list({ filter: { reply: 'never' }, after: null, limit: 9 }, peerOf(0))
    assert.deepEqual(nothing, { entries: [], next: null })
  })

  it('goes on through more than one piece, and says how far it came when the disk is full', async () => {
    for (let id = 1; id <= 3; id++) await stage.defer(id, ...Array.from({ length: 500 }, (_, n) => `r${n}@x`))
    stage.callsLeft = 1
    const failed = await stage.act('hold', {})
    assert.deepEqual(failed, { kind: 'failed', recipients: 1000, reason: 'the disk is full' })
    assert.equal(stage.logged.at(-1)?.event, 'queue act failed')
    stage.callsLeft = Number.POSITIVE_INFINITY
    assert.deepEqual(await stage.act('hold', {}), { kind: 'done', recipients: 500 })
    assert.deepEqual(await stage.act('release', {}), { kind: 'done', recipients: 1500 })
  })

  it('lets removed mail go when its time is over', async () => {
    await stage.defer(1, 'a@x')
    await stage.act('remove', {})
    stage.removedKeep = -1
    stage.disposal.start()
    const isOver = () => stage.logged.at(-1)?.event === 'removed mail discarded'
    while (!isOver()) await new Promise((resolve) => setImmediate(resolve))
    stage.disposal.stop()
    assert.equal(stage.store.load(1), null)
    assert.equal(stage.logged.at(-1)?.facts['recipients'], 1)
  })

  it('lists rows and memory as one, in pages, each recipient once', async () => {
    await stage.defer(2, 'b0@x', 'b1@x', 'b2@x')
    await stage.submit(1, 'a0@x', 'a1@x', 'a2@x', 'a3@x')
    await stage.submit(3, 'c0@x', 'c1@x')
    for (const filter of [{}, { receivedBefore: NOW }, { recipient: '*x' }, { ids: [3, 2, 1, 1] }]) {
      const seen: string[] = []
      for (let after: string | null = null; ; ) {
        const page = await stage.control.list({ filter, after, limit: 2 }, peerOf(0))
        assert.ok(page.entries.length <= 2)
        seen.push(...page.entries.map((entry) => entry.recipient))
        if (page.next === null) break
        after = page.next
      }
      const all = ['a0', 'a1', 'a2', 'a3', 'b0', 'b1', 'b2', 'c0', 'c1'].map((name) => `${name}@x`)
      assert.deepEqual(seen, all, JSON.stringify(filter))
    }
  })

  it('shows a message with what each recipient was told, and counts doubts', async () => {
    await stage.defer(1, 'a@x')
    const entry = freshEntry(envelope(1, ['a@x']), null)
    const [slot] = entry.slots
    assert.ok(slot)
    stage.queue.entries.set(1, entry)
    const doubt: Outcome = { ...later, inDoubt: true, reply: { ...later.reply, text: 'gone after the dot' } }
    stage.queue.conclude(entry, [{ slot, outcome: doubt }])
    await stage.journal.settled()
    const found = await stage.control.show({ id: 1 }, peerOf(0))
    assert.equal(found.kind, 'found')
    if (found.kind !== 'found') return
    assert.deepEqual([found.entries[0]?.doubts, found.entries[0]?.lastReply?.text], [1, 'gone after the dot'])
    const doubtful = await stage.control.list({ filter: { inDoubt: true }, after: null, limit: 9 }, peerOf(0))
    assert.equal(doubtful.entries.length, 1)
  })
})
