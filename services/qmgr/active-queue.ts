/**
 * The active queue (AQ): every message that somebody works on right now, bounded in number and octets, in memory.
 *
 * It is the one door for changes of a recipient's state: messages come in by `admit`, leave a slot at a time by
 * `conclude`, and each step is told to the journal in the order it happened. Routing and delivery are done by
 * others; they call back. Reports about failures ride in the same commit as the failure (design rule D4).
 *
 * While a `take` from the store is under way (`freeze`), no message leaves: the rows that come back may be for it.
 */
import { formatId, type IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { type Entry, freshEntry, rowOf, type Slot } from './entry.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import { type Concerned, composeReport, headerOf } from './report.ts'
import type { Change, StoredMessage } from './store.ts'
import { judge, type RetryPolicy, type Verdict } from './verdict.ts'

export interface Conclusion {
  slot: Slot
  outcome: Outcome
  /** Wait at least until then, whatever the schedule says, and do not count it as an attempt. */
  notBefore?: number
}

export interface ActiveQueueOptions {
  policy: () => RetryPolicy & { hostname: string; activeEntries: number; activeOctets: number }
  journal: Journal
  ids: IdSource
  log: Log
  now: () => number
  random: () => number
  /** Finds routes for these slots and queues them for delivery. */
  route: (entry: Entry, slots: Slot[]) => void
  /** A recipient waits until then. */
  onWait: (at: number) => void
  /** The content file of a message that is gone. */
  dropFile: (id: number) => void
  readHeader: (entry: Entry) => Promise<Uint8Array>
}

export class ActiveQueue {
  readonly entries = new Map<number, Entry>()
  readonly #options: ActiveQueueOptions
  readonly #unclosed = new Set<Entry>()
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

  /** More recipients of a message that is here already; they waited in rows until now. */
  join(entry: Entry, slots: Slot[]): void {
    entry.slots.push(...slots)
    entry.open += slots.length
    entry.waiting -= slots.length
    this.#options.route(entry, slots)
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
    const failed: Concerned[] = []
    const delayed: Concerned[] = []
    for (const conclusion of conclusions) {
      const { slot, outcome } = conclusion
      if (slot.state === 'done') continue
      const verdict = this.#judge(entry, conclusion)
      this.#log(entry, slot, outcome, verdict)
      slot.state = 'done'
      entry.open--
      changes.push(this.#changeFor(entry, slot, verdict))
      if (verdict.kind === 'done') this.delivered++
      const concerned = {
        recipient: slot.recipient,
        reply: replyOf(outcome),
        expired: verdict.kind === 'fail' && verdict.expired,
      }
      if (verdict.kind === 'fail') failed.push(concerned)
      else if (verdict.kind === 'wait' && verdict.warn) delayed.push(concerned)
    }
    if (failed.length === 0 && delayed.length === 0) this.#record(entry, this.#close(entry, changes), [])
    else void this.#concludeWithReports(entry, changes, failed, delayed)
  }

  /** A recipient of a message that no store knows of is done, one way or the other. */
  settleUnstored(entry: Entry, conclusion: Conclusion): void {
    const { slot, outcome } = conclusion
    const verdict: Verdict =
      outcome.kind === 'sent' ? { kind: 'done' } : { kind: 'fail', reply: outcome.reply, expired: false }
    this.#log(entry, slot, outcome, verdict)
    slot.state = 'done'
    entry.open--
    if (outcome.kind === 'sent') this.delivered++
  }

  /** A message that no store knows of is gone; what still comes back for it is for nobody. */
  forget(entry: Entry): void {
    for (const slot of entry.slots) slot.state = 'done'
    if (this.entries.delete(entry.id)) this.#octets -= entry.content?.length ?? 0
  }

  /** The administrator's word: a queued slot is held. */
  hold(entry: Entry, slot: Slot): void {
    slot.state = 'done'
    entry.open--
    entry.waiting++
    const row = rowOf(entry, slot, {
      state: 'held',
      at: this.#options.now(),
      reply: null,
      warned: slot.warned,
    })
    this.#record(entry, this.#close(entry, [{ kind: 'wait', row }]), [])
  }

  /** The administrator's word: a queued slot is dropped, and nobody is told. */
  drop(entry: Entry, slot: Slot): void {
    slot.state = 'done'
    entry.open--
    this.#record(entry, this.#close(entry, [{ kind: 'settle', message: entry.id, n: slot.n }]), [])
  }

  #judge(entry: Entry, { slot, outcome, notBefore }: Conclusion): Verdict {
    const { envelope } = entry
    const history = {
      attempts: slot.attempts,
      receivedAt: envelope.receivedAt,
      warned: slot.warned,
      isReport: envelope.sender === '',
    }
    const verdict = judge(
      outcome,
      history,
      this.#options.policy(),
      this.#options.now(),
      this.#options.random(),
    )
    if (notBefore === undefined || verdict.kind !== 'wait') return verdict
    return { ...verdict, at: notBefore, attempts: slot.attempts }
  }

  #changeFor(entry: Entry, slot: Slot, verdict: Verdict): Change {
    if (verdict.kind !== 'wait') return { kind: 'settle', message: entry.id, n: slot.n }
    slot.attempts = verdict.attempts
    slot.warned ||= verdict.warn
    entry.waiting++
    this.#options.onWait(verdict.at)
    const row = rowOf(entry, slot, {
      state: 'deferred',
      at: verdict.at,
      reply: verdict.reply,
      warned: slot.warned,
    })
    return { kind: 'wait', row }
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
    return [{ kind: 'remove', message: entry.id }]
  }

  #record(entry: Entry, changes: Change[], reports: Report[]): void {
    const gone = entry.filed && changes.some((change) => change.kind === 'remove')
    if (reports.length === 0 && !gone) return this.#options.journal.record(changes)
    this.#options.journal.record(
      changes,
      reports.map((report) => report.stored),
      () => {
        for (const { envelope, content } of reports) this.admit(freshEntry(envelope, content))
        if (gone) this.#options.dropFile(entry.id)
      },
    )
  }

  async #concludeWithReports(
    entry: Entry,
    changes: Change[],
    failed: Concerned[],
    delayed: Concerned[],
  ): Promise<void> {
    // The message must stay until its header has been read for the report.
    entry.open++
    let header: Uint8Array = new Uint8Array()
    try {
      if (entry.envelope.sender !== '') header = headerOf(await this.#options.readHeader(entry))
    } catch (error) {
      this.#options.log.error(
        { err: error, message: formatId('T', entry.id) },
        'header for a report cannot be read',
      )
    }
    entry.open--
    const reports = [
      ...this.#report(entry, 'failed', failed, header),
      ...this.#report(entry, 'delayed', delayed, header),
    ]
    this.#record(entry, this.#close(entry, changes), reports)
  }

  /** RFC 5321 section 4.5.5: nothing is ever sent in answer to the null reverse-path. */
  #report(entry: Entry, kind: 'failed' | 'delayed', concerned: Concerned[], header: Uint8Array): Report[] {
    const wanting = concerned.filter(({ recipient }) => wants(recipient.notify, kind))
    const { envelope: about } = entry
    if (about.sender === '' || wanting.length === 0) return []
    const { policy, now, ids, log } = this.#options
    const id = ids.next()
    const { hostname, lifetime } = policy()
    const until = about.receivedAt + lifetime
    const content = composeReport({
      kind,
      id,
      about,
      concerned: wanting,
      header,
      hostname,
      now: now(),
      until,
    })
    const envelope = reportEnvelope(id, about, content.length, now())
    log.info(
      { message: formatId('T', entry.id), report: formatId('T', id), to: about.sender, about: kind },
      'report',
    )
    return [{ envelope, content, stored: { id, envelope: encodeEnvelope(envelope), content } }]
  }

  #log(entry: Entry, slot: Slot, outcome: Outcome, verdict: Verdict): void {
    const { code, enhanced, text, host } = replyOf(outcome)
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

interface Report {
  envelope: Envelope
  content: Uint8Array
  stored: StoredMessage
}

function replyOf(outcome: Outcome): Reply {
  return outcome.reply
}

/** RFC 3461 section 4.1: without NOTIFY, failures are told and delays may be. */
function wants(notify: string | undefined, kind: 'failed' | 'delayed'): boolean {
  if (notify === undefined) return true
  return notify
    .toUpperCase()
    .split(',')
    .includes(kind === 'failed' ? 'FAILURE' : 'DELAY')
}

function reportEnvelope(id: number, about: Envelope, size: number, now: number): Envelope {
  return {
    id,
    sender: '',
    recipients: [{ address: about.sender, notify: 'NEVER' }],
    size,
    body: '8bitmime',
    smtputf8: about.smtputf8,
    receivedAt: now,
    origin: { listener: 'dsn', session: '', client: '' },
  }
}
