/**
 * What `posthorn queue` asks for: listing, showing, and the administrator's acts. Recipients live in two places,
 * rows of the store and (on their first way through) only in memory; here both are one queue.
 *
 * Rights: root, the MTA's own uid and `controls` uids may do everything; anybody else sees the messages that
 * uid submitted and may do nothing.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload, QueueEntry, QueueFilter } from '../../shared/bus/messages.ts'
import type { Credentials, Peer } from '../../shared/bus/peer.ts'
import type { ActiveQueue } from './active-queue.ts'
import type { ContentFiles } from './content-files.ts'
import type { Entry, Slot } from './entry.ts'
import { decodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import { matches } from './memory-store.ts'
import { headerOf } from './returned-content.ts'
import type { RecipientRow } from './store.ts'
import type { StorePort } from './store-port.ts'

export interface ControlOptions {
  port: StorePort
  journal: Journal
  queue: ActiveQueue
  files: ContentFiles
  isAdministrator: (credentials: Credentials | null) => boolean
  /** Deferred mail may be due earlier than planned. */
  onHurry: () => void
  readHeader: (entry: { id: number; content: Uint8Array | null }) => Promise<Uint8Array>
  log: Log
  now: () => number
}

export class Control {
  readonly #options: ControlOptions

  constructor(options: ControlOptions) {
    this.#options = options
  }

  async list({ filter, after, limit }: Payload<'queue-list'>, peer: Peer): Promise<Answer<'queue-list'>> {
    const most = Math.min(Math.max(limit, 1), 1000)
    const page = await this.#options.port.call('list', filter, after, most)
    const stored = page.rows.map(entryOfRow)
    const start = after ?? ''
    const end = page.next
    const fresh = this.#fresh(filter).filter(
      (entry) =>
        (start === '' || compare(keyOf(entry), start) > 0) &&
        (end === null || compare(keyOf(entry), end) <= 0),
    )
    const entries = [...stored, ...fresh]
      .sort((a, b) => compare(keyOf(a), keyOf(b)))
      .map(({ n: _n, ...entry }) => entry)
    return { entries: await this.#visible(entries, peer), next: end }
  }

  async show({ id }: Payload<'queue-show'>, peer: Peer): Promise<Answer<'queue-show'>> {
    const { port, queue, readHeader } = this.#options
    const stored = await port.call('load', id)
    if (!stored) return { kind: 'missing' }
    const envelope = queue.entries.get(id)?.envelope ?? decodeEnvelope(stored.envelope)
    if (!this.#mayRead(envelope.origin.uid, peer)) return { kind: 'missing' }
    const { entries } = await this.list({ filter: { ids: [id] }, after: null, limit: 1000 }, peer)
    return { kind: 'found', envelope, entries, header: headerOf(await readHeader(stored)) }
  }

  async act({ act, filter }: Payload<'queue-act'>, peer: Peer): Promise<Answer<'queue-act'>> {
    const { isAdministrator, log } = this.#options
    const who = peer.credentials
    if (!isAdministrator(who)) throw new Error('not allowed')
    const recipients = await this.#perform(act, filter)
    log.info({ act, filter, recipients, uid: who?.uid, pid: who?.pid }, 'queue act')
    return { recipients }
  }

  async #perform(act: Payload<'queue-act'>['act'], filter: QueueFilter): Promise<number> {
    const { journal, port, queue, onHurry, now } = this.#options
    switch (act) {
      case 'hold': {
        const fresh = this.#eachQueued(filter, (entry, slot) => queue.hold(entry, slot))
        return fresh + (await journal.behind(() => port.call('shift', filter, 'hold', now())))
      }
      case 'release':
      case 'flush': {
        const changed = await journal.behind(() => port.call('shift', filter, act, now()))
        onHurry()
        return changed
      }
      case 'remove':
        return this.#remove(filter)
      default: {
        const never: never = act
        throw new Error(`unknown act ${String(never)}`)
      }
    }
  }

  async #remove(filter: QueueFilter): Promise<number> {
    const { journal, port, queue, files } = this.#options
    let recipients = this.#eachQueued(filter, (entry, slot) => queue.drop(entry, slot))
    let frozen = false
    try {
      const discarded = await journal.behind(() => {
        frozen = true
        queue.freeze()
        return port.call('discard', filter)
      })
      for (const one of discarded) {
        recipients += one.recipients
        const entry = queue.entries.get(one.message)
        if (entry) entry.waiting -= one.recipients
        if (one.removed) await files.remove(one.message)
      }
    } finally {
      if (frozen) queue.thaw()
    }
    return recipients
  }

  /** Queued slots that a filter means; the ones under way are left to finish. */
  #eachQueued(filter: QueueFilter, act: (entry: Entry, slot: Slot) => void): number {
    let count = 0
    for (const entry of [...this.#options.queue.entries.values()]) {
      if (entry.provisional) continue
      for (const slot of entry.slots) {
        if (slot.state !== 'queued' || !matches(filter, rowLike(entry, slot))) continue
        act(entry, slot)
        count++
      }
    }
    return count
  }

  /** Recipients on their first way through: the store has no rows of them. */
  #fresh(filter: QueueFilter): (QueueEntry & { n: number })[] {
    const found: (QueueEntry & { n: number })[] = []
    for (const entry of this.#options.queue.entries.values()) {
      for (const slot of entry.slots) {
        if (slot.hasRow || slot.state === 'done' || !matches(filter, rowLike(entry, slot))) continue
        found.push({ ...entryOfRow({ ...rowLike(entry, slot), nextAttemptAt: 0, reply: null }), n: slot.n })
      }
    }
    return found
  }

  async #visible(entries: QueueEntry[], peer: Peer): Promise<QueueEntry[]> {
    if (this.#options.isAdministrator(peer.credentials)) return entries
    const own: QueueEntry[] = []
    for (const entry of entries) if (this.#mayRead(await this.#ownerOf(entry.id), peer)) own.push(entry)
    return own
  }

  async #ownerOf(id: number): Promise<number | undefined> {
    const present = this.#options.queue.entries.get(id)
    if (present) return present.envelope.origin.uid
    const stored = await this.#options.port.call('load', id)
    return stored ? decodeEnvelope(stored.envelope).origin.uid : undefined
  }

  #mayRead(owner: number | undefined, peer: Peer): boolean {
    const { credentials } = peer
    return this.#options.isAdministrator(credentials) || (owner !== undefined && owner === credentials?.uid)
  }
}

function rowLike(entry: Entry, slot: Slot): Omit<RecipientRow, 'reply' | 'nextAttemptAt'> {
  const { envelope } = entry
  return {
    message: entry.id,
    n: slot.n,
    state: 'active',
    attempts: slot.attempts,
    warned: slot.warned,
    address: slot.recipient.address,
    sender: envelope.sender,
    destination: slot.recipient.route?.destination ?? '',
    octets: envelope.size,
    receivedAt: envelope.receivedAt,
  }
}

function entryOfRow(row: RecipientRow): QueueEntry & { n: number } {
  return {
    id: row.message,
    n: row.n,
    sender: row.sender,
    recipient: row.address,
    size: row.octets,
    receivedAt: row.receivedAt,
    state: row.state,
    attempts: row.attempts,
    nextAttemptAt: row.state === 'deferred' ? row.nextAttemptAt : null,
    destination: row.destination,
    lastReply: row.reply,
  }
}

function keyOf(entry: { id: number; n: number }): string {
  return `${entry.id}.${entry.n}`
}

function compare(a: string, b: string): number {
  const [messageA = 0, nA = 0] = a.split('.').map(Number)
  const [messageB = 0, nB = 0] = b.split('.').map(Number)
  return messageA - messageB || nA - nB
}
