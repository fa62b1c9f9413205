/** The real qmgr process, with this test as its smtpd, smtpc and resolver. */
import assert from 'node:assert/strict'
import { readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import Database from 'better-sqlite3'
import { IdSource } from '../../shared/base/ids.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Hub } from '../../shared/bus/hub.ts'
import { type Link, openLink, type Welcome } from '../../shared/bus/link.ts'
import type { Answer, Payload, Role } from '../../shared/bus/messages.ts'
import type { Handlers } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'
import { usualLoad } from '../support/usual-load.ts'
import { BUILD, makeRig, playHub, type Rig, startWorker, type TestWorker } from '../support/worker.ts'

const route: Route = {
  kind: 'smtp',
  zone: '.',
  destination: 'mx.example.org',
  protocol: 'smtp',
  hosts: [{ name: 'mx.example.org', addresses: ['127.0.0.1'], port: 25, preference: 0 }],
}

function sliceIn(directory: string, more: Partial<QmgrSlice> = {}): QmgrSlice {
  return {
    hostname: 'mx.test',
    spool: join(directory, 'spool'),
    activeEntries: 1000,
    activeOctets: 64 << 20,
    messageSizeLimit: 50 << 20,
    retry: [100, 200],
    lifetime: 60_000,
    bounceLifetime: 60_000,
    delayWarning: 30_000,
    removedKeep: 60_000,
    returnLimit: 65_536,
    initialConcurrency: 5,
    maxConcurrency: 20,
    recipientsPerTransaction: 100,
    minFreeSpace: 0,
    sessionLimit: 100,
    load: usualLoad,
    ldaLimit: 4,
    signing: null,
    servers: [],
    retryClasses: [],
    mailboxLifetime: 14 * 24 * 3_600_000,
    userAgents: { listeners: ['local'], zones: ['.'], minimumUid: 1000, onlyUid: null },
    zoneSchedules: {},
    controlUids: [],
    controlNames: {},
    busUids: null,
    ...more,
  }
}

const sent: Outcome = {
  kind: 'sent',
  reply: { code: 250, enhanced: '2.0.0', text: 'ok', host: 'mx.example.org' },
}
const later: Outcome = {
  kind: 'later',
  blame: 'recipient',
  reply: { code: 450, enhanced: '4.2.1', text: 'busy', host: 'mx.example.org' },
}
const never: Outcome = {
  kind: 'never',
  reply: { code: 550, enhanced: '5.1.1', text: 'no such user', host: 'mx.example.org' },
}

class Stage {
  readonly rig: Rig = makeRig()
  qmgr: TestWorker | null = null
  readonly links: Link[] = []
  readonly hubs: Hub[] = []

  async startQmgr(more: Partial<QmgrSlice> = {}): Promise<void> {
    this.qmgr = await startWorker('qmgr', sliceIn(this.rig.directory, more), this.rig)
  }

  async join(role: Role, handlers: Handlers = {}): Promise<{ link: Link; welcome: Welcome }> {
    const link = openLink({
      target: this.rig.buses.qmgr,
      remote: 'qmgr',
      identity: () => ({ role, name: `${role}-1`, pid: process.pid, build: BUILD, epoch: 1 }),
      handlers: { load: () => undefined, 'content-credit': () => undefined, ...handlers },
      log: silentLog,
    })
    this.links.push(link)
    return { link, welcome: await link.ready() }
  }

  async end(): Promise<void> {
    for (const link of this.links) link.close()
    for (const hub of this.hubs) hub.close()
    if (this.qmgr) await this.qmgr.drain()
    this.rig.close()
  }
}

function envelope(id: number, size: number, addresses: string[], more: Partial<Envelope> = {}): Envelope {
  return {
    id,
    sender: 'sender@example.net',
    recipients: addresses.map((address) => ({ address, route })),
    size,
    body: '7bit',
    smtputf8: false,
    receivedAt: Date.now(),
    origin: { listener: 'mx', session: 'S1', client: '127.0.0.1' },
    ...more,
  }
}

function answerAll(payload: Payload<'deliver'>, outcome: Outcome): Answer<'deliver'> {
  return { outcomes: payload.recipients.map(({ n }) => ({ n, outcome })), host: '', address: '', tls: '' }
}

/** A queue of things that arrive, to be awaited one by one. */
class Arrivals<T> {
  readonly #items: T[] = []
  readonly #waiting: ((item: T) => void)[] = []

  push(item: T): void {
    const next = this.#waiting.shift()
    if (next) next(item)
    else this.#items.push(item)
  }

  next(): Promise<T> {
    const item = this.#items.shift()
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item)
  }
}

const content = Buffer.from('Subject: test\r\nFrom: a@b\r\n\r\nhello\r\n')

describe('qmgr', { timeout: 60_000 }, () => {
  let stage: Stage
  beforeEach(() => {
    stage = new Stage()
  })
  afterEach(() => stage.end())

  it('accepts, hands out, and forgets what was sent', async () => {
    await stage.startQmgr()
    const delivered = new Arrivals<Payload<'deliver'>>()
    await stage.join('smtpc', {
      deliver: (payload) => {
        delivered.push(payload)
        return answerAll(payload, sent)
      },
    })
    const { link, welcome } = await stage.join('smtpd')
    const id = new IdSource(welcome.serial).next()
    const answer = await link.request('submit', {
      envelope: envelope(id, content.length, ['a@example.org']),
      content,
    })
    assert.deepEqual(answer, { kind: 'accepted' })
    const delivery = await delivered.next()
    assert.equal(delivery.message, id)
    assert.deepEqual(Buffer.from(delivery.content ?? []), content)
    assert.equal(delivery.recipients[0]?.address, 'a@example.org')
  })

  it('retries later, tells the sender of never, once', async () => {
    await stage.startQmgr()
    const resolver = await playHub('resolver', stage.rig.buses.resolver, {
      resolve: ({ address }) => ({
        kind: 'found',
        class: 'remote',
        zone: '.',
        targets: [{ address, route }],
      }),
    })
    const delivered = new Arrivals<Payload<'deliver'>>()
    let attempts = 0
    await stage.join('smtpc', {
      deliver: (payload) => {
        delivered.push(payload)
        if (payload.sender === '') return answerAll(payload, sent)
        attempts++
        return answerAll(payload, attempts < 3 ? later : never)
      },
    })
    const { link, welcome } = await stage.join('smtpd')
    const id = new IdSource(welcome.serial).next()
    await link.request('submit', { envelope: envelope(id, content.length, ['b@example.org']), content })
    for (let n = 0; n < 3; n++) assert.equal((await delivered.next()).message, id)
    const report = await delivered.next()
    assert.equal(report.sender, '')
    assert.equal(report.recipients[0]?.address, 'sender@example.net')
    const text = Buffer.from(report.content ?? []).toString()
    assert.match(text, /^Final-Recipient: rfc822; b@example\.org\r$/m)
    assert.match(text, /^Status: 5\.1\.1\r$/m)
    assert.match(text, /^Diagnostic-Code: smtp; 550 5\.1\.1 no such user\r$/m)
    assert.match(text, /^Subject: test\r$/m)
    resolver.hub.close()
  })

  it('takes up after kill -9 what it said yes to, partly settled messages included', async () => {
    await stage.startQmgr()
    const resolver = await playHub('resolver', stage.rig.buses.resolver, {
      resolve: ({ address }) => ({
        kind: 'found',
        class: 'remote',
        zone: '.',
        targets: [{ address, route }],
      }),
    })
    const { link, welcome } = await stage.join('smtpd')
    const id = new IdSource(welcome.serial).next()
    const answer = await link.request('submit', {
      envelope: envelope(id, content.length, ['c@example.org', 'd@example.org']),
      content,
    })
    assert.equal(answer.kind, 'accepted')
    const gone = new Promise((resolve) => stage.qmgr?.child.once('exit', resolve))
    stage.qmgr?.child.kill('SIGKILL')
    await gone
    unlinkSync(stage.rig.buses.qmgr) // mcp's socket would have outlived it; this one was its own
    const delivered = new Arrivals<Payload<'deliver'>>()
    await stage.startQmgr()
    const second = await stage.join('smtpc', {
      deliver: (payload) => {
        delivered.push(payload)
        return answerAll(payload, sent)
      },
    })
    const addresses = new Set<string | undefined>()
    while (addresses.size < 2)
      for (const one of (await delivered.next()).recipients) addresses.add(one.address)
    assert.deepEqual(addresses, new Set(['c@example.org', 'd@example.org']))
    assert.notEqual(second.welcome.serial, welcome.serial)
    resolver.hub.close()
  })

  it('streams large content through a file, both ways, and leaves no file behind', async () => {
    await stage.startQmgr()
    const large = Buffer.alloc(3_000_000, 'abcdefgh\r\n')
    const pieces: Buffer[] = []
    const done = new Arrivals<number>()
    const { link: smtpc } = await stage.join('smtpc', {
      deliver: (payload) =>
        new Promise((resolve) => {
          finish = () => resolve(answerAll(payload, sent))
        }),
      'content-chunk': ({ stream, data, last }) => {
        pieces.push(Buffer.from(data))
        smtpc.send('content-credit', { stream, octets: data.length })
        if (!last) return
        finish()
        done.push(stream)
      },
    })
    let finish: () => void = () => undefined
    let credit = 1 << 20
    const credits = new Arrivals<number>()
    const { link, welcome } = await stage.join('smtpd', {
      'content-credit': ({ octets }) => {
        credit += octets
        credits.push(octets)
      },
    })
    const id = new IdSource(welcome.serial).next()
    for (let at = 0; at < large.length; at += 65_536) {
      const data = large.subarray(at, at + 65_536)
      while (credit < data.length) await credits.next()
      credit -= data.length
      link.send('content-chunk', { stream: id, data })
    }
    const answer = await link.request('submit', {
      envelope: envelope(id, large.length, ['e@example.org']),
      content: null,
    })
    assert.deepEqual(answer, { kind: 'accepted' })
    await done.next()
    assert.ok(Buffer.concat(pieces).equals(large))
    await stage.qmgr?.drain()
    assert.deepEqual(readdirSync(join(stage.rig.directory, 'spool', 'content')), [])
  })

  it('refuses what did not arrive whole, and leaves nothing of it', async () => {
    await stage.startQmgr()
    const { link, welcome } = await stage.join('smtpd')
    const ids = new IdSource(welcome.serial)
    const id = ids.next()
    link.send('content-chunk', { stream: id, data: Buffer.alloc(1000) })
    const answer = await link.request('submit', {
      envelope: envelope(id, 2000, ['f@example.org']),
      content: null,
    })
    assert.equal(answer.kind, 'refused')
    link.send('content-chunk', { stream: ids.next(), data: Buffer.alloc(1000) })
    link.close()
    await stage.qmgr?.drain()
    assert.deepEqual(readdirSync(join(stage.rig.directory, 'spool', 'content')), [])
  })

  it('waits while another qmgr holds the spool, and takes it over when that one is gone', async () => {
    await stage.startQmgr()
    const first = stage.qmgr
    const other = makeRig()
    let isWaiting: () => void = () => undefined
    const waiting = new Promise<void>((resolve) => {
      isWaiting = resolve
    })
    const onOutput = (text: string) => {
      if (text.includes('another qmgr holds the spool')) isWaiting()
    }
    const second = startWorker('qmgr', sliceIn(stage.rig.directory), other, {}, undefined, [], onOutput)
    await waiting
    await first?.drain()
    stage.qmgr = await second
    await stage.qmgr.drain()
    other.close()
  })

  it('spills to disk what the active queue has no room for, and delivers all of it', async () => {
    await stage.startQmgr({ activeEntries: 5 })
    const resolver = await playHub('resolver', stage.rig.buses.resolver, {
      resolve: ({ address }) => ({
        kind: 'found',
        class: 'remote',
        zone: '.',
        targets: [{ address, route }],
      }),
    })
    const { link, welcome } = await stage.join('smtpd')
    const ids = new IdSource(welcome.serial)
    const wanted = new Set<number>()
    const answers = Array.from({ length: 50 }, () => {
      const id = ids.next()
      wanted.add(id)
      return link.request('submit', { envelope: envelope(id, content.length, ['g@example.org']), content })
    })
    for (const answer of await Promise.all(answers)) assert.equal(answer.kind, 'accepted')
    const delivered = new Arrivals<number>()
    await stage.join('smtpc', {
      deliver: (payload) => {
        delivered.push(payload.message)
        return answerAll(payload, sent)
      },
    })
    while (wanted.size > 0) assert.ok(wanted.delete(await delivered.next()), 'each once')
    resolver.hub.close()
  })

  describe('cut-through', () => {
    async function cut(outcomes: Outcome[], more: { hang?: boolean } = {}) {
      await stage.startQmgr()
      const resolver = await playHub('resolver', stage.rig.buses.resolver, {
        resolve: ({ address }) => ({
          kind: 'found',
          class: 'remote',
          zone: '.',
          targets: [{ address, route }],
        }),
      })
      const delivered = new Arrivals<Payload<'deliver'>>()
      let release: () => void = () => undefined
      const gate = new Promise<void>((resolve) => {
        release = resolve
      })
      await stage.join('smtpc', {
        deliver: async (payload) => {
          delivered.push(payload)
          if (more.hang) await gate
          const answers = payload.recipients.map(({ n }) => ({ n, outcome: outcomes[n] ?? sent }))
          if (payload.sender !== '') outcomes = outcomes.map(() => sent)
          return { outcomes: answers, host: '', address: '', tls: '' }
        },
      })
      const { link, welcome } = await stage.join('smtpd')
      const id = new IdSource(welcome.serial).next()
      const addresses = outcomes.map((_, n) => `r${n}@example.org`)
      const answer = await link.request('submit', {
        envelope: envelope(id, content.length, addresses),
        content,
        cutThrough: more.hang ? 50 : 30_000,
      })
      stage.hubs.push(resolver.hub)
      return { answer, delivered, release }
    }

    function stored(): unknown[] {
      const database = new Database(join(stage.rig.directory, 'spool', 'queue.db'), { readonly: true })
      try {
        return database.prepare('SELECT id FROM intake UNION ALL SELECT id FROM deferred').all()
      } finally {
        database.close()
      }
    }

    it('says yes when all was delivered, with nothing ever stored', async () => {
      const { answer } = await cut([sent, sent])
      assert.deepEqual(answer, { kind: 'accepted' })
      assert.deepEqual(stored(), [])
    })

    it('refuses in the words of the host that refused the only recipient, and reports nothing', async () => {
      const { answer, delivered } = await cut([never])
      assert.deepEqual(answer, { kind: 'refused', reply: never.reply })
      await delivered.next()
      assert.deepEqual(stored(), [])
    })

    it('keeps who must wait, and says yes', async () => {
      const { answer, delivered } = await cut([sent, later])
      assert.deepEqual(answer, { kind: 'accepted' })
      assert.equal((await delivered.next()).recipients.length, 2)
      assert.deepEqual(
        (await delivered.next()).recipients.map((one) => one.address),
        ['r1@example.org'],
      )
    })

    it('reports one of several that is refused, and delivers to the others once', async () => {
      const { answer, delivered } = await cut([sent, never])
      assert.deepEqual(answer, { kind: 'accepted' })
      await delivered.next()
      const report = await delivered.next()
      assert.equal(report.sender, '')
      assert.match(Buffer.from(report.content ?? []).toString(), /Final-Recipient: rfc822; r1@example\.org/)
    })

    it('stores at the deadline what is not settled, says yes, and delivers once', async () => {
      const { answer, delivered, release } = await cut([sent], { hang: true })
      assert.deepEqual(answer, { kind: 'accepted' })
      assert.equal(stored().length, 1)
      release()
      await delivered.next()
      await stage.qmgr?.drain()
      assert.deepEqual(stored(), [])
    })
  })
})
