/**
 * What `posthorn queue` asks for: listing, showing, and the administrator's acts. Recipients live in two places,
 * rows of the store and (on their first way through) only in memory; here both are one queue.
 *
 * Rights: root, the MTA's own uid and `controls` uids may do everything; anybody else sees the messages that
 * uid submitted and may do nothing. Every act is logged with who did it and how many recipients it changed, and so
 * is every act that was refused.
 *
 * An act goes through the rows a piece at a time, each piece one transaction, so that new mail gets its turn in
 * between. Fails half-way: what was changed stays changed, and the answer says how many that are.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Credentials, Peer } from '../../shared/bus/peer.ts'
import type { QueueAct, QueueEntry, QueueFilter } from '../../shared/bus/queue.ts'
import type { ActiveQueue } from './active-queue.ts'
import type { Backlog } from './backlog.ts'
import { type Disposal, PIECE, Unfinished } from './disposal.ts'
import type { Entry, Slot } from './entry.ts'
import { decodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import { entryOfRow, pageOf, rowInMemory } from './queue-view.ts'
import { headerOf } from './returned-content.ts'
import { meets, type RowAct, type Selection, selectionFor } from './selection.ts'
import { type Acted, type Piece, StoreTrouble } from './store.ts'
import type { StorePort } from './store-port.ts'

export interface ControlOptions {
  port: StorePort
  journal: Journal
  queue: ActiveQueue
  disposal: Pick<Disposal, 'discard'>
  backlog: Pick<Backlog, 'acted'>
  isAdministrator: (credentials: Credentials | null) => boolean
  /** For the log; null for a uid that the configuration does not name. */
  nameOf: (uid: number) => string | null
  /** Deferred mail may be due earlier than planned; it was to go to these destinations. */
  onHurry: (destinations: ReadonlySet<string>) => void
  readHeader: (entry: { id: number; content: Uint8Array | null; size: number }) => Promise<Uint8Array>
  log: Log
  now: () => number
}

type ActAnswer = Answer<'queue-act'>

const MOST_LISTED = 1000
const MOST_SHOWN = 50_000
const SAMPLE = 10
/** Well below the time that a caller waits for its answer. */
const LONGEST_SEARCH_MS = 2000
/** Acts that may make mail due. */
const hurried: ReadonlySet<QueueAct> = new Set<QueueAct>(['release', 'retry', 'route-again', 'restore'])
const EVERY_STATE = ['active', 'deferred', 'held', 'removed'] as const

export class Control {
  readonly #options: ControlOptions

  constructor(options: ControlOptions) {
    this.#options = options
  }

  async list({ filter, after, limit }: Payload<'queue-list'>, peer: Peer): Promise<Answer<'queue-list'>> {
    const selection = this.#visible(filter, peer)
    if (!selection) return { entries: [], next: null }
    return this.#page(selection, after, Math.min(Math.max(limit, 1), MOST_LISTED))
  }

  async show({ id }: Payload<'queue-show'>, peer: Peer): Promise<Answer<'queue-show'>> {
    const { port, queue, readHeader } = this.#options
    const stored = await port.call('load', id)
    if (!stored) return { kind: 'missing' }
    const envelope = queue.entries.get(id)?.envelope ?? decodeEnvelope(stored.envelope)
    if (!this.#mayRead(envelope.origin.uid, peer)) return { kind: 'missing' }
    const entries = await this.#recipients(id)
    const history = (await port.call('history', id)).slice(0, MOST_SHOWN)
    return {
      kind: 'found',
      envelope,
      entries,
      history,
      header: headerOf(await readHeader({ ...stored, size: envelope.size })),
    }
  }

  async act({ act, filter, dryRun }: Payload<'queue-act'>, peer: Peer): Promise<ActAnswer> {
    const { isAdministrator, log } = this.#options
    const who = peer.credentials
    const facts = { act, filter, ...this.#whoIs(who) }
    if (!isAdministrator(who) && !isTurn(act, filter, peer)) {
      log.warn(facts, 'queue act refused')
      return { kind: 'refused', reason: 'only root, the MTA and the users of controls may do that' }
    }
    try {
      if (dryRun) return await this.#plan(act, filter)
      const recipients = await this.#perform(act, filter)
      log.info({ ...facts, recipients }, 'queue act')
      return { kind: 'done', recipients }
    } catch (error) {
      const recipients = error instanceof Unfinished ? error.recipients : 0
      log.error({ ...facts, recipients, err: error }, 'queue act failed')
      return { kind: 'failed', recipients, reason: reasonOf(error) }
    }
  }

  /** Pieces in which nothing is found are not told of one by one: that would be a round trip for each. */
  async #page(selection: Selection, after: string | null, limit: number): Promise<Answer<'queue-list'>> {
    const { port, queue } = this.#options
    const began = performance.now()
    for (let from = after; ; ) {
      const stored = await port.call('list', selection, from, limit)
      const page = pageOf(stored, queue.entries, selection, from, limit)
      if (page.entries.length > 0 || page.next === null || performance.now() - began > LONGEST_SEARCH_MS)
        return page
      from = page.next
    }
  }

  async #recipients(id: number): Promise<QueueEntry[]> {
    const selection: Selection = { ids: [id], states: EVERY_STATE }
    const found: QueueEntry[] = []
    for (let after: string | null = null; found.length < MOST_SHOWN; ) {
      const page: Answer<'queue-list'> = await this.#page(selection, after, MOST_LISTED)
      found.push(...page.entries)
      if (page.next === null) break
      after = page.next
    }
    return found
  }

  /** Null: nothing at all. */
  #visible(filter: QueueFilter, { credentials }: Peer): Selection | null {
    if (this.#options.isAdministrator(credentials)) return filter
    return credentials ? { ...filter, owner: credentials.uid } : null
  }

  async #plan(act: QueueAct, filter: QueueFilter): Promise<ActAnswer> {
    const { port } = this.#options
    const selection = selectionFor(act, filter)
    const here = this.#queued(act, filter)
    let recipients = here.reduce((sum, { slots }) => sum + slots.length, 0)
    const sample = here
      .slice(0, SAMPLE)
      .flatMap(({ entry, slots }) => slots.map((slot) => entryOfRow(rowInMemory(entry, slot))))
    for (let after: string | null = null; ; ) {
      const { found, next }: Piece<number> = await port.call('count', selection, after)
      if (found > 0 && sample.length < SAMPLE) {
        const { rows } = await port.call('list', selection, after, SAMPLE)
        sample.push(...rows.map(entryOfRow))
      }
      recipients += found
      if (next === null) return { kind: 'planned', recipients, sample: sample.slice(0, SAMPLE) }
      after = next
    }
  }

  async #perform(act: QueueAct, filter: QueueFilter): Promise<number> {
    const here = this.#queued(act, filter)
    for (const { entry, slots } of here) this.#performHere(act, entry, slots)
    const before = here.reduce((sum, { slots }) => sum + slots.length, 0)
    const touched = new Set<string>()
    const stored = act === 'discard' ? this.#discardRows(filter) : this.#changeRows(act, filter, touched)
    try {
      return before + (await stored)
    } catch (error) {
      throw error instanceof Unfinished ? new Unfinished(before + error.recipients, error.cause) : error
    } finally {
      if (hurried.has(act)) this.#options.onHurry(touched)
    }
  }

  #discardRows(filter: QueueFilter): Promise<number> {
    return this.#options.disposal.discard(selectionFor('discard', filter))
  }

  /** @param touched gets the destinations of what was changed. */
  async #changeRows(act: RowAct, filter: QueueFilter, touched: Set<string>): Promise<number> {
    const { backlog, journal, port, now } = this.#options
    const selection = selectionFor(act, filter)
    let recipients = 0
    for (let after: string | null = null; ; ) {
      try {
        const from: string | null = after
        const { found, next }: Piece<Acted> = await journal.behind(() =>
          port.call('act', act, selection, from, PIECE, now()),
        )
        recipients += found.recipients
        backlog.acted(found.touched)
        for (const { destination } of found.touched) touched.add(destination)
        if (next === null) return recipients
        after = next
      } catch (error) {
        throw new Unfinished(recipients, error)
      }
    }
  }

  #performHere(act: QueueAct, entry: Entry, slots: readonly Slot[]): void {
    const { queue } = this.#options
    switch (act) {
      case 'hold':
        for (const slot of slots) queue.setAside(entry, slot, 'held')
        return
      case 'remove':
        for (const slot of slots) queue.setAside(entry, slot, 'removed')
        return
      case 'discard':
        for (const slot of slots) queue.drop(entry, slot)
        return
      case 'route-again':
        return queue.reroute(entry, new Set(slots))
      case 'release':
      case 'retry':
      case 'restore':
        return
      default: {
        const never: never = act
        throw new Error(`unknown act ${String(never)}`)
      }
    }
  }

  /** Queued slots that an act is to change; the ones under way are left to finish. */
  #queued(act: QueueAct, filter: QueueFilter): { entry: Entry; slots: Slot[] }[] {
    if (act === 'release' || act === 'retry' || act === 'restore') return []
    const { entries } = this.#options.queue
    const { ids, ...rest } = filter
    const wanted = ids ? [...new Set(ids)].flatMap((id) => entries.get(id) ?? []) : [...entries.values()]
    return wanted.flatMap((entry) => {
      if (entry.provisional) return []
      const slots = entry.slots.filter(
        (slot) => slot.state === 'queued' && meets(rest, rowInMemory(entry, slot)),
      )
      return slots.length > 0 ? [{ entry, slots }] : []
    })
  }

  #mayRead(owner: number | undefined, { credentials }: Peer): boolean {
    return this.#options.isAdministrator(credentials) || (owner !== undefined && owner === credentials?.uid)
  }

  #whoIs(who: Credentials | null): { uid?: number; user?: string | null; pid?: number } {
    return who ? { uid: who.uid, user: this.#options.nameOf(who.uid), pid: who.pid } : {}
  }
}

/** For the caller; the log has the rest. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Unfinished ? error.cause : error
  if (cause instanceof StoreTrouble && cause.trouble === 'full') return 'the disk is full'
  return `the queue cannot be changed now: ${cause instanceof Error ? cause.message : String(cause)}`
}

/** ETRN (RFC 1985): an smtpd may hurry the mail for one domain, and has asked whether its client may. */
function isTurn(act: QueueAct, { domain, ...others }: QueueFilter, { identity }: Peer): boolean {
  return identity?.role === 'smtpd' && act === 'retry' && !!domain && Object.keys(others).length === 0
}
