/**
 * Gives slots their routes: what came with the envelope for the first attempt, else what the resolver says now.
 * An address that has become several (an alias changed, or a report goes to a list) rewrites the envelope.
 *
 * The resolver being away or in doubt is our own trouble: the recipient waits, it never fails for that.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Recipient } from '../../shared/message/envelope.ts'
import { wants, withoutSuccess } from '../../shared/message/notify.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Route, Target } from '../../shared/message/route.ts'
import type { ActiveQueue } from './active-queue.ts'
import { type Entry, newSlot, type Slot } from './entry.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import type { Lists } from './lists.ts'
import { expandedNotice } from './notice.ts'
import type { Report, Reports } from './reports.ts'

export interface RouterOptions {
  resolve: (asked: Payload<'resolve'>) => Promise<Answer<'resolve'>>
  /** Slots that have a route now and are marked queued. */
  onRouted: (entry: Entry, slots: Slot[]) => void
  queue: () => ActiveQueue
  /** A route by the sender's own agent instead of this one; null: none. */
  insteadOf: (route: Route, entry: Entry) => Route | null
  journal: Journal
  reports: Pick<Reports, 'about'>
  lists: Pick<Lists, 'expand'>
  log: Log
}

/** Questions to the resolver at one time: a list of thousands must not fill the bus. */
const MOST_QUESTIONS = 256

export class Router {
  readonly #options: RouterOptions
  readonly #ready = new Map<Entry, Slot[]>()
  #waiting: { entry: Entry; slot: Slot }[] = []
  /** Of those that wait, the first that has not been asked for. */
  #next = 0
  #asking = 0

  constructor(options: RouterOptions) {
    this.#options = options
  }

  route(entry: Entry, slots: readonly Slot[]): void {
    const ready: Slot[] = []
    const lists: Slot[] = []
    for (const slot of slots) {
      const { list, route } = slot.recipient
      if (list) lists.push(slot)
      else if (!route) this.#waiting.push({ entry, slot })
      else if (route.kind === 'discard') void this.#drop(entry, slot, route.zone)
      else {
        this.#take(entry, slot, route)
        ready.push(slot)
      }
    }
    if (ready.length > 0) this.#options.onRouted(entry, ready)
    if (lists.length > 0) void this.#options.lists.expand(entry, lists)
    this.#askOn()
  }

  #askOn(): void {
    while (this.#asking < MOST_QUESTIONS) {
      const next = this.#waiting[this.#next]
      if (!next) break
      this.#next++
      this.#asking++
      void this.#ask(next.entry, next.slot).then(() => {
        this.#asking--
        this.#askOn()
      })
    }
    if (this.#next < this.#waiting.length) return
    this.#waiting = []
    this.#next = 0
  }

  /** What is routed in one turn of the event loop goes on together, so that recipients can share transactions. */
  #routed(entry: Entry, slot: Slot): void {
    if (this.#ready.size === 0) setImmediate(() => this.#passOn())
    const slots = this.#ready.get(entry)
    if (slots) slots.push(slot)
    else this.#ready.set(entry, [slot])
  }

  #passOn(): void {
    const all = [...this.#ready]
    this.#ready.clear()
    for (const [entry, slots] of all) this.#options.onRouted(entry, slots)
  }

  #take(entry: Entry, slot: Slot, route: Route): void {
    const other = this.#options.insteadOf(route, entry)
    if (other) slot.recipient = { ...slot.recipient, route: other }
    slot.state = 'queued'
  }

  /** In a turn of its own: whoever handed it over is not done with it. */
  async #drop(entry: Entry, slot: Slot, zone: string): Promise<void> {
    await null
    this.#options.queue().conclude(entry, [{ slot, outcome: discarded(zone) }])
  }

  async #ask(entry: Entry, slot: Slot): Promise<void> {
    const { resolve, queue } = this.#options
    let outcome: Outcome | null
    try {
      const answer = await resolve(questionFor(entry, slot))
      const reports = isSplit(answer) ? await this.#tellOfSplit(entry, slot) : []
      outcome = this.#answered(entry, slot, answer, reports)
    } catch (error) {
      outcome = {
        kind: 'later',
        blame: 'ours',
        reply: ourReply(`routing is not possible now: ${String(error)}`),
      }
    }
    if (outcome) queue().conclude(entry, [{ slot, outcome }])
  }

  /** RFC 3461 section 5.2.7: who asked to hear of success is told of the expansion, and of that alone. */
  #tellOfSplit({ envelope, content }: Entry, { recipient }: Slot): Promise<Report[]> | Report[] {
    if (envelope.sender === '' || !wants(recipient.notify, 'SUCCESS')) return []
    return this.#options.reports.about({ envelope, content }, [expandedNotice(recipient)])
  }

  #answered(entry: Entry, slot: Slot, answer: Answer<'resolve'>, reports: readonly Report[]): Outcome | null {
    switch (answer.kind) {
      case 'refused':
        return { kind: 'never', reply: answer.reply }
      case 'later':
        return { kind: 'later', blame: 'ours', reply: answer.reply }
      case 'found':
        return this.#found(entry, slot, answer.targets, reports)
      default: {
        const never: never = answer
        throw new Error(`unknown answer ${String(never)}`)
      }
    }
  }

  #found(
    entry: Entry,
    slot: Slot,
    targets: Extract<Answer<'resolve'>, { kind: 'found' }>['targets'],
    reports: readonly Report[],
  ): Outcome | null {
    const [first, ...others] = targets
    if (!first)
      return { kind: 'never', reply: { code: 550, enhanced: '5.1.1', text: 'no recipient', host: '' } }
    if (others.length > 0) this.#split(entry, slot, targets, reports)
    else if (first.address !== slot.recipient.address) this.#rename(slot, first)
    if (first.list) {
      // what comes of it is stored with it, so it must be stored first
      if (entry.provisional) return { kind: 'later', blame: 'ours', reply: ourReply('it stands for a list') }
      slot.recipient = { ...slot.recipient, list: true }
      void this.#options.lists.expand(entry, [slot])
      return null
    }
    if (!first.route) return { kind: 'later', blame: 'ours', reply: ourReply('no route yet') }
    slot.recipient = { ...slot.recipient, route: first.route }
    if (first.route.kind === 'discard') return discarded(first.route.zone)
    this.#take(entry, slot, first.route)
    this.#routed(entry, slot)
    return null
  }

  #rename(slot: Slot, target: Target): void {
    slot.recipient = targeted(slot.recipient, slot.recipient.address, target)
  }

  /** The first target takes the slot; the others become recipients of their own, on disk before they are tried. */
  #split(entry: Entry, slot: Slot, targets: readonly Target[], reports: readonly Report[]): void {
    const [first, ...all] = targets
    if (!first) return
    // who gets the message already does not get it again
    const known = new Set(entry.envelope.recipients.map(({ address }) => address))
    const others = all.filter(({ address }) => !known.has(address))
    const asked = slot.recipient.address
    const notify = withoutSuccess(slot.recipient.notify)
    if (notify !== undefined) slot.recipient = { ...slot.recipient, notify }
    // Marked as expanded even where it stands for itself: it must not be expanded again.
    this.#rename(slot, first)
    const added = others.map((target) => targeted(slot.recipient, asked, target))
    const from = entry.envelope.recipients.length
    const recipients = entry.envelope.recipients.map((recipient, n) =>
      n === slot.n ? slot.recipient : recipient,
    )
    entry.envelope = { ...entry.envelope, recipients: [...recipients, ...added] }
    const slots = added.map((recipient, index) => newSlot(from + index, recipient))
    entry.slots.push(...slots)
    entry.open += slots.length
    this.#options.journal.record(
      [{ kind: 'rewrite', message: entry.id, envelope: encodeEnvelope(entry.envelope) }],
      reports.map((report) => report.stored),
      () => {
        this.route(entry, slots)
        this.#options.queue().send(reports)
      },
    )
  }
}

function targeted(recipient: Recipient, asked: string, { address, list, via }: Target): Recipient {
  const { list: _list, via: _via, route: _route, ...same } = recipient
  const original = recipient.original ?? asked
  return { ...same, original, address, ...(list && { list }), ...(via !== undefined && { via }) }
}

function isSplit(answer: Answer<'resolve'>): boolean {
  return answer.kind === 'found' && answer.targets.length > 1
}

/** What an alias has made is not looked up in the aliases again: `a: a, b` would never end. */
function questionFor({ envelope }: Entry, { attempts, recipient }: Slot): Payload<'resolve'> {
  if (recipient.via !== undefined) return { address: recipient.address, via: recipient.via }
  const { origin, sender, size } = envelope
  return {
    address: recipient.address,
    ...(recipient.original !== undefined && { expanded: true }),
    mail: {
      ...{ sender, size, attempt: attempts + 1 },
      ...(recipient.forwarded && { forwarded: true }),
      ...(origin.uid !== undefined && { uid: origin.uid }),
      ...(origin.user !== undefined && { user: origin.user }),
    },
  }
}

/** The config wants nobody to have it, and the sender not to know. */
function discarded(zone: string): Outcome {
  const text = `discarded, as zone ${zone} or its routing says`
  return { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text, host: '' } }
}

/** RFC 3463: other or undefined network or routing status, temporary. */
export function ourReply(text: string): Reply {
  return { code: 451, enhanced: '4.4.0', text, host: '' }
}
