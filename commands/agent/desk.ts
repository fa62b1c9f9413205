/**
 * The agent's decisions about a message: which account, may it go, and what becomes of it when it cannot.
 *
 * Every recipient of a message handed over has one outcome. `sent` means that the provider took it, or that it is on
 * stable storage in the outbox: held until its user says so, or waiting where the account has an outbox. Without one
 * a provider that is away is `later`, and nobody has the message. Where some have it already (LMTP), the rest is
 * `later` for a caller who hears of each recipient; for one who does not it is kept whatever the account says:
 * trying all of it again would double it.
 */
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import { type Delivery, own } from '../../shared/smtp-client/commands.ts'
import { type Account, type Accounts, chooseAccount, senderOf } from '../accounts/account.ts'
import { readAccounts } from '../accounts/read.ts'
import { afterAttempt, failedSince } from './attempt.ts'
import { Away } from './away.ts'
import { renderQuestion } from './confirmation.ts'
import { Consent, shownOf } from './consent.ts'
import { InHand } from './in-hand.ts'
import { type Heading, type Incoming, missingFields } from './incoming.ts'
import type { IntakeEnvelope } from './intake.ts'
import type { Failure } from './notice.ts'
import { newMessage, type Outbox, type OutboxMessage } from './outbox.ts'
import { OutboxWork } from './outbox-work.ts'
import { type ContentFile, sendMessage } from './provider.ts'
import { tellUser } from './told.ts'

export interface DeskOptions {
  /** accounts.conf; read for each message, so that a change counts at once. */
  config: string
  state: string
  outbox: Outbox
  log: (text: string) => void
  now: () => number
  /** The outbox has changed: the next attempt may be due earlier. */
  onChange: () => void
}

interface Chosen {
  account: Account
  accounts: Accounts
  sender: string
}

/** Whoever hands a message over. */
export interface Caller {
  /** A path, or ''. Advisory. */
  program: string
  /** LMTP: each recipient is answered by itself. */
  hearsEach: boolean
}

export class Desk {
  readonly #options: DeskOptions
  readonly #consent: Consent
  readonly #inHand = new InHand()
  readonly #away = new Away()
  readonly work: OutboxWork

  constructor(options: DeskOptions) {
    const { outbox, state, config, now, log, onChange } = options
    this.#options = options
    this.#consent = new Consent(state, now)
    this.work = new OutboxWork({
      ...{ outbox, now, log, onChange, inHand: this.#inHand, away: this.#away },
      readAccounts: () => readAccounts(config),
      attempt: (...attempt) => this.#attempt(...attempt),
      released: (account, message) => this.#consent.released(account, message),
      onFailed: (message, failures) => this.#tell(message, failures),
    })
  }

  /** Work in hand; an idle agent has none. */
  get busy(): number {
    return this.#inHand.size
  }

  /** What was allowed is not any more; null: all of it. */
  revoke(id: string | null): Promise<Reply> {
    return this.#consent.revoke(id)
  }

  /** The fields that the message lacks. */
  complete(envelope: IntakeEnvelope, heading: Heading): string {
    const chosen = this.#choose(envelope, heading)
    const sender = 'sender' in chosen ? chosen.sender : envelope.sender
    return missingFields(heading, sender, new Date(this.#options.now()))
  }

  submit(id: string, envelope: IntakeEnvelope, incoming: Incoming, caller: Caller): Promise<Outcome[]> {
    return this.#inHand.alone(id, () => this.#submit(id, envelope, incoming, caller))
  }

  async #submit(
    id: string,
    envelope: IntakeEnvelope,
    incoming: Incoming,
    caller: Caller,
  ): Promise<Outcome[]> {
    const all = (outcome: Outcome) => envelope.recipients.map(() => outcome)
    const chosen = this.#choose(envelope, incoming.heading)
    if (!('account' in chosen)) return all(chosen)
    const message = messageOf(id, envelope, incoming, chosen, caller.program, this.#options.now())
    const may = await this.#consent.ask(chosen.account, message)
    if (may === 'no') return all({ kind: 'never', reply: own(550, '5.7.1', 'you said no') })
    if (may === 'unknown') {
      await this.#keep({ ...message, state: 'held' }, incoming.path)
      return all(taken(`held: awaiting you, as ${id}`))
    }
    return this.#sendFirst(message, incoming, chosen, caller)
  }

  #choose({ account: name, sender: given }: IntakeEnvelope, { from }: Heading): Chosen | Outcome {
    const read = readAccounts(this.#options.config)
    if (read.kind === 'bad') {
      const text = 'accounts.conf has mistakes; see "posthorn account check"'
      return { kind: 'later', reply: own(451, '4.3.5', text), blame: 'ours' }
    }
    const wanted = { name, sender: given, from }
    const choice = chooseAccount(read.accounts.accounts, wanted)
    if (choice.kind === 'none') return { kind: 'never', reply: choice.why }
    const sender = senderOf(choice.account, wanted)
    if (sender !== null) return { account: choice.account, accounts: read.accounts, sender }
    const text = `<${given}> has no domain: set \`sender\` in account ${choice.account.name}, or use -f`
    return { kind: 'never', reply: own(553, '5.1.7', text) }
  }

  /** While the caller waits. */
  async #sendFirst(
    message: OutboxMessage,
    incoming: Incoming,
    chosen: Chosen,
    { hearsEach }: Caller,
  ): Promise<Outcome[]> {
    const { account, accounts } = chosen
    const content = { path: incoming.path, size: incoming.size }
    const outcomes = await this.#attempt(message, content, account, accounts)
    const some = outcomes.some(({ kind }) => kind === 'sent')
    const open = (kind: Outcome['kind']) => outcomes.some((one) => one.kind === kind)
    const keeps = open('later') ? account.outbox || (some && !hearsEach) : some && !hearsEach && open('never')
    const fate = afterAttempt(message, outcomes, accounts.agent, this.#options.now())
    if (!keeps || fate.kind === 'done') return outcomes.map(withDoubt)
    // who hears of each recipient is told now who was refused; the outbox keeps who waits
    const kept = hearsEach ? { ...fate.message, refused: [] } : fate.message
    await this.#keep(kept, incoming.path)
    await this.#tell(kept, failedSince(message, kept))
    return outcomes.map((one) =>
      one.kind === 'later' ? taken(`in your outbox as ${message.id}: ${one.reply.text}`) : one,
    )
  }

  async #attempt(
    message: OutboxMessage,
    content: ContentFile,
    account: Account,
    { agent }: Accounts,
  ): Promise<Outcome[]> {
    const { reached, outcomes } = await sendMessage(account, deliveryOf(message), content)
    this.#away.note(account.name, reached, agent.retry, this.#options.now())
    const told = outcomes.map(({ kind, reply }, at) => {
      return `${message.recipients[at]?.address}: ${kind} ${reply.code} ${reply.enhanced} ${reply.text}`
    })
    this.#options.log(`${message.id} by ${account.name}: ${told.join('; ')}`)
    return outcomes
  }

  async #tell(message: OutboxMessage, failures: readonly Failure[]): Promise<void> {
    const what = await tellUser(this.#options.outbox, message, failures)
    if (what !== '') this.#options.log(`${message.id} failed: ${what}`)
  }

  async #keep(message: OutboxMessage, content: string): Promise<void> {
    await this.#options.outbox.keep(message, content)
    this.#options.log(`${message.id} ${message.state}\n${renderQuestion(shownOf(message))}`.trimEnd())
    this.#options.onChange()
  }
}

function taken(text: string): Outcome {
  return { kind: 'sent', reply: own(250, '2.0.0', text) }
}

/** RFC 1047: the dot went out and no reply came; whoever tries again should know. */
function withDoubt(outcome: Outcome): Outcome {
  if (outcome.kind !== 'later' || !outcome.inDoubt) return outcome
  const { reply } = outcome
  return { ...outcome, reply: { ...reply, text: `${reply.text}; it may have been accepted all the same` } }
}

function messageOf(
  id: string,
  envelope: IntakeEnvelope,
  incoming: Incoming,
  { account, sender }: Chosen,
  program: string,
  now: number,
): OutboxMessage {
  const { smtputf8, ret, envid, recipients } = envelope
  return {
    ...newMessage,
    id,
    account: account.name,
    sender,
    subject: incoming.heading.subject.slice(0, 1000),
    program,
    smtputf8,
    eightBit: incoming.eightBit,
    ret,
    envid,
    size: incoming.size,
    receivedAt: now,
    state: 'waiting',
    nextAttemptAt: now,
    recipients,
  }
}

function deliveryOf(message: OutboxMessage): Delivery {
  const { sender, recipients, size, eightBit, smtputf8, ret, envid } = message
  return {
    sender,
    recipients: recipients.map(({ address, notify, orcpt }, n) => ({
      n,
      address,
      ...(notify !== null && { notify }),
      ...(orcpt !== null && { orcpt }),
    })),
    size,
    body: eightBit ? '8bitmime' : '7bit',
    smtputf8,
    ...(ret !== null && { ret }),
    ...(envid !== null && { envid }),
    content: null,
  }
}
