/**
 * The active queue (AQ): every message that somebody works on right now, bounded in number and octets, in memory.
 *
 * It is the one door for changes of a recipient's state: messages come in by `admit`, leave a slot at a time by
 * `conclude`, and each step is told to the journal in the order it happened. Routing and delivery are done by
 * others; they call back. Reports to senders (`notice.ts`, `reports.ts`) ride
 * in the same commit as what they tell of (design rule D4).
 *
 * While a `take` from the store is under way (`freeze`), no message leaves: the rows that come back may be for it.
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'
import type { Backlog } from './backlog.ts'
import { destinationOf, type Entry, freshEntry, heardFrom, rowOf, type Slot } from './entry.ts'
import type { Journal } from './journal.ts'
import { type Notice, noticeFor } from './notice.ts'
import type { Reports } from './reports.ts'
import type { Change, StoredMessage } from './store.ts'
import { noLaterThanDue, startsAt } from './timing.ts'
import { judge, type RetryPolicy, type Verdict } from './verdict.ts'

export interface Conclusion {
  slot: Slot
  outcome: Outcome
  /** Wait at least until then, whatever the schedule says, and do not count it as an attempt. */
  notBefore?: number
}

/** A message that comes of another one, and is stored in the same commit as what becomes of that one. */
export interface Offspring {
  envelope: Envelope
  /** Null: it is a file. */
  content: Uint8Array | null
  stored: StoredMessage
}

export interface ActiveQueueOptions {
  policy: () => { activeEntries: number; activeOctets: number }
  /** Of a recipient, by its route, after this outcome. */
  retryPolicy: (route: Route | null, outcome: Outcome) => RetryPolicy
  journal: Journal
  reports: Pick<Reports, 'about'>
  backlog: Pick<Backlog, 'move'>
  log: Log
  now: () => number
  random: () => number
  /** Finds routes for these slots and queues them for delivery. */
  route: (entry: Entry, slots: Slot[]) => void
  /** A recipient waits until then. */
  onWait: (at: number) => void
  /** The content file of a message that is gone. */
  dropFile: (id: number) => void
}

export class ActiveQueue {
  readonly entries = new Map<number, Entry>()
  readonly #options: ActiveQueueOptions
  readonly #unclosed = new Set<Entry>()
  readonly #reporting = new Set<Promise<void>>()
  #frozen = 0
  #octets = 0
  delivered = 0

  constructor(options: ActiveQueueOptions) {
    this.#options = options
  }

  get octets(): number {
    return this.#octets
  }

  /** Is there room for more? Above it messages wait on disk. */
  get full(): boolean {
    const { activeEntries, activeOctets } = this.#options.policy()
    return this.entries.size >= activeEntries || this.#octets >= activeOctets
  }

  admit(entry: Entry): void {
    this.entries.set(entry.id, entry)
    this.#octets += entry.content?.length ?? 0
    if (entry.open > 0) this.#options.route(entry, entry.slots)
    else this.#record(entry, this.#close(entry, []), []) // the last life ended just before it could say so
  }

  /** Reports that are on stable storage now. */
  send(reports: readonly Offspring[]): void {
    for (const { envelope, content } of reports) this.admit(freshEntry(envelope, content))
  }

  /** More recipients of a message that is here already; they waited in rows until now. */
  join(entry: Entry, slots: Slot[]): void {
    entry.slots.push(...slots)
    entry.open += slots.length
    entry.waiting -= slots.length
    this.#options.route(entry, slots)
  }

  /**
   * Recipients that give way to other messages, in one commit with these.
   *
   * @param reports that go at once; the others are taken up one in each turn of the event loop.
   */
  disperse(
    entry: Entry,
    slots: readonly Slot[],
    offspring: readonly Offspring[],
    reports: readonly Offspring[],
  ): void {
    const changes: Change[] = []
    for (const slot of slots) {
      if (slot.state === 'done') continue
      this.#leave(slot, '')
      entry.open--
      changes.push({ kind: 'settle', message: entry.id, n: slot.n })
    }
    this.#record(entry, this.#close(entry, changes), [...reports, ...offspring], () => {
      this.send(reports)
      this.#admitInTurns(offspring, 0)
    })
  }

  #admitInTurns(offspring: readonly Offspring[], at: number): void {
    const one = offspring[at]
    if (!one) return
    this.send([one])
    if (at + 1 < offspring.length) setImmediate(() => this.#admitInTurns(offspring, at + 1))
  }

  freeze(): void {
    this.#frozen++
  }

  thaw(): void {
    this.#frozen--
    if (this.#frozen > 0) return
    for (const entry of this.#unclosed) {
      if (entry.open === 0) this.#record(entry, this.#close(entry, []), [])
    }
    this.#unclosed.clear()
  }

  conclude(entry: Entry, conclusions: readonly Conclusion[]): void {
    if (entry.provisional) return entry.provisional.conclude(conclusions)
    const changes: Change[] = []
    const notices: Notice[] = []
    for (const conclusion of conclusions) {
      const { slot, outcome } = conclusion
      if (slot.state === 'done') continue
      const verdict = this.#judge(entry, conclusion)
      this.#log(entry, slot, outcome, verdict)
      this.#leave(slot, verdict.kind === 'wait' ? destinationOf(slot) : '')
      entry.open--
      changes.push(this.#changeFor(entry, slot, outcome, verdict))
      if (verdict.kind === 'done') this.delivered++
      const notice = noticeFor(entry.envelope, slot.recipient, outcome, verdict)
      if (notice) notices.push(notice)
    }
    if (notices.length === 0) this.#record(entry, this.#close(entry, changes), [])
    else this.#concludeWithReports(entry, changes, notices)
  }

  /** Resolves when everything that was concluded has been told to the journal. */
  async reported(): Promise<void> {
    await Promise.all(this.#reporting)
  }

  /** A recipient of a message that no store knows of is done, one way or the other. */
  settleUnstored(entry: Entry, conclusion: Conclusion): void {
    const { slot, outcome } = conclusion
    const verdict: Verdict =
      outcome.kind === 'sent' ? { kind: 'done' } : { kind: 'fail', reply: outcome.reply, expired: false }
    this.#log(entry, slot, outcome, verdict)
    this.#leave(slot, '')
    entry.open--
    if (outcome.kind === 'sent') this.delivered++
  }

  /** A message that no store knows of is gone; what still comes back for it is for nobody. */
  forget(entry: Entry): void {
    for (const slot of entry.slots) if (slot.state !== 'done') this.#leave(slot, '')
    if (this.entries.delete(entry.id)) this.#octets -= entry.content?.length ?? 0
  }

  /** The administrator's word: a queued slot waits in the store instead. */
  setAside(entry: Entry, slot: Slot, state: 'held' | 'removed'): void {
    this.#leave(slot, state === 'held' ? destinationOf(slot) : '')
    entry.open--
    entry.waiting++
    const row = rowOf(entry, slot, { state, at: this.#options.now() })
    this.#record(entry, this.#close(entry, [{ kind: 'wait', row }]), [])
  }

  /** The administrator's word: where queued slots were to go is forgotten and asked for again. */
  reroute(entry: Entry, chosen: ReadonlySet<Slot>): void {
    const again: Slot[] = []
    entry.slots = entry.slots.map((slot) => {
      if (!chosen.has(slot)) return slot
      const { route: _route, ...recipient } = slot.recipient
      const fresh: Slot = { ...slot, recipient, state: 'routing' }
      slot.state = 'done' // the task that is in line for it finds nobody
      again.push(fresh)
      return fresh
    })
    this.#options.route(entry, again)
  }

  /** The administrator's word: a queued slot is dropped, and nobody is told. */
  drop(entry: Entry, slot: Slot): void {
    this.#leave(slot, '')
    entry.open--
    this.#record(entry, this.#close(entry, [{ kind: 'settle', message: entry.id, n: slot.n }]), [])
  }

  /** It is settled (''), or waits in a row that names this destination. */
  #leave(slot: Slot, destination: string): void {
    slot.state = 'done'
    this.#options.backlog.move(slot, destination)
  }

  #judge(entry: Entry, { slot, outcome, notBefore }: Conclusion): Verdict {
    const { envelope } = entry
    const history = {
      attempts: slot.attempts,
      receivedAt: startsAt(envelope),
      deliverBy: envelope.deliverBy,
      warned: slot.warned,
      isReport: envelope.sender === '',
    }
    const verdict = judge(
      outcome,
      history,
      this.#options.retryPolicy(slot.recipient.route ?? null, outcome),
      this.#options.now(),
      this.#options.random(),
    )
    if (notBefore === undefined || verdict.kind !== 'wait') return verdict
    const at = noLaterThanDue(notBefore, envelope.deliverBy, this.#options.now())
    return { ...verdict, at, attempts: slot.attempts }
  }

  #changeFor(entry: Entry, slot: Slot, outcome: Outcome, verdict: Verdict): Change {
    if (verdict.kind !== 'wait') return { kind: 'settle', message: entry.id, n: slot.n }
    slot.heard = heardFrom(outcome, slot.heard, this.#options.now())
    slot.attempts = verdict.attempts
    slot.warned ||= verdict.warn
    entry.waiting++
    this.#options.onWait(verdict.at)
    return { kind: 'wait', row: rowOf(entry, slot, { state: 'deferred', at: verdict.at }) }
  }

  /** What closing adds to the changes, when this was the last open slot: the message leaves memory. */
  #close(entry: Entry, changes: Change[]): Change[] {
    if (entry.open > 0) return changes
    if (this.#frozen > 0) {
      this.#unclosed.add(entry)
      return changes
    }
    this.entries.delete(entry.id)
    this.#octets -= entry.content?.length ?? 0
    if (entry.waiting > 0) return [...changes, { kind: 'park', message: entry.id }]
    // Nobody is left: what else there was to say of single recipients goes with the message.
    return [{ kind: 'remove', message: entry.id, ...(entry.alone && { alone: true }) }]
  }

  #record(
    entry: Entry,
    changes: Change[],
    reports: readonly Offspring[],
    then: () => void = () => this.send(reports),
  ): void {
    const gone = entry.filed && changes.some((change) => change.kind === 'remove')
    if (changes.some((change) => change.kind !== 'remove')) entry.alone = false
    if (reports.length === 0 && !gone) return this.#options.journal.record(changes)
    this.#options.journal.record(
      changes,
      reports.map((report) => report.stored),
      () => {
        then()
        if (gone) this.#options.dropFile(entry.id)
      },
    )
  }

  #concludeWithReports(entry: Entry, changes: Change[], notices: Notice[]): void {
    // The message must stay until its content has been read for the report.
    entry.open++
    const done = this.#options.reports.about(entry, notices).then((reports) => {
      entry.open--
      this.#record(entry, this.#close(entry, changes), reports)
      this.#reporting.delete(done)
    })
    this.#reporting.add(done)
  }

  #log(entry: Entry, slot: Slot, outcome: Outcome, verdict: Verdict): void {
    const { code, enhanced, text, host } = outcome.reply
    this.#options.log.info(
      {
        message: formatId('T', entry.id),
        to: slot.recipient.address,
        outcome: outcome.kind,
        verdict: verdict.kind,
        ...(verdict.kind === 'wait' && { next: new Date(verdict.at).toISOString() }),
        ...(outcome.kind === 'later' && outcome.inDoubt && { inDoubt: true }),
        host,
        reply: `${code} ${enhanced} ${text}`,
      },
      'recipient',
    )
  }
}
