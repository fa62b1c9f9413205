/** Who is told what, and when: decisions, and reports that ride with what they tell of. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { ActiveQueue } from '../../services/qmgr/active-queue.ts'
import { Backlog } from '../../services/qmgr/backlog.ts'
import { type Entry, freshEntry, type Slot } from '../../services/qmgr/entry.ts'
import { decodeEnvelope, encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { Intake } from '../../services/qmgr/intake.ts'
import { Journal } from '../../services/qmgr/journal.ts'
import { MemoryStore } from '../../services/qmgr/memory-store.ts'
import { noticeFor } from '../../services/qmgr/notice.ts'
import { Reports } from '../../services/qmgr/reports.ts'
import { Router } from '../../services/qmgr/router.ts'
import { Spill } from '../../services/qmgr/spill.ts'
import type { Batch, Trouble } from '../../services/qmgr/store.ts'
import type { StorePort } from '../../services/qmgr/store-port.ts'
import type { Verdict } from '../../services/qmgr/verdict.ts'
import { IdSource } from '../../shared/base/ids.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const timeout = 60_000
const reply: Reply = { code: 250, enhanced: '2.0.0', text: 'ok', host: 'mx' }
const sent: Outcome = { kind: 'sent', reply }
const handedOn: Outcome = { kind: 'sent', reply, dsn: true }
const refused: Outcome = { kind: 'never', reply: { ...reply, code: 550, enhanced: '5.1.1', text: 'no' } }
const busy: Outcome = {
  kind: 'later',
  blame: 'recipient',
  reply: { ...reply, code: 450, enhanced: '4.2.1', text: 'busy' },
}

function smtp(protocol: 'smtp' | 'lmtp'): Route {
  return { kind: 'smtp', zone: '.', destination: 'd', protocol, hosts: [] }
}

const mailbox = { user: 'u', uid: 1, gid: 1, home: '/', format: 'maildir', path: '/m' } as const
const local: Route = { kind: 'local', zone: 'x', destination: 'local:1', mailbox }

function envelopeTo(recipients: Recipient[], more: Partial<Envelope> = {}): Envelope {
  return {
    id: 1,
    sender: 'a@far.example',
    recipients,
    size: CONTENT.length,
    body: '7bit',
    smtputf8: false,
    receivedAt: 0,
    origin: { listener: 'mx', session: 'S1', client: '' },
    ...more,
  }
}

const CONTENT = Buffer.from('Subject: original\r\n\r\nbody\r\n')

describe('notice', () => {
  const done: Verdict = { kind: 'done' }
  const fail: Verdict = { kind: 'fail', reply, expired: false }
  const wait = (warn: boolean): Verdict => ({ kind: 'wait', at: 0, attempts: 1, warn, reply, until: 9000 })
  const kindFor = (
    notify: string | undefined,
    outcome: Outcome,
    verdict: Verdict,
    route = smtp('smtp'),
    sender = 'a@x',
  ) => {
    const recipient: Recipient = { address: 'b@x', route, ...(notify !== undefined && { notify }) }
    return noticeFor(envelopeTo([], { sender }), recipient, outcome, verdict)?.kind ?? null
  }

  it('is of failures and delays unless NOTIFY says otherwise', () => {
    const told = (notify?: string) => [
      kindFor(notify, sent, done),
      kindFor(notify, refused, fail),
      kindFor(notify, busy, wait(true)),
    ]
    assert.deepEqual(told(), [null, 'failed', 'delayed'])
    assert.deepEqual(told('NEVER'), [null, null, null])
    assert.deepEqual(told('SUCCESS'), ['relayed', null, null])
    assert.deepEqual(told('FAILURE'), [null, 'failed', null])
    assert.deepEqual(told('DELAY'), [null, null, 'delayed'])
    assert.deepEqual(told('SUCCESS,FAILURE,DELAY'), ['relayed', 'failed', 'delayed'])
  })

  it('is of a delay only when it is time to warn', () => {
    assert.equal(kindFor('DELAY', busy, wait(false)), null)
  })

  it('calls success by where our part ended', () => {
    assert.equal(kindFor('SUCCESS', sent, done, local), 'delivered')
    assert.equal(kindFor('SUCCESS', sent, done, smtp('lmtp')), 'delivered')
    assert.equal(kindFor('SUCCESS', sent, done, smtp('smtp')), 'relayed')
    assert.equal(kindFor('SUCCESS', handedOn, done, smtp('smtp')), null, 'the next host tells')
  })

  it('is never for the null reverse-path', () => {
    const any = 'SUCCESS,FAILURE,DELAY'
    for (const [outcome, verdict] of [
      [sent, done],
      [refused, fail],
      [busy, wait(true)],
    ] as const)
      assert.equal(kindFor(any, outcome, verdict, local, ''), null)
  })
})

/** The real queue, journal and reports over the store in memory; the clock stands where the test puts it. */
const backlog = new Backlog({ limit: () => 1000, onChange: () => undefined })

class House {
  readonly store = new MemoryStore()
  readonly batches: Batch[] = []
  readonly routed: Slot[] = []
  readonly queue: ActiveQueue
  readonly journal: Journal
  readonly reports: Reports
  readonly #files = new Map<number, Buffer>()
  now = 0

  constructor() {
    const port = { apply: (batch: Batch) => this.#apply(batch), call: this.#call }
    const policy = () => ({
      hostname: 'mx.test',
      retry: [1000],
      lifetime: 10_000,
      bounceLifetime: 10_000,
      delayWarning: 2000,
      returnLimit: 1000,
      activeEntries: 1000,
      activeOctets: 1 << 20,
    })
    const common = { policy, log: silentLog, now: () => this.now }
    this.journal = new Journal(port, silentLog, () => undefined)
    this.reports = new Reports({
      ...common,
      ids: new IdSource(7),
      sign: async (content) => content,
      read: async (id) => {
        const content = this.#files.get(id)
        if (!content) throw new Error('ENOENT')
        return content
      },
    })
    this.queue = new ActiveQueue({
      ...common,
      retryPolicy: policy,
      journal: this.journal,
      reports: this.reports,
      backlog,
      random: () => 0.5,
      route: (_, slots) => void this.routed.push(...slots),
      onWait: () => undefined,
      dropFile: () => undefined,
    })
  }

  failNext(trouble: Trouble): void {
    this.store.failNext(trouble)
  }

  async admit(
    envelope: Envelope,
    content: Buffer | null = CONTENT,
    file: Buffer | null = null,
  ): Promise<Entry> {
    await this.journal.insert({ id: envelope.id, envelope: encodeEnvelope(envelope), content })
    if (file) this.#files.set(envelope.id, file)
    const entry = freshEntry(envelope, content)
    this.queue.admit(entry)
    return entry
  }

  async conclude(entry: Entry, ...outcomes: Outcome[]): Promise<void> {
    const slots = entry.slots.filter((slot) => slot.state !== 'done')
    this.queue.conclude(
      entry,
      outcomes.flatMap((outcome, n) => {
        const slot = slots[n]
        return slot ? [{ slot, outcome }] : []
      }),
    )
    await this.settled()
  }

  async settled(): Promise<void> {
    await this.queue.reported()
    await this.journal.settled()
  }

  /** Reports in the store: to whom, and their text. */
  kept(): { to: string; text: string; envelope: Envelope }[] {
    return this.store.recover().flatMap(({ envelope: packed, content }) => {
      const envelope = decodeEnvelope(packed)
      if (envelope.origin.listener !== 'dsn') return []
      return [
        { to: envelope.recipients[0]?.address ?? '', text: Buffer.from(content ?? []).toString(), envelope },
      ]
    })
  }

  async #apply(batch: Batch): Promise<void> {
    this.store.apply(batch)
    this.batches.push(batch)
  }

  #call: StorePort['call'] = (method, ...values) => {
    const run = this.store[method] as (...given: unknown[]) => ReturnType<MemoryStore[typeof method]>
    return Promise.resolve(run.apply(this.store, values)) as never
  }
}

const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0

describe('reports', { timeout }, () => {
  it('ride in the transaction of what they tell of', async () => {
    const house = new House()
    const entry = await house.admit(envelopeTo([{ address: 'b@x' }]))
    await house.conclude(entry, refused)
    assert.equal(house.batches.length, 2)
    const [, last] = house.batches
    assert.equal(last?.inserts.length, 1)
    assert.deepEqual(
      last?.changes.map(({ kind }) => kind),
      ['remove'],
    )
    const [report] = house.kept()
    assert.deepEqual([report?.to, report?.envelope.sender], ['a@far.example', ''])
    assert.equal(report?.envelope.recipients[0]?.notify, 'NEVER')
    assert.equal(report?.envelope.size, report?.text.length)
    assert.match(report?.text ?? '', /^Subject: original\r$/m)
    assert.ok(house.queue.entries.has(report?.envelope.id ?? 0), 'on its way')
  })

  it('tell of all recipients of an attempt with the same fate at once', async () => {
    const house = new House()
    const all = { notify: 'SUCCESS,FAILURE' }
    const recipients = ['b', 'c', 'd', 'e', 'f'].map((name) => ({
      address: `${name}@x`,
      ...all,
      route: smtp('smtp'),
    }))
    const entry = await house.admit(envelopeTo(recipients))
    await house.conclude(entry, refused, sent, refused, sent, handedOn)
    const texts = house.kept().map(({ text }) => text)
    assert.equal(texts.length, 2)
    const groups = (action: string) =>
      texts.map((text) => count(text, new RegExp(`^Action: ${action}\r$`, 'gm')))
    assert.deepEqual(
      [groups('failed'), groups('relayed')],
      [
        [2, 0],
        [0, 2],
      ],
    )
    assert.ok(!texts.some((text) => text.includes('f@x')), 'handed on: not ours to tell')
  })

  it('come once when the store fails and the transaction is tried again', async () => {
    const house = new House()
    const entry = await house.admit(envelopeTo([{ address: 'b@x', notify: 'SUCCESS', route: local }]))
    house.failNext('broken')
    await house.conclude(entry, sent)
    assert.equal(house.kept().length, 1)
    assert.equal(count(house.kept()[0]?.text ?? '', /^Action: delivered\r$/gm), 1)
  })

  it('warn of a delay once, the mark in the same transaction', async () => {
    const house = new House()
    const entry = await house.admit(envelopeTo([{ address: 'b@x' }, { address: 'c@x' }]))
    house.now = 1000
    await house.conclude(entry, busy)
    assert.equal(house.kept().length, 0, 'too early')
    house.now = 3000
    await house.conclude(entry, busy)
    const last = house.batches.at(-1)
    assert.equal(last?.inserts.length, 1)
    assert.deepEqual(
      last?.changes.flatMap((change) => (change.kind === 'wait' ? [[change.row.n, change.row.warned]] : [])),
      [[1, true]],
    )
    assert.match(house.kept()[0]?.text ?? '', /^Will-Retry-Until: /m)
    const again = freshEntry(envelopeTo([{ address: 'c@x' }], { id: 2 }), CONTENT)
    for (const slot of again.slots) slot.warned = true
    house.queue.admit(again)
    await house.conclude(again, busy)
    assert.equal(house.kept().length, 1)
  })

  it('return all of the message for RET=FULL, from a file too, and only so much of it', async () => {
    const house = new House()
    const file = Buffer.from(`Subject: filed\r\n\r\n${'line\r\n'.repeat(50)}`)
    const full = { ret: 'full' as const }
    await house.conclude(await house.admit(envelopeTo([{ address: 'b@x' }], full)), refused)
    const filed = envelopeTo([{ address: 'b@x' }], { ...full, id: 2, size: file.length })
    await house.conclude(await house.admit(filed, null, file), refused)
    const huge = Buffer.concat([file, Buffer.alloc(2000, 'x')])
    const tooLarge = envelopeTo([{ address: 'b@x' }], { ...full, id: 3, size: huge.length })
    await house.conclude(await house.admit(tooLarge, null, huge), refused)
    const texts = house.kept().map(({ text }) => text)
    assert.deepEqual(
      texts.map((text) => count(text, /^Content-Type: message\/rfc822\r$/gm)),
      [1, 1, 0],
    )
    assert.ok(texts[0]?.includes(`\r\n\r\n${CONTENT}\r\n--`))
    assert.ok(texts[1]?.includes(`\r\n\r\n${file}\r\n--`))
    assert.match(texts[2] ?? '', /text\/rfc822-headers\r\n\r\nSubject: filed\r\n\r\n--/)
  })

  it('come without the content when it cannot be read', async () => {
    const house = new House()
    await house.conclude(await house.admit(envelopeTo([{ address: 'b@x' }]), null), refused)
    assert.match(house.kept()[0]?.text ?? '', /^Action: failed\r$/m)
  })

  it('are made and marked in one transaction, whatever comes in whatever order', async () => {
    const notify = fc.constantFrom(undefined, 'NEVER', 'SUCCESS', 'FAILURE', 'DELAY', 'SUCCESS,FAILURE,DELAY')
    const step = fc.tuple(fc.constantFrom(sent, handedOn, refused, busy), fc.boolean())
    const given = fc.array(fc.tuple(notify, step), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(given, fc.boolean(), async (recipients, apart) => {
        const house = new House()
        house.now = 5000
        const envelope = envelopeTo(
          recipients.map(([wish], n) => ({
            address: `r${n}@x`,
            route: smtp('smtp'),
            ...(wish !== undefined && { notify: wish }),
          })),
        )
        const entry = await house.admit(envelope)
        const outcomes = recipients.map(([, [outcome, trouble]]) => ({ outcome, trouble }))
        if (!apart) await house.conclude(entry, ...outcomes.map(({ outcome }) => outcome))
        for (const { outcome, trouble } of apart ? outcomes : []) {
          if (trouble) house.failNext('full')
          await house.conclude(entry, outcome)
        }
        const told = house
          .kept()
          .map(({ text }) => text)
          .join('')
        recipients.forEach(([wish = 'FAILURE,DELAY', [outcome]], n) => {
          const word = { sent: 'SUCCESS', never: 'FAILURE', later: 'DELAY' }[outcome.kind]
          const expected = wish.includes(word) && outcome !== handedOn ? 1 : 0
          assert.equal(count(told, new RegExp(`^Final-Recipient: rfc822; r${n}@x\r$`, 'gm')), expected)
        })
        for (const { inserts, changes } of house.batches.slice(1))
          assert.ok(inserts.length === 0 || changes.length > 0, 'no report without what it tells of')
      }),
      { numRuns: 40 },
    )
  })
})

describe('an alias that stands for several', { timeout }, () => {
  const intakeOf = (house: House) =>
    new Intake({
      journal: house.journal,
      queue: house.queue,
      reports: house.reports,
      files: undefined as never, // nothing here is large
      load: () => ({ intake: 'go', reason: '' }),
      charge: () => ({ refusal: null, brake: 0 }),
      backlog,
      spill: new Spill(),
      limits: () => ({ messageSizeLimit: 1000 }),
      log: silentLog,
      onStored: () => undefined,
    })
  const copies: Recipient[] = ['b@x', 'c@x'].map((address) => ({
    address,
    original: 'all@x',
    notify: 'NEVER',
  }))
  const expanded = [{ address: 'all@x', orcpt: 'rfc822;All@x' }]

  it('is reported when the message is accepted, in the same transaction', async () => {
    const house = new House()
    const answer = await intakeOf(house).submit({
      envelope: envelopeTo(copies, { expanded }),
      content: CONTENT,
    })
    assert.equal(answer.kind, 'accepted')
    assert.deepEqual(
      house.batches.map(({ inserts }) => inserts.length),
      [2],
    )
    const [report] = house.kept()
    assert.match(
      report?.text ?? '',
      /^Original-Recipient: rfc822; All@x\r\nFinal-Recipient: rfc822; all@x\r\nAction: expanded\r\nStatus: 2\.1\.5\r$/m,
    )
    assert.ok(house.queue.entries.has(report?.envelope.id ?? 0))
  })

  it('is reported to nobody when nobody sent it, or when it was refused', async () => {
    const house = new House()
    const anonymous = envelopeTo(copies, { expanded, sender: '' })
    await intakeOf(house).submit({ envelope: anonymous, content: CONTENT })
    house.failNext('full')
    const answer = await intakeOf(house).submit({
      envelope: envelopeTo(copies, { expanded, id: 2 }),
      content: CONTENT,
    })
    assert.equal(answer.kind, 'refused')
    assert.equal(house.kept().length, 0)
  })

  it('is stored first where it would have been cut through', async () => {
    const house = new House()
    const asking = envelopeTo([{ address: 'b@x', notify: 'SUCCESS', route: local }])
    const answer = await intakeOf(house).submit({ envelope: asking, content: CONTENT, cutThrough: 60_000 })
    assert.equal(answer.kind, 'accepted')
    assert.equal(house.batches.length, 1, 'on disk before anybody has delivered it')
  })

  it('that became so while the message waited is reported with the rewrite', async () => {
    const house = new House()
    const router = new Router({
      resolve: async ({ address, expanded: isEnd }) => {
        const targets = (isEnd ? [address] : ['b@x', 'c@x']).map((one) => ({ address: one, route: local }))
        return { kind: 'found', class: 'local', zone: 'x', targets }
      },
      onRouted: () => undefined,
      insteadOf: () => null,
      queue: () => house.queue,
      journal: house.journal,
      reports: house.reports,
      lists: { expand: async () => undefined },
      log: silentLog,
    })
    const entry = await house.admit(envelopeTo([{ address: 'all@x', notify: 'SUCCESS,FAILURE' }]))
    router.route(entry, entry.slots)
    while (house.batches.length < 2) await new Promise((resolve) => setImmediate(resolve))
    const rewrite = house.batches[1]
    assert.deepEqual([rewrite?.inserts.length, rewrite?.changes[0]?.kind], [1, 'rewrite'])
    assert.match(house.kept()[0]?.text ?? '', /^Final-Recipient: rfc822; all@x\r\nAction: expanded\r$/m)
    assert.deepEqual(
      entry.envelope.recipients.map(({ address, notify }) => [address, notify]),
      [
        ['b@x', 'FAILURE'],
        ['c@x', 'FAILURE'],
      ],
    )
  })
})
