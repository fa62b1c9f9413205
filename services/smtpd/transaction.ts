/**
 * One transaction from MAIL to the envelope: recipients asked for, answered in order, and put together.
 *
 * Pure: each function gives a new transaction. Two RCPTs that come to the same mailbox give one recipient, so
 * nobody gets a message twice; each RCPT still has its own reply.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { MailParameters } from './parameters.ts'
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
    asked: 0,
    agreed: 0,
    first: '',
    owed: [],
    recipients: [],
    cutThrough,
  }
}

/** A RCPT that the resolver is asked about. */
export function askFor(transaction: Transaction, address: string): Transaction {
  const owed: Owed = { n: transaction.asked, address, reply: null, recipients: [], cutThrough: 0 }
  return { ...transaction, asked: transaction.asked + 1, owed: [...transaction.owed, owed] }
}

/** A RCPT that is answered without asking: its reply still waits its turn. */
export function answerAtOnce(transaction: Transaction, address: string, reply: SmtpReply): Transaction {
  const owed: Owed = { n: transaction.asked, address, reply, recipients: [], cutThrough: 0 }
  return { ...transaction, asked: transaction.asked + 1, owed: [...transaction.owed, owed] }
}

export function settle(
  transaction: Transaction,
  n: number,
  answer: Answer<'resolve'> | null,
  mayRelay: boolean,
): Transaction {
  const owed = transaction.owed.map((one) => (one.n === n ? judge(one, answer, mayRelay) : one))
  return { ...transaction, owed }
}

function judge(owed: Owed, answer: Answer<'resolve'> | null, mayRelay: boolean): Owed {
  if (answer === null) return { ...owed, reply: replies.resolverLost }
  if (answer.kind !== 'found') return { ...owed, reply: answer.reply }
  if (answer.class === 'remote' && !mayRelay) return { ...owed, reply: replies.relayDenied }
  // What an alias made must not be looked up in the aliases again, one that stands for itself among others too.
  const expanded = answer.targets.length > 1
  const recipients = answer.targets.map((target): Recipient => {
    const recipient: Recipient = { address: target.address }
    if (expanded || target.address !== owed.address) recipient.original = owed.address
    if (target.route) recipient.route = target.route
    return recipient
  })
  return { ...owed, reply: replies.recipientOk, recipients, cutThrough: answer.cutThrough ?? 0 }
}

/** Pays what can be paid: replies from the front as far as they are known. */
export function pay(transaction: Transaction): { transaction: Transaction; effects: Effect[] } {
  const effects: Effect[] = []
  let { agreed, first, recipients, cutThrough } = transaction
  let paid = 0
  for (const { address, reply, recipients: more, cutThrough: patience } of transaction.owed) {
    if (!reply) break
    paid++
    effects.push({ kind: 'reply', reply })
    if (reply.code !== 250) {
      effects.push({ kind: 'turned-away', address, sender: transaction.sender, reply })
      continue
    }
    if (agreed++ === 0) first = address
    cutThrough = Math.min(cutThrough, patience)
    recipients = recipients.length === 0 ? more : [...recipients, ...more]
  }
  if (paid === 0) return { transaction, effects }
  const owed = transaction.owed.slice(paid)
  return { transaction: { ...transaction, owed, agreed, first, recipients, cutThrough }, effects }
}

export function makeEnvelope(
  setting: Setting,
  hello: Hello,
  transaction: Transaction,
  size: number,
): Envelope {
  const { id, sender, body, smtputf8, startedAt } = transaction
  return {
    id,
    sender,
    recipients: distinct(transaction.recipients),
    size,
    body,
    smtputf8,
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
    if (!byAddress.has(recipient.address)) byAddress.set(recipient.address, recipient)
  }
  return [...byAddress.values()]
}
