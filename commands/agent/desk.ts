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
import { isListed } from '../accounts/patterns.ts'
import { readAccounts } from '../accounts/read.ts'
import { patternsFor } from './answer.ts'
import { afterAttempt } from './attempt.ts'
import { askUser, renderQuestion } from './confirmation.ts'
import { ALWAYS, Grants } from './grants.ts'
import { type Heading, type Incoming, missingFields } from './incoming.ts'
import type { IntakeEnvelope, OutboxAct } from './intake.ts'
import { newMessage, type Outbox, type OutboxMessage } from './outbox.ts'
import { type ContentFile, sendMessage } from './provider.ts'

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
  readonly #grants: Grants
  /** Messages in hand: whoever has one is the only one who sends or changes it. */
  readonly #busy = new Set<string>()

  constructor(options: DeskOptions) {
    this.#options = options
    this.#grants = new Grants(options.state)
  }

  /** Work in hand; an idle agent has none. */
  get busy(): number {
    return this.#busy.size
  }

  /** The fields that the message lacks. */
  complete(envelope: IntakeEnvelope, heading: Heading): string {
    const chosen = this.#choose(envelope, heading)
    const sender = 'sender' in chosen ? chosen.sender : envelope.sender
    return missingFields(heading, sender, new Date(this.#options.now()))
  }

  submit(id: string, envelope: IntakeEnvelope, incoming: Incoming, caller: Caller): Promise<Outcome[]> {
    return this.#alone(id, () => this.#submit(id, envelope, incoming, caller))
  }

  async #alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#busy.add(id)
    try {
      return await work()
    } finally {
      this.#busy.delete(id)
    }
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
    const may = await this.#may(chosen.account, message)
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

  async #may(account: Account, message: OutboxMessage): Promise<'yes' | 'no' | 'unknown'> {
    const asked = askedOf(account, message)
    const { when } = account.confirm
    if (when === 'never' || asked.recipients.length === 0) return 'yes'
    if (when === 'first' && this.#grants.covers(asked, this.#options.now())) return 'yes'
    const question = { ...askedWithSubject(message), inQuestion: asked.recipients }
    const answer = await askUser(account, question)
    if (answer.kind !== 'yes') return answer.kind
    await this.#grant(account, message, answer.patterns, answer.always)
    return 'yes'
  }

  async #grant(
    account: Account,
    { program }: OutboxMessage,
    recipients: readonly string[],
    always = false,
  ): Promise<void> {
    if (account.confirm.when !== 'first' || program === '' || recipients.length === 0) return
    const now = this.#options.now()
    const until = always ? ALWAYS : now + account.grant
    await this.#grants.add({ program, account: account.name, recipients }, until, now)
  }

  /** @param id null: all. */
  async revoke(id: string | null): Promise<Reply> {
    const count = await this.#grants.revoke(id)
    if (id !== null && count === 0) return own(550, '5.1.0', `${id} is no grant`)
    return own(250, '2.0.0', id === null ? `${count} revoked` : `${id} revoked`)
  }

  /** While the caller waits. */
  async #sendFirst(
    message: OutboxMessage,
    incoming: Incoming,
    chosen: Chosen,
    { hearsEach }: Caller,
  ): Promise<Outcome[]> {
    const outcomes = await this.#attempt(message, { path: incoming.path, size: incoming.size }, chosen)
    const later = outcomes.filter(({ kind }) => kind === 'later').length
    const some = outcomes.some(({ kind }) => kind === 'sent')
    if (later === 0 || !(chosen.account.outbox || (some && !hearsEach))) return outcomes.map(withDoubt)
    const fate = afterAttempt(message, outcomes, chosen.accounts.agent, this.#options.now())
    if (fate.kind === 'done') return outcomes
    // who was refused is told now, by the reply; the outbox keeps who waits
    await this.#keep({ ...fate.message, refused: [] }, incoming.path)
    return outcomes.map((one) =>
      one.kind === 'later' ? taken(`in your outbox as ${message.id}: ${one.reply.text}`) : one,
    )
  }

  async #attempt(message: OutboxMessage, content: ContentFile, { account }: Chosen): Promise<Outcome[]> {
    const outcomes = await sendMessage(account, deliveryOf(message), content)
    const told = outcomes.map(({ kind, reply }, at) => {
      return `${message.recipients[at]?.address}: ${kind} ${reply.code} ${reply.enhanced} ${reply.text}`
    })
    this.#options.log(`${message.id} by ${account.name}: ${told.join('; ')}`)
    return outcomes
  }

  async #keep(message: OutboxMessage, content: string): Promise<void> {
    await this.#options.outbox.keep(message, content)
    this.#options.log(
      `${message.id} ${message.state}\n${renderQuestion(askedWithSubject(message))}`.trimEnd(),
    )
    this.#options.onChange()
  }

  /** When the next attempt is due, milliseconds since 1970; null: nothing waits. */
  nextDue(): number | null {
    const due = this.#options.outbox.messages.flatMap(({ id, state, nextAttemptAt }) =>
      state === 'waiting' && !this.#busy.has(id) ? [nextAttemptAt] : [],
    )
    return due.length === 0 ? null : Math.min(...due)
  }

  /** Tries what is due, one after the other. */
  async sendDue(): Promise<void> {
    const { outbox, now } = this.#options
    for (const { id } of outbox.messages) {
      const message = outbox.find(id) // it may have changed, or gone, while another was sent
      if (message?.state === 'waiting' && message.nextAttemptAt <= now() && !this.#busy.has(id))
        await this.#alone(id, () => this.#retry(message))
    }
    this.#options.onChange()
  }

  async #retry(message: OutboxMessage): Promise<Outcome[]> {
    const { outbox, now, config } = this.#options
    const read = readAccounts(config)
    const accounts = read.kind === 'ok' ? read.accounts : null
    const account = accounts?.accounts.find(({ name }) => name === message.account)
    if (!accounts || !account) {
      const text = accounts ? `there is no account ${message.account} any more` : 'accounts.conf has mistakes'
      const lastReply = own(451, '4.3.5', text)
      await outbox.update({ ...message, lastReply, nextAttemptAt: now() + UNSETTLED_MS })
      return [{ kind: 'later', reply: lastReply, blame: 'ours' }]
    }
    const chosen = { account, accounts, sender: message.sender }
    const outcomes = await this.#attempt(message, outbox.contentOf(message), chosen)
    const fate = afterAttempt(message, outcomes, accounts.agent, now())
    if (fate.kind === 'done') await outbox.remove(message)
    else await outbox.update(fate.message)
    return outcomes
  }

  /** What the user says of mail in the outbox. */
  async act(act: OutboxAct, id: string | null): Promise<Reply> {
    const { outbox, onChange } = this.#options
    if (id === null) return this.#retryAll()
    const message = outbox.find(id)
    if (!message || this.#busy.has(message.id)) {
      return own(550, '5.1.0', message ? `${id} is being sent` : `${id} is not in the outbox`)
    }
    const reply = await this.#alone(message.id, () => this.#actOn(act, message))
    onChange()
    return reply
  }

  async #retryAll(): Promise<Reply> {
    const { outbox, now, onChange } = this.#options
    const waiting = outbox.messages.filter(({ id, state }) => state === 'waiting' && !this.#busy.has(id))
    for (const message of waiting) {
      const update = () => outbox.update({ ...message, nextAttemptAt: now() })
      if (!this.#busy.has(message.id) && outbox.find(message.id)) await this.#alone(message.id, update)
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
    const read = readAccounts(this.#options.config)
    const account = read.kind === 'ok' && read.accounts.accounts.find(({ name }) => name === message.account)
    if (account) await this.#grant(account, message, patternsFor(askedOf(account, message).recipients, false))
    await this.#options.outbox.update({ ...message, state: 'waiting', nextAttemptAt: this.#options.now() })
  }
}

/** Until an account that is gone is looked for again. */
const UNSETTLED_MS = 15 * 60_000

function taken(text: string): Outcome {
  return { kind: 'sent', reply: own(250, '2.0.0', text) }
}

/** RFC 1047: the dot went out and no reply came; whoever tries again should know. */
function withDoubt(outcome: Outcome): Outcome {
  if (outcome.kind !== 'later' || !outcome.inDoubt) return outcome
  const { reply } = outcome
  return { ...outcome, reply: { ...reply, text: `${reply.text}; it may have been accepted all the same` } }
}

/** Those recipients that need a word, and have none by the account. */
function askedOf(account: Account, { program, recipients }: OutboxMessage) {
  const list = account.confirmRecipients
  const addresses = recipients.map(({ address }) => address)
  const asked = list === null ? addresses : addresses.filter((address) => isListed(list, address))
  return { program, account: account.name, recipients: asked }
}

function askedWithSubject({ program, account, sender, recipients, subject }: OutboxMessage) {
  return { program, account, from: sender, recipients: recipients.map(({ address }) => address), subject }
}

/** The first that is not sent, or all is well. */
function verdictOf(outcomes: readonly Outcome[]): Reply {
  const trouble = outcomes.find(({ kind }) => kind !== 'sent')
  return trouble?.reply ?? own(250, '2.0.0', 'sent')
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
