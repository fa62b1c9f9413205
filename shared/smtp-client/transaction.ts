/**
 * One SMTP or LMTP transaction from the client's side, as a pure machine: no sockets, no clock.
 *
 * `begin` and `advance` take what happened and give effects in the order in which the shell must carry them out.
 * A transaction is advanced in place: its only state is here, and `move` is the one door to another phase.
 *
 *   mail -> rcpt -> data -> content -> dot -> over      each reply per recipient in LMTP (RFC 2033 section 4.2)
 *             \        \-> empty (a server that takes DATA for nobody) -> over
 *              \-> reset -> over                        after a refusal the session is cleared by RSET
 *
 * Binary content goes by BDAT (RFC 3030): rcpt -> content, without data.
 * With PIPELINING (RFC 2920) MAIL, all RCPT and DATA leave at once and only the replies walk the phases.
 * Every recipient is settled exactly once, whatever the server does: `settle` is given once, before `free` or
 * `close`. Trouble never escapes as an exception; it is an outcome.
 */
import type { Blame, Outcome, Reply } from '../message/outcome.ts'
import {
  chunkCommand,
  type Delivery,
  mailCommand,
  own,
  rcptCommand,
  whyBadAddress,
  whyUnfit,
} from './commands.ts'
import type { Offers } from './offers.ts'
import type { Effect, State, Transaction, TransactionEvent } from './states.ts'
import { isIntermediate, isPositive, rcptVerdict, TOO_MANY, verdict } from './verdict.ts'

/** Stands where an outcome is always there already; were it ever missing, the mail would stay queued. */
const UNDECIDED: Outcome = { kind: 'later', reply: own(451, '4.3.0', 'no outcome'), blame: 'ours' }

/** @param together see Transaction; only without PIPELINING, which would send DATA too early. */
export function begin(
  delivery: Delivery,
  offers: Offers,
  lmtp: boolean,
  /** Milliseconds since 1970. */
  now: number,
  together = false,
): { transaction: Transaction; effects: Effect[] } {
  const transaction = blank(delivery, offers, lmtp, together)
  return { transaction, effects: open(transaction, now) }
}

/** A transaction that is over before it begins: this message is not for this server. */
export function refuse(
  delivery: Delivery,
  offers: Offers,
  lmtp: boolean,
  reply: Reply,
): { transaction: Transaction; effects: Effect[] } {
  const transaction = blank(delivery, offers, lmtp, false)
  return { transaction, effects: finish(transaction, { kind: 'never', reply }, { kind: 'free' }) }
}

function blank(delivery: Delivery, offers: Offers, lmtp: boolean, together: boolean): Transaction {
  return {
    delivery,
    offers: together ? { ...offers, pipelining: false } : offers,
    lmtp,
    together,
    outcomes: delivery.recipients.map(() => null),
    asked: [],
    accepted: [],
    state: { phase: 'mail' },
    settled: false,
    last: null,
  }
}

function open(t: Transaction, now: number): Effect[] {
  const unfit = whyUnfit(t.delivery, t.offers, t.lmtp, now)
  if (unfit) return finish(t, { kind: 'never', reply: unfit }, { kind: 'free' })
  t.delivery.recipients.forEach((recipient, position) => {
    const bad = whyBadAddress(recipient.address, t.delivery.smtputf8, '5.1.3')
    if (bad) t.outcomes[position] = { kind: 'never', reply: bad }
    else if (t.asked.length >= t.offers.mostRecipients) t.outcomes[position] = TOO_MANY
    else t.asked.push(position)
  })
  if (t.asked.length === 0) return finish(t, UNDECIDED, { kind: 'free' })
  const mail = mailCommand(t.delivery, t.offers, now)
  if (!t.offers.pipelining) return [{ kind: 'write', text: mail }]
  let text = mail
  for (let at = 0; at < t.asked.length; at++) text += rcptText(t, at)
  return [{ kind: 'write', text: isBinary(t) ? text : `${text}DATA\r\n` }]
}

export function advance(t: Transaction, event: TransactionEvent): Effect[] {
  switch (event.kind) {
    case 'reply':
      return event.reply.code === 421 ? closing(t, event.reply) : replied(t, event.reply)
    case 'handed':
      if (t.state.phase === 'content') move(t, { phase: 'dot', at: 0, flushed: false })
      return []
    case 'flushed':
      if (t.state.phase === 'dot') move(t, { ...t.state, flushed: true })
      return []
    case 'unfit':
      return finish(t, { kind: 'never', reply: event.reply }, { kind: 'close' })
    case 'lost':
      return lost(t, event.reply, event.blame)
  }
}

function replied(t: Transaction, reply: Reply): Effect[] {
  const { state } = t
  switch (state.phase) {
    case 'mail':
      return mailReplied(t, reply)
    case 'rcpt':
      return rcptReplied(t, state.at, reply)
    case 'data':
      return dataReplied(t, reply)
    case 'content':
      return spokeEarly(t, reply)
    case 'dot':
      return dotReplied(t, state, reply)
    case 'empty': // RFC 2920 section 3.1: whatever it says, the message had no recipients
      return finish(t, UNDECIDED, { kind: 'free' })
    case 'reset':
      move(t, { phase: 'over' })
      return [{ kind: isPositive(reply) ? 'free' : 'close' }]
    case 'over':
      return [{ kind: 'close' }]
  }
}

function mailReplied(t: Transaction, reply: Reply): Effect[] {
  if (isIntermediate(reply)) return senseless(t, 'MAIL', reply)
  if (!isPositive(reply)) {
    settleOpen(t, verdict(reply, 'message'))
    if (!t.offers.pipelining) return reset(t)
  }
  move(t, { phase: 'rcpt', at: 0 })
  return t.offers.pipelining ? [] : [{ kind: 'write', text: rcptText(t, 0) }]
}

function rcptReplied(t: Transaction, at: number, reply: Reply): Effect[] {
  if (isIntermediate(reply)) return senseless(t, 'RCPT', reply)
  const position = t.asked[at] ?? 0
  if (isPositive(reply)) t.accepted.push(position)
  else t.outcomes[position] ??= rcptVerdict(reply, t.accepted.length > 0)
  t.last = t.last ?? (isPositive(reply) ? null : reply)
  if (at + 1 < t.asked.length) {
    move(t, { phase: 'rcpt', at: at + 1 })
    return t.offers.pipelining ? [] : [{ kind: 'write', text: rcptText(t, at + 1) }]
  }
  if (t.offers.pipelining && !isBinary(t)) {
    move(t, { phase: 'data' })
    return []
  }
  const putOff = t.together && t.outcomes.find((outcome) => outcome?.kind === 'later')
  if (putOff) settleOpen(t, putOff)
  if (!hasOpen(t)) return reset(t)
  if (isBinary(t)) return sendChunk(t)
  move(t, { phase: 'data' })
  return [{ kind: 'write', text: 'DATA\r\n' }]
}

/** Binary content goes by BDAT (RFC 3030 section 3), behind the last reply to RCPT: nobody may be there to get it. */
function isBinary(t: Transaction): boolean {
  return t.delivery.body === 'binarymime'
}

function sendChunk(t: Transaction): Effect[] {
  move(t, { phase: 'content' })
  return [{ kind: 'write', text: chunkCommand(t.delivery) }, { kind: 'content' }]
}

function dataReplied(t: Transaction, reply: Reply): Effect[] {
  if (isPositive(reply)) return senseless(t, 'DATA', reply)
  if (isIntermediate(reply)) {
    if (hasOpen(t)) {
      move(t, { phase: 'content' })
      return [{ kind: 'content' }]
    }
    // Somebody would get an empty message from a server that refused MAIL and took the rest: leave it.
    if (t.accepted.length > 0) return finish(t, verdict(reply, 'message'), { kind: 'close' })
    move(t, { phase: 'empty' })
    return [...settleOnce(t), { kind: 'write', text: '.\r\n' }]
  }
  settleOpen(t, verdict(reply, 'message'))
  return reset(t)
}

/** A reply while content is still on its way: nothing more is sent, and without the dot nothing was delivered. */
function spokeEarly(t: Transaction, reply: Reply): Effect[] {
  if (isPositive(reply) || isIntermediate(reply)) return senseless(t, 'content', reply)
  return finish(t, verdict(reply, 'message'), { kind: 'close' })
}

function dotReplied(t: Transaction, state: State & { phase: 'dot' }, reply: Reply): Effect[] {
  if (isIntermediate(reply)) return senseless(t, 'the end of data', reply)
  if (!t.lmtp) return finish(t, final(t, reply, 'message'), { kind: 'free' })
  t.outcomes[t.accepted[state.at] ?? 0] = final(t, reply, 'recipient')
  t.last = reply
  if (state.at + 1 >= t.accepted.length) return finish(t, UNDECIDED, { kind: 'free' })
  move(t, { ...state, at: state.at + 1, flushed: true })
  return []
}

/** RFC 5321 section 3.8: 421 may answer anything; the server is leaving. */
function closing(t: Transaction, reply: Reply): Effect[] {
  return finish(t, { kind: 'later', reply, blame: 'destination' }, { kind: 'close' })
}

function lost(t: Transaction, reply: Reply, blame: Blame): Effect[] {
  if (t.state.phase === 'over') return [{ kind: 'close' }]
  // RFC 1047: the dot is out and nobody knows what came of it.
  const doubt = t.state.phase === 'dot' && t.state.flushed
  const outcome: Outcome = doubt
    ? { kind: 'later', reply, blame, inDoubt: true }
    : { kind: 'later', reply, blame }
  return finish(t, outcome, { kind: 'close' })
}

/** A reply that has a code, but not one that can answer what was asked. */
function senseless(t: Transaction, what: string, reply: Reply): Effect[] {
  const ours = own(451, '4.5.0', `${reply.host} answered ${what} with ${reply.code} ${reply.text}`)
  return lost(t, ours, 'destination')
}

/** RFC 3461 section 5.2.1: a server that offers DSN has been given NOTIFY and the rest, and tells the sender. */
function final(t: Transaction, reply: Reply, blame: Blame): Outcome {
  const outcome = verdict(reply, blame)
  if (outcome.kind !== 'sent') return outcome
  const untimed = t.delivery.deliverBy !== undefined && t.offers.deliverBy === null && !t.lmtp
  return { ...outcome, ...(t.offers.dsn && { dsn: true }), ...(untimed && { untimed }) }
}

function hasOpen(t: Transaction): boolean {
  return t.outcomes.includes(null)
}

function rcptText(t: Transaction, at: number): string {
  const recipient = t.delivery.recipients[t.asked[at] ?? 0]
  return recipient ? rcptCommand(recipient, t.offers, t.delivery.smtputf8) : ''
}

function move(t: Transaction, state: State): void {
  t.state = state
}

function settleOpen(t: Transaction, outcome: Outcome): void {
  for (let n = 0; n < t.outcomes.length; n++) {
    if (t.outcomes[n]) continue
    t.outcomes[n] = outcome
    t.last = outcome.reply
  }
}

function settleOnce(t: Transaction): Effect[] {
  if (t.settled) return []
  t.settled = true
  return [{ kind: 'settle', outcomes: t.outcomes.map((outcome) => outcome ?? UNDECIDED) }]
}

/** Settles what is open with `outcome`; the connection's fate comes after. */
function finish(t: Transaction, outcome: Outcome, fate: Effect): Effect[] {
  settleOpen(t, outcome)
  move(t, { phase: 'over' })
  const effects = settleOnce(t)
  effects.push(fate)
  return effects
}

/** The transaction failed but the session lives: outcomes first, then RSET (RFC 5321 section 4.1.1.5). */
function reset(t: Transaction): Effect[] {
  const effects = settleOnce(t)
  move(t, { phase: 'reset' })
  effects.push({ kind: 'write', text: 'RSET\r\n' })
  return effects
}
