/**
 * RCPTHDR: recipients out of the header, once the content is here (our extension, see `shared/README.md`).
 *
 * Each address is asked for as if RCPT had named it, MOST_OWED at a time. When all fates are known the message is
 * submitted, or, if a single recipient was put off, the whole is: who tries again then doubles nothing. Recipients
 * refused for good are named in the reply, the others get the message. Pure.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { asks, rulingOn } from './access.ts'
import { whyNotSender } from './auth.ts'
import { handOver } from './handover.ts'
import { readAddress, whyDenied } from './mailbox.ts'
import { replies, withReason } from './replies.ts'
import type {
  AskedRecipient,
  Effect,
  Hello,
  Moment,
  NamedFate,
  Phase,
  Setting,
  State,
  Step,
  Transaction,
} from './state.ts'
import { finish, move } from './step.ts'
import type { Named } from './submission.ts'
import { answerAtOnce, askFor, discarded, fateOf, type Paid, pay, refusal } from './transaction.ts'

/** Recipients of one session that may wait for the resolver at the same time. */
export const MOST_OWED = 64

interface Scene {
  setting: Setting
  state: State
  now: Moment
}
type In<P extends Phase['at']> = Extract<Phase, { at: P }>

/** The content is here: whom does it name? */
export function address(scene: Scene, phase: In<'data' | 'chunk'>, size: number, named: Named): Step {
  const { setting, state } = scene
  const { recipients } = named
  const refuse = (reply: SmtpReply) => dropped(finish(state, phase, reply))
  if (recipients.kind === 'bad') return refuse(withReason(replies.badHeader, recipients.what))
  const list = withoutThose(setting, phase.transaction, [...new Set(recipients.list)])
  const { agreed } = phase.transaction
  if (agreed + list.length === 0) return refuse(replies.noneNamed)
  if (agreed + list.length > setting.recipientLimit) return refuse(replies.tooManyNamed)
  const utf8 = phase.transaction.smtputf8 || list.some((one) => NOT_ASCII.test(one))
  const sender = senderOf(scene, phase.transaction, named)
  if (typeof sender !== 'string') return refuse(sender)
  const transaction = { ...phase.transaction, smtputf8: utf8, sender }
  return proceed(scene, {
    at: 'address',
    hello: phase.hello,
    transaction,
    size,
    named: list,
    asked: 0,
    fates: [],
  })
}

/** An Exim that takes the arguments away does so before the aliases and behind them; so does `conclude`. */
function withoutThose(setting: Setting, { without }: Transaction, list: string[]): string[] {
  if (!without) return list
  const away = new Set(without)
  return list.filter((one) => {
    const address = readAddress(setting, `<${one}>`, true, false)
    return typeof address !== 'string' || !away.has(address)
  })
}

const NOT_ASCII = /[^\0-\x7f]/

function senderOf({ setting, now }: Scene, { sender }: Transaction, named: Named): string | SmtpReply {
  if (sender !== '') return sender
  const found = named.sender ?? setting.author?.address
  if (found === undefined) return replies.noSenderNamed
  const whole = readAddress(setting, `<${found}>`, true, true)
  if (typeof whole !== 'string') return whole
  return whyNotSender(setting, whole, now) ?? whyDenied(setting, whole) ?? whole
}

/** Asks for more recipients, takes the answers that are there, and ends when all are. */
export function proceed({ setting, state, now }: Scene, phase: In<'address'>): Step {
  const { named } = phase
  const effects: Effect[] = []
  const fates = [...phase.fates]
  let { asked, transaction } = phase
  const take = (paid: Paid) => {
    transaction = paid.transaction
    for (const effect of paid.effects) {
      if (effect.kind === 'reply') fates.push({ address: named[fates.length] ?? '', reply: effect.reply })
      else effects.push(effect)
    }
  }
  take(pay(transaction))
  for (; asked < named.length && transaction.owed.length < MOST_OWED; asked++) {
    const next = ask({ setting, state, now }, phase.hello, transaction, named[asked] ?? '')
    if ('question' in next) effects.push(next.question)
    take(next)
  }
  const here: In<'address'> = { ...phase, transaction, asked, fates }
  if (asked < named.length || transaction.owed.length > 0)
    return move(state, here, { kind: 'hold' }, ...effects)
  const end = conclude(setting, state, here)
  return { state: end.state, effects: [...effects, ...end.effects] }
}

/** As RCPT does: `recipient.ts`. */
function ask(
  { setting, now }: Scene,
  hello: Hello,
  transaction: Transaction,
  text: string,
): Paid | (Paid & { question: Effect }) {
  const read = readAddress(setting, `<${text}>`, transaction.smtputf8, false)
  const plain = { address: typeof read === 'string' ? read : text, parameters: {} }
  if (typeof read !== 'string') return answerAtOnce(transaction, plain, refusal(read))
  const found = rulingOn(setting.access, hello, transaction, plain, asks(setting, now))
  if (!found) return look({ setting, now }, transaction, plain)
  const { ruling } = found
  const asked: AskedRecipient = { ...plain, ruling }
  const told: Effect = { kind: 'ruled', address: read, sender: transaction.sender, ruling }
  const settled = found.refusal ? refusal(found.refusal) : ruling.action === 'discard' ? discarded : null
  const next = settled
    ? answerAtOnce(transaction, asked, settled)
    : look({ setting, now }, transaction, asked)
  return { ...next, effects: [told, ...next.effects] }
}

function look(
  { setting, now }: Pick<Scene, 'setting' | 'now'>,
  transaction: Transaction,
  asked: AskedRecipient,
): Paid | (Paid & { question: Effect }) {
  const redirect = asked.ruling?.redirect
  const address = redirect ?? asked.address
  const mayRelay = setting.mayRelay || redirect !== undefined
  const known = now.knownAnswer({ address, mayRelay })
  if (known)
    return answerAtOnce(
      transaction,
      asked,
      fateOf(asked, known, { mayRelay, isFull: now.isFull, sender: transaction.sender }),
    )
  const question: Effect = { kind: 'resolve', n: transaction.asked, address, mayRelay }
  return { transaction: askFor(transaction, asked), effects: [], question }
}

function conclude(setting: Setting, state: State, phase: In<'address'>): Step {
  const { fates, transaction } = phase
  const putOff = fates.find(({ reply }) => reply.code < 500 && reply.code >= 400)
  const gravest = putOff ?? (transaction.agreed === 0 ? fates[0] : undefined)
  if (gravest) {
    const { code, enhanced } = gravest.reply
    const nobody = { code, enhanced, text: 'The message goes to nobody' }
    return dropped(finish(state, phase, withNamed(nobody, fates, true)))
  }
  if (!transaction.without) return handOver(setting, state, phase)
  const away = new Set(transaction.without)
  const recipients = transaction.recipients.filter(({ address }) => !away.has(address))
  if (recipients.length === 0) return dropped(finish(state, phase, replies.noneNamed))
  return handOver(setting, state, { ...phase, transaction: { ...transaction, recipients } })
}

/** The content is of no use any more. */
function dropped({ state, effects }: Step): Step {
  return { state, effects: [...effects, { kind: 'drop' }] }
}

/** What a reply has room for: a client should read 64 KiB. */
const MOST_LINES = 200
const LONGEST_WORDS = 120

/**
 * A line for each recipient that the header names, `<address> taken|refused|later: code enhanced text`, behind the
 * first. @param all false: those that are taken have a line already.
 */
export function withNamed(reply: SmtpReply, fates: readonly NamedFate[], all: boolean): SmtpReply {
  const failed = fates.filter(isFailed)
  const taken = all ? fates.filter((fate) => !isFailed(fate)) : []
  const lines = [...failed, ...taken].slice(0, MOST_LINES).map(fateLine)
  const left = failed.length + taken.length - lines.length
  return { ...reply, text: [reply.text, ...lines, ...(left > 0 ? [`and ${left} more`] : [])].join('\n') }
}

function isFailed({ reply }: NamedFate): boolean {
  return reply.code >= 400
}

export function fateLine({ address, reply: { code, enhanced, text } }: NamedFate): string {
  const word = code < 400 ? 'taken' : code < 500 ? 'later' : 'refused'
  const words = [String(code), enhanced, text.replace(/\s+/g, ' ').slice(0, LONGEST_WORDS)]
  return `<${address}> ${word}: ${words.filter((one) => one !== '').join(' ')}`
}
