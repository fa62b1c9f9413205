/**
 * Cut-through delivery, sendmail X's headline: while the client waits for the reply to its final dot, its message
 * is delivered. If every recipient is settled before the deadline the client is told 250 and nothing was ever
 * written to the queue; a crash before that only makes the client try again.
 *
 * What is not settled in time is committed first, recipients that are done marked so, and then 250. A permanent
 * refusal of the only recipient becomes the refusal of the message, with the remote's words, and nobody has to be
 * sent a report; with several recipients the others must not suffer, so it becomes a report as always. A client
 * that asked for a verdict hears of each recipient in the answer, and nobody is sent a report of what stands there.
 *
 * A message in this state is in the active queue but in no store (`Entry.provisional`).
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Outcome, RecipientFate, Reply } from '../../shared/message/outcome.ts'
import type { ActiveQueue, Conclusion } from './active-queue.ts'
import type { Entry } from './entry.ts'
import type { Change } from './store.ts'

export interface Wait {
  /** Milliseconds that the client may be kept waiting. */
  deadline: number
  /** It is told what became of each recipient. */
  verdict: boolean
}

export interface CutThroughOptions {
  queue: ActiveQueue
  /** Puts the message on stable storage, with these changes, or throws. */
  commit: (entry: Entry, changes: readonly Change[]) => Promise<void>
  /** What to say when that failed. */
  replyFor: (error: unknown) => Reply
  /** The message is over without ever having been stored: its content file, if any, can go. */
  forget: (entry: Entry) => void
  log: Log
}

export class CutThrough {
  readonly #options: CutThroughOptions
  /** Settled without the queue, and given to the queue at the deadline: for `posthorn status`. */
  settled = 0
  fallen = 0

  constructor(options: CutThroughOptions) {
    this.#options = options
  }

  begin(entry: Entry, { deadline, verdict }: Wait): Promise<Answer<'submit'>> {
    return new Promise((answer) => {
      const attempt = new Provisional(this.#options, entry, verdict, (result, stored) => {
        if (stored) this.fallen++
        else this.settled++
        answer(result)
      })
      entry.provisional = attempt
      attempt.arm(deadline)
      this.#options.queue.admit(entry)
    })
  }
}

/** One message that is being delivered before it is anybody's. */
export class Provisional {
  readonly #options: CutThroughOptions
  readonly #entry: Entry
  readonly #end: (answer: Answer<'submit'>, stored: boolean) => void
  /** Outcomes that need the queue. */
  readonly #unsettled: Conclusion[] = []
  /** By number of the recipient; null where nobody asked. */
  readonly #outcomes: Map<number, Outcome> | null
  #open: number
  #timer: NodeJS.Timeout | null = null
  #over = false
  /** The first refusal that the client is told of. */
  #refusal: Reply | null = null
  #sent = false

  constructor(
    options: CutThroughOptions,
    entry: Entry,
    verdict: boolean,
    end: (answer: Answer<'submit'>, stored: boolean) => void,
  ) {
    this.#options = options
    this.#entry = entry
    this.#outcomes = verdict ? new Map() : null
    this.#end = end
    this.#open = entry.open
  }

  arm(deadline: number): void {
    this.#timer = setTimeout(() => void this.#keep(), deadline)
  }

  conclude(conclusions: readonly Conclusion[]): void {
    const { queue } = this.#options
    for (const conclusion of conclusions) {
      if (conclusion.slot.state === 'done') continue
      this.#open--
      // Once it is on its way to the store, the store must hear of everything.
      if (!this.#over && this.#isSettled(conclusion.outcome)) queue.settleUnstored(this.#entry, conclusion)
      else this.#unsettled.push(conclusion)
      if (!this.#over) this.#outcomes?.set(conclusion.slot.n, conclusion.outcome)
    }
    if (this.#over || this.#open > 0) return
    if (this.#unsettled.length > 0) void this.#keep()
    else
      this.#close(
        this.#refusal && !this.#sent ? { kind: 'refused', reply: this.#refusal } : { kind: 'accepted' },
      )
  }

  /** Nothing is left to do, and whoever must know is told by the answer. */
  #isSettled({ kind, reply }: Outcome): boolean {
    const sole = this.#entry.slots.length === 1
    const refused = kind === 'never' && (sole || this.#outcomes !== null)
    if (refused) this.#refusal ??= reply
    if (kind === 'sent') this.#sent = true
    return kind === 'sent' || refused
  }

  /** Settled as a whole: the message leaves as if it had never been here. */
  #close(answer: Answer<'submit'>): void {
    this.#finish()
    this.#options.queue.forget(this.#entry)
    this.#options.forget(this.#entry)
    this.#tell(answer, false)
  }

  #tell(answer: Answer<'submit'>, stored: boolean): void {
    const outcomes = this.#outcomes
    if (!outcomes) return this.#end(answer, stored)
    const fates = this.#entry.envelope.recipients.map(({ address, original }, n): RecipientFate => {
      const outcome = outcomes.get(n)
      return { address: original ?? address, ...(outcome && { outcome }) }
    })
    this.#end({ ...answer, fates }, stored)
  }

  /** The deadline, or an outcome that needs the queue: on stable storage first, then 250. */
  async #keep(): Promise<void> {
    if (this.#over) return
    this.#finish()
    const { commit, queue, replyFor, log } = this.#options
    const entry = this.#entry
    const done: Change[] = entry.slots
      .filter((slot) => slot.state === 'done')
      .map((slot) => ({ kind: 'settle', message: entry.id, n: slot.n }))
    if (done.length > 0) entry.alone = false
    try {
      await commit(entry, done)
    } catch (error) {
      log.warn({ err: error, message: formatId('T', entry.id) }, 'cut-through message cannot be kept')
      queue.forget(entry)
      this.#options.forget(entry)
      return this.#tell({ kind: 'refused', reply: replyFor(error) }, true)
    }
    entry.provisional = null
    this.#tell({ kind: 'accepted' }, true)
    if (this.#unsettled.length > 0 || entry.open === 0) queue.conclude(entry, this.#unsettled)
  }

  #finish(): void {
    this.#over = true
    if (this.#timer) clearTimeout(this.#timer)
  }
}
