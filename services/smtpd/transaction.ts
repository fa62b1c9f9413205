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
import type {
  AskedRecipient,
  Effect,
  Fate,
  Forged,
  Hello,
  Owed,
  Setting,
  Told,
  Transaction,
} from './state.ts'

export function openTransaction(
  id: number,
  sender: string,
  parameters: MailParameters,
  startedAt: number,
  setting: Pick<Setting, 'cutThrough' | 'requireSignature' | 'kind' | 'removesArguments'>,
  forwarded: Told | null = null,
): Transaction {
  const { cutThrough, requireSignature, kind, removesArguments } = setting
  return {
    id,
    startedAt,
    sender,
    size: parameters.size,
    body: parameters.body,
    smtputf8: parameters.smtputf8,
    ...(parameters.ret && { ret: parameters.ret }),
    ...(parameters.envid !== undefined && { envid: parameters.envid }),
    ...wishesOf(parameters, startedAt),
    asksHeader: parameters.asksHeader === true,
    asIs: parameters.asIs === true,
    ...(parameters.authorName !== undefined && { authorName: parameters.authorName }),
    without: removesArguments && parameters.asksHeader === true ? [] : null,
    asked: 0,
    agreed: 0,
    first: '',
    owed: [],
    recipients: [],
    expanded: [],
    tags: [],
    hold: false,
    cutThrough: parameters.verdict === undefined ? cutThrough : parameters.verdict * 1000,
    verdict: kind === 'lmtp' || parameters.verdict !== undefined,
    stands: kind === 'lmtp' ? [] : null,
    forwarded,
    signed: requireSignature,
    forged: 'tag',
  }
}

/** A RCPT that the resolver is asked about. */
export function askFor(transaction: Transaction, asked: AskedRecipient): Transaction {
  return owe(transaction, { ...asked, n: transaction.asked, fate: null })
}

/** It would be accepted, and somebody get it. */
export function isOpen({ reply, recipients }: Fate): boolean {
  return reply.code === 250 && recipients.length > 0
}

/** A RCPT whose fate is known already: its reply still waits its turn. */
export function answerAtOnce(transaction: Transaction, asked: AskedRecipient, fate: Fate): Paid {
  // where nobody waits this is all there is to do, and a long list comes here for nearly each of its recipients
  if (transaction.owed.length === 0) return payOne(transaction, asked.address, fate)
  return answerLater(transaction, asked, fate)
}

/** Its fate is known, and something else is still to be found out. */
export function answerLater(transaction: Transaction, asked: AskedRecipient, fate: Fate): Paid {
  return { transaction: owe(transaction, { ...asked, n: transaction.asked, fate }), effects: [] }
}

/** Taken, and on its way to nobody. */
export const discarded: Fate = {
  reply: replies.recipientOk,
  recipients: [],
  expanded: [],
  cutThrough: Number.POSITIVE_INFINITY,
  signed: false,
  forged: 'tag',
}

/** Without a question to the resolver. */
export function refusal(reply: SmtpReply): Fate {
  return { reply, recipients: [], expanded: [], cutThrough: 0, signed: false, forged: 'tag' }
}

function owe(transaction: Transaction, owed: Owed): Transaction {
  return { ...transaction, asked: transaction.asked + 1, owed: [...transaction.owed, owed] }
}

function payOne(transaction: Transaction, address: string, fate: Fate): Paid {
  const { sender, agreed, first, recipients, expanded, cutThrough, signed } = transaction
  const asked = transaction.asked + 1
  if (fate.reply.code !== 250)
    return { transaction: { ...transaction, asked }, effects: turnAway(sender, address, fate.reply) }
  const next: Transaction = {
    ...transaction,
    asked,
    agreed: agreed + 1,
    first: agreed === 0 ? address : first,
    recipients: recipients.concat(fate.recipients),
    expanded: fate.expanded.length > 0 ? expanded.concat(fate.expanded) : expanded,
    cutThrough: Math.min(cutThrough, fate.cutThrough),
    signed: signed || fate.signed,
    forged: stricter(transaction.forged, fate.forged),
    ...marked(transaction, fate),
    stands: standing(transaction.stands, fate),
  }
  return { transaction: next, effects: [{ kind: 'reply', reply: fate.reply }] }
}

/** What the rules for one recipient mean for the whole message. */
function marked({ tags, hold }: Transaction, fate: Fate): Pick<Transaction, 'tags' | 'hold'> {
  if (!fate.tags) return { tags, hold }
  return { tags: [...new Set([...tags, ...fate.tags])], hold: hold || fate.hold === true }
}

function standing(stands: Transaction['stands'], { recipients }: Fate): Transaction['stands'] {
  return stands && [...stands, recipients.map(({ address }) => address)]
}

function turnAway(sender: string, address: string, reply: SmtpReply): Effect[] {
  return [
    { kind: 'reply', reply },
    { kind: 'turned-away', address, sender, reply },
  ]
}

export function settle(
  transaction: Transaction,
  n: number,
  answer: Answer<'resolve'> | null,
  rights: Rights,
): Transaction {
  const owed = transaction.owed.map((one) =>
    one.n === n ? { ...one, fate: fateOf(one, answer, rights) } : one,
  )
  return { ...transaction, owed }
}

const strictness: readonly Forged[] = ['tag', 'quarantine', 'reject']

function stricter(one: Forged, other: Forged): Forged {
  return strictness.indexOf(one) < strictness.indexOf(other) ? other : one
}

export interface Paid {
  transaction: Transaction
  effects: Effect[]
}

/** What decides of a recipient besides the resolver. */
export interface Rights {
  /** The reverse-path. */
  sender: string
  mayRelay: boolean
  isFull: (destination: string) => boolean
}

export function fateOf(
  { address, parameters, ruling }: AskedRecipient,
  answer: Answer<'resolve'> | null,
  { mayRelay, isFull, sender }: Rights,
): Fate {
  if (answer === null) return refusal(replies.resolverLost)
  if (answer.kind !== 'found') return refusal(answer.reply)
  const redirected = ruling?.redirect !== undefined
  if (answer.class === 'remote' && !mayRelay && !redirected) return refusal(replies.relayDenied)
  if (answer.bouncesOnly && sender !== '') return refusal(replies.recipientDenied)
  const { targets } = answer
  if (targets.some(({ route }) => route && isFull(route.destination))) return refusal(replies.backlogFull)
  // What an alias made must not be looked up in the aliases again, one that stands for itself among others too.
  const several = targets.length > 1
  const copied = several ? parametersOfCopies(parameters) : parameters
  const recipients = targets.map((target): Recipient => {
    const recipient: Recipient = { address: target.address, ...copied }
    if (target.list) recipient.list = true
    if (target.via !== undefined) recipient.via = target.via
    if (several || target.address !== address) recipient.original = address
    if (target.route) recipient.route = target.route
    return recipient
  })
  const expanded = several ? expandedOf(address, parameters) : []
  const { cutThrough = 0, requireSignature = false } = answer
  return {
    ...{ reply: replies.recipientOk, recipients, expanded, cutThrough, signed: requireSignature },
    forged: answer.forged ?? 'tag',
    ...(ruling && { tags: ruling.tags, hold: ruling.action === 'hold' }),
  }
}

function parametersOfCopies({ notify, ...others }: RcptParameters): RcptParameters {
  const rest = withoutSuccess(notify)
  return rest === undefined ? others : { ...others, notify: rest }
}

function expandedOf(address: string, { notify, orcpt }: RcptParameters): Expanded[] {
  if (!wants(notify, 'SUCCESS')) return []
  return [{ address, ...(orcpt !== undefined && { orcpt }) }]
}

/** Pays what can be paid: replies from the front as far as they are known. */
export function pay(transaction: Transaction): Paid {
  const effects: Effect[] = []
  let marks = transaction
  let { agreed, first, recipients, expanded, cutThrough, signed, forged, stands } = transaction
  let paid = 0
  for (const { address, fate, greylist, filter } of transaction.owed) {
    if (!fate || greylist === 'asked' || filter === 'asked') break
    paid++
    if (fate.reply.code !== 250) {
      effects.push(...turnAway(transaction.sender, address, fate.reply))
      continue
    }
    effects.push({ kind: 'reply', reply: fate.reply })
    if (agreed++ === 0) first = address
    cutThrough = Math.min(cutThrough, fate.cutThrough)
    signed ||= fate.signed
    forged = stricter(forged, fate.forged)
    if (fate.tags) marks = { ...marks, ...marked(marks, fate) }
    recipients = recipients.concat(fate.recipients)
    expanded = expanded.concat(fate.expanded)
    stands = standing(stands, fate)
  }
  if (paid === 0) return { transaction, effects }
  const owed = transaction.owed.slice(paid)
  const paidFor = { owed, agreed, first, recipients, expanded, cutThrough, signed, forged, stands }
  return { transaction: { ...marks, ...paidFor }, effects }
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
    ...wishesOf(transaction, startedAt),
    ...(transaction.hold && { onHold: true }),
    ...(transaction.holdReason !== undefined && { holdReason: transaction.holdReason }),
    receivedAt: startedAt,
    origin: {
      listener: setting.listener,
      session: setting.session,
      client: setting.client,
      helo: hello.name,
      ...whoOf(setting),
    },
  }
}

type Wishes = Pick<Transaction, 'holdUntil' | 'deliverBy' | 'priority' | 'requireTls' | 'tlsDemand'>

/** What MAIL asked of whoever passes the message on. A time of release that is over already is none. */
function wishesOf({ holdUntil, deliverBy, priority, requireTls, tlsDemand }: Wishes, now: number): Wishes {
  return {
    ...(holdUntil !== undefined && holdUntil > now && { holdUntil }),
    ...(deliverBy && { deliverBy }),
    ...(priority && { priority }),
    ...(requireTls && { requireTls }),
    ...(tlsDemand && { tlsDemand }),
  }
}

/** Whose limits count. */
export function whoOf({ uid, user, rights }: Setting): Pick<Envelope['origin'], 'uid' | 'user' | 'policy'> {
  const account = rights.account ?? user
  return {
    ...(uid !== undefined && { uid }),
    ...(account !== undefined && { user: account }),
    ...(rights.policy !== '' && { policy: rights.policy }),
  }
}

export function distinct(recipients: readonly Recipient[]): Recipient[] {
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
