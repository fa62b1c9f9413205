/**
 * What becomes of mail in the outbox: it is tried when it is due, a few messages at a time and fewer of one account, so
 * that no account waits for another; and its user has a say. One that is away is left alone for a while (`away.ts`).
 *
 * Who is refused for good, or has waited too long, is told to the user: `onFailed`, once for each recipient.
 * When the outbox cannot be written, what was sent may be sent again; so nothing is started for a while then.
 */
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import type { Account, Accounts } from '../accounts/account.ts'
import type { ReadAccounts } from '../accounts/read.ts'
import { afterAttempt, failedSince } from './attempt.ts'
import type { Away } from './away.ts'
import type { InHand } from './in-hand.ts'
import type { OutboxAct } from './intake.ts'
import type { Failure } from './notice.ts'
import type { Outbox, OutboxMessage } from './outbox.ts'
import type { ContentFile } from './provider.ts'

export interface OutboxWorkOptions {
  outbox: Outbox
  inHand: InHand
  away: Away
  now: () => number
  readAccounts: () => ReadAccounts
  attempt: (
    message: OutboxMessage,
    content: ContentFile,
    account: Account,
    accounts: Accounts,
  ) => Promise<Outcome[]>
  released: (account: Account, message: OutboxMessage) => Promise<void>
  onFailed: (message: OutboxMessage, failures: readonly Failure[]) => Promise<void>
  log: (text: string) => void
  onChange: () => void
}

/** Messages at a time, and those of one account: with two silent ones there is room for others. */
const MOST = 6
const MOST_OF_ACCOUNT = 2
/** An outbox that cannot be written is left alone for so long, or mail would be sent again and again. */
const TROUBLE_MS = 60_000
/** Until an account that is gone is looked for again. */
const UNSETTLED_MS = 15 * 60_000

export class OutboxWork {
  readonly #options: OutboxWorkOptions
  /** Attempts under way, with their accounts. */
  readonly #running = new Map<Promise<void>, string>()
  #troubleUntil = 0
  #stopped = false

  constructor(options: OutboxWorkOptions) {
    this.#options = options
  }

  /** When there is something to start, milliseconds since 1970; null: nothing waits, or nothing has room. */
  nextDue(): number | null {
    if (this.#running.size >= MOST) return null
    let next: number | null = null
    for (const message of this.#options.outbox.messages) {
      if (!this.#mayStart(message)) continue
      const due = this.#dueAt(message)
      if (next === null || due < next) next = due
    }
    return next
  }

  /** Starts what is due and has room; whatever comes to its end starts the next. */
  startDue(): void {
    const now = this.#options.now()
    for (const message of this.#options.outbox.messages) {
      if (this.#running.size >= MOST) return
      if (this.#mayStart(message) && this.#dueAt(message) <= now) this.#start(message)
    }
  }

  /** Nothing new is started; resolves when what is under way has come to its end. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#running.keys())
  }

  #mayStart({ id, state, account }: OutboxMessage): boolean {
    if (state !== 'waiting' || this.#stopped || this.#options.inHand.has(id)) return false
    let others = 0
    for (const one of this.#running.values()) if (one === account) others++
    return others < MOST_OF_ACCOUNT
  }

  #dueAt({ account, nextAttemptAt }: OutboxMessage): number {
    return Math.max(nextAttemptAt, this.#options.away.until(account), this.#troubleUntil)
  }

  #start(message: OutboxMessage): void {
    const { now, log, onChange } = this.#options
    const work: Promise<void> = this.#alone(message, () => this.#retry(message))
      .then(() => undefined)
      .catch((error: unknown) => {
        this.#troubleUntil = now() + TROUBLE_MS
        log(`the outbox is in trouble: ${String(error)}`)
      })
      .finally(() => {
        this.#running.delete(work)
        onChange()
      })
    this.#running.set(work, message.account)
  }

  #alone<T>({ id }: OutboxMessage, work: () => Promise<T>): Promise<T> {
    return this.#options.inHand.alone(id, work)
  }

  async #retry(message: OutboxMessage): Promise<Outcome[]> {
    const { outbox, now, readAccounts, attempt } = this.#options
    const read = readAccounts()
    const accounts = read.kind === 'ok' ? read.accounts : null
    const account = accounts?.accounts.find(({ name }) => name === message.account)
    if (!accounts || !account) {
      const text = accounts ? `there is no account ${message.account} any more` : 'accounts.conf has mistakes'
      const lastReply = own(451, '4.3.5', text)
      await outbox.update({ ...message, lastReply, nextAttemptAt: now() + UNSETTLED_MS })
      return [{ kind: 'later', reply: lastReply, blame: 'ours' }]
    }
    const outcomes = await attempt(message, outbox.contentOf(message), account, accounts)
    const fate = afterAttempt(message, outcomes, accounts.agent, now())
    if (fate.kind === 'done') await outbox.remove(message)
    else {
      await outbox.update(fate.message)
      await this.#options.onFailed(fate.message, failedSince(message, fate.message))
    }
    return outcomes
  }

  /** What the user says of mail in the outbox. */
  async act(act: OutboxAct, id: string | null): Promise<Reply> {
    const { outbox, inHand, onChange } = this.#options
    if (id === null) return this.#retryAll()
    const message = outbox.find(id)
    if (!message || inHand.has(message.id)) {
      return own(550, '5.1.0', message ? `${id} is being sent` : `${id} is not in the outbox`)
    }
    const reply = await this.#alone(message, () => this.#actOn(act, message))
    onChange()
    return reply
  }

  async #retryAll(): Promise<Reply> {
    const { outbox, inHand, away, now, onChange } = this.#options
    away.forget()
    const waiting = outbox.messages.filter(({ id, state }) => state === 'waiting' && !inHand.has(id))
    for (const message of waiting) {
      const update = () => outbox.update({ ...message, nextAttemptAt: now() })
      if (!inHand.has(message.id) && outbox.find(message.id)) await this.#alone(message, update)
    }
    onChange()
    return own(250, '2.0.0', `${waiting.length} tried now`)
  }

  async #actOn(act: OutboxAct, message: OutboxMessage): Promise<Reply> {
    if (act === 'REMOVE') {
      await this.#options.outbox.remove(message)
      return own(250, '2.0.0', `${message.id} removed`)
    }
    if (message.recipients.length === 0) return own(550, '5.1.0', 'every recipient was refused for good')
    if (act === 'RELEASE') await this.#released(message)
    return verdictOf(await this.#retry({ ...message, state: 'waiting' }))
  }

  async #released(message: OutboxMessage): Promise<void> {
    const { outbox, now, readAccounts, released } = this.#options
    const read = readAccounts()
    const account = read.kind === 'ok' && read.accounts.accounts.find(({ name }) => name === message.account)
    if (account) await released(account, message)
    await outbox.update({ ...message, state: 'waiting', nextAttemptAt: now() })
  }
}

/** The first that is not sent, or all is well. */
function verdictOf(outcomes: readonly Outcome[]): Reply {
  const trouble = outcomes.find(({ kind }) => kind !== 'sent')
  return trouble?.reply ?? own(250, '2.0.0', 'sent')
}
