/**
 * One transaction from MAIL to the envelope: recipients asked for, answered in order, and put together.
 *
 * Pure: each function gives a new transaction. Two RCPTs that come to the same mailbox give one recipient, so
 * nobody gets a message twice; each RCPT still has its own reply. An address that stands for several gets its
 * report of success from qmgr at once, as `expanded`; its copies do not ask for one (RFC 3461 section 5.2.7).
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { Envelope, Expanded, Recipient } from '../../shared/message/envelope.ts'
import { mergeNotify, wants, withoutSuccess } from '../../shared/message/notify.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { MailParameters, RcptParameters } from './parameters.ts'
import { replies } from './replies.ts'
import type { Effect, Hello, Owed, Setting, Transaction } from './state.ts'

export function openTransaction(
  id: number,
  sender: string,
  parameters: MailParameters,
  startedAt: number,
  cutThrough: number,
): Transaction {
  return {
    id,
    startedAt,
    sender,
    size: parameters.size,
    body: parameters.body,
    smtputf8: parameters.smtputf8,
    ...(parameters.ret && { ret: parameters.ret }),
    ...(parameters.envid !== undefined && { envid: parameters.envid }),
    asked: 0,
    agreed: 0,
    first: '',
    owed: [],
    recipients: [],
    expanded: [],
    cutThrough,
  }
}

/** A RCPT that the resolver is asked about. */
export function askFor(transaction: Transaction, address: string, parameters: RcptParameters): Transaction {
  return owe(transaction, { address, parameters, reply: null })
}

function owe(transaction: Transaction, asked: Pick<Owed, 'address' | 'parameters' | 'reply'>): Transaction {
  const owed: Owed = { ...asked, n: transaction.asked, recipients: [], expanded: [], cutThrough: 0 }
  return { ...transaction, asked: transaction.asked + 1, owed: [...transaction.owed, owed] }
}

/** A RCPT that is answered without asking: its reply still waits its turn. */
export function answerAtOnce(transaction: Transaction, address: string, reply: SmtpReply): Transaction {
  return owe(transaction, { address, parameters: {}, reply })
}

export function settle(
  transaction: Transaction,
  n: number,
  answer: Answer<'resolve'> | null,
  rights: Rights,
): Transaction {
  const owed = transaction.owed.map((one) => (one.n === n ? judge(one, answer, rights) : one))
  return { ...transaction, owed }
}

/** What decides of a recipient besides the resolver. */
export interface Rights {
  mayRelay: boolean
  isFull: (destination: string) => boolean
}

function judge(owed: Owed, answer: Answer<'resolve'> | null, { mayRelay, isFull }: Rights): Owed {
  if (answer === null) return { ...owed, reply: replies.resolverLost }
  if (answer.kind !== 'found') return { ...owed, reply: answer.reply }
  if (answer.class === 'remote' && !mayRelay) return { ...owed, reply: replies.relayDenied }
  if (answer.targets.some(({ route }) => route && isFull(route.destination)))
    return { ...owed, reply: replies.backlogFull }
  // What an alias made must not be looked up in the aliases again, one that stands for itself among others too.
  const several = answer.targets.length > 1
  const parameters = several ? parametersOfCopies(owed.parameters) : owed.parameters
  const recipients = answer.targets.map((target): Recipient => {
    const recipient: Recipient = { address: target.address, ...parameters }
    if (several || target.address !== owed.address) recipient.original = owed.address
    if (target.route) recipient.route = target.route
    return recipient
  })
  const expanded = several ? expandedOf(owed) : []
  return { ...owed, reply: replies.recipientOk, recipients, expanded, cutThrough: answer.cutThrough ?? 0 }
}

function parametersOfCopies({ notify, ...others }: RcptParameters): RcptParameters {
  const rest = withoutSuccess(notify)
  return rest === undefined ? others : { ...others, notify: rest }
}

function expandedOf({ address, parameters: { notify, orcpt } }: Owed): Expanded[] {
  if (!wants(notify, 'SUCCESS')) return []
  return [{ address, ...(orcpt !== undefined && { orcpt }) }]
}

/** Pays what can be paid: replies from the front as far as they are known. */
export function pay(transaction: Transaction): { transaction: Transaction; effects: Effect[] } {
  const effects: Effect[] = []
  let { agreed, first, recipients, expanded, cutThrough } = transaction
  let paid = 0
  for (const one of transaction.owed) {
    const { address, reply } = one
    if (!reply) break
    paid++
    effects.push({ kind: 'reply', reply })
    if (reply.code !== 250) {
      effects.push({ kind: 'turned-away', address, sender: transaction.sender, reply })
      continue
    }
    if (agreed++ === 0) first = address
    cutThrough = Math.min(cutThrough, one.cutThrough)
    recipients = recipients.length === 0 ? one.recipients : [...recipients, ...one.recipients]
    if (one.expanded.length > 0) expanded = [...expanded, ...one.expanded]
  }
  if (paid === 0) return { transaction, effects }
  const owed = transaction.owed.slice(paid)
  return { transaction: { ...transaction, owed, agreed, first, recipients, expanded, cutThrough }, effects }
}

export function makeEnvelope(
  setting: Setting,
  hello: Hello,
  transaction: Transaction,
  size: number,
): Envelope {
  const { id, sender, body, smtputf8, ret, envid, expanded, startedAt } = transaction
  return {
    id,
    sender,
    recipients: distinct(transaction.recipients),
    ...(expanded.length > 0 && { expanded: [...expanded] }),
    size,
    body,
    smtputf8,
    ...(ret && { ret }),
    ...(envid !== undefined && { envid }),
    receivedAt: startedAt,
    origin: {
      listener: setting.listener,
      session: setting.session,
      client: setting.client,
      helo: hello.name,
      ...(setting.uid === undefined ? {} : { uid: setting.uid }),
    },
  }
}

function distinct(recipients: readonly Recipient[]): Recipient[] {
  if (recipients.length < 2) return [...recipients]
  const byAddress = new Map<string, Recipient>()
  for (const recipient of recipients) {
    const earlier = byAddress.get(recipient.address)
    byAddress.set(recipient.address, earlier ? merge(earlier, recipient) : recipient)
  }
  return [...byAddress.values()]
}

/** Whoever asked for a report of success is named in it, else who came first. */
function merge(one: Recipient, other: Recipient): Recipient {
  if (one.notify === other.notify) return one
  const notify = mergeNotify(one.notify, other.notify)
  const kept = !wants(one.notify, 'SUCCESS') && wants(other.notify, 'SUCCESS') ? other : one
  return notify === undefined ? kept : { ...kept, notify }
}
