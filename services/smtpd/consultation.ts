/**
 * What filters have to say in a transaction: of each recipient before its RCPT is answered, and of the whole when its
 * content is there. Pure; the shell around the filters is `filter/session-filters.ts`.
 *
 * A recipient for whom all else speaks waits for their word, and its reply its turn like any other. Whom a filter adds has no route yet and no report is owed for: qmgr asks the resolver.
 */
import type { Recipient } from '../../shared/message/envelope.ts'
import { formatAddress, parsePath } from '../../shared/smtp/address.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { Revision } from './filter/draft.ts'
import { type RcptParameters, readRcptParameters } from './parameters.ts'
import { replies } from './replies.ts'
import { payOwed } from './screening.ts'
import type { Effect, Event, Hello, Owed, Phase, Setting, State, Step, Transaction } from './state.ts'
import { finish, move, say } from './step.ts'
import { isOpen, refusal } from './transaction.ts'

/** Questions about those that are taken but for this. */
export function askFilters(
  transaction: Transaction,
  hello: Hello,
): { transaction: Transaction; effects: Effect[] } {
  const effects: Effect[] = []
  const owed = transaction.owed.map((one): Owed => {
    if (one.filter || one.greylist === 'asked' || !one.fate || !isOpen(one.fate)) return one
    effects.push({ kind: 'consult', n: one.n, address: one.address, hello, transaction })
    return { ...one, filter: 'asked' }
  })
  return effects.length > 0 ? { transaction: { ...transaction, owed }, effects } : { transaction, effects }
}

export function consulted(
  setting: Setting,
  state: State,
  phase: Extract<Phase, { at: 'mail' }>,
  { n, refusal: reply }: Extract<Event, { kind: 'consulted' }>,
): Step {
  const owed = phase.transaction.owed.map((one): Owed => {
    if (one.n !== n || one.filter !== 'asked') return one
    return { ...one, filter: 'over', ...(reply && { fate: refusal(reply) }) }
  })
  return payOwed(setting, state, phase, { ...phase.transaction, owed })
}

/** @param refusal what filters have against content that has not come; it is one reply, in LMTP too. */
export function admitted(
  state: State,
  phase: Extract<Phase, { at: 'mail' | 'admit' }>,
  refusal: SmtpReply | null,
): Step {
  const { hello, transaction } = phase
  if (refusal) return finish(state, { ...phase, at: 'admit' }, refusal, [refusal])
  const receive: Effect = { kind: 'receive', transaction, hello, framing: 'dots' }
  return move(state, { at: 'data', hello, transaction }, say(replies.sendContent), receive)
}

export function revise(transaction: Transaction, { sender, added, removed, hold }: Revision): Transaction {
  const gone = new Set(removed.map(plainly))
  const kept = transaction.recipients.filter((one) => !gone.has(plainly(one.original ?? one.address)))
  const expanded = transaction.expanded.filter(({ address }) => !gone.has(plainly(address)))
  const more = added.flatMap((one) => readAdded(one.address, one.parameters, transaction.smtputf8))
  return {
    ...transaction,
    sender: sender === null ? transaction.sender : senderOf(sender, transaction),
    recipients: [...kept, ...more],
    expanded,
    ...(hold !== null && { hold: true, holdReason: hold || 'a filter wants it' }),
  }
}

function plainly(address: string): string {
  return address.toLowerCase()
}

/** A sender that is none changes nothing. */
function senderOf(text: string, { sender, smtputf8 }: Transaction): string {
  const parsed = parsePath(`<${text}>`, { allowNull: true, utf8: smtputf8, unqualified: false })
  return parsed.ok ? formatAddress(parsed.address) : sender
}

function readAdded(text: string, parameters: string, utf8: boolean): Recipient[] {
  const parsed = parsePath(`<${text}>`, { allowNull: false, utf8, unqualified: false })
  if (!parsed.ok) return []
  const read = readRcptParameters(parameters, utf8)
  const wishes: RcptParameters = 'code' in read ? {} : read
  return [{ address: formatAddress(parsed.address), ...wishes }]
}
