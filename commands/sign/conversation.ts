/**
 * The client's side of SMTP (RFC 5321) for a message whose recipients may fare differently: pure.
 *
 * Every recipient that is taken gets the message, whatever becomes of the others, and each has a fate in the end; so
 * that whoever tries again sends to those alone who have not got it. `onReply` gives the next state and what to do,
 * `fatesAfter` what a broken connection leaves: once the last dot may have been sent, those who were taken are in
 * doubt (RFC 1047). MAIL and RCPT leave together where the server pipelines (RFC 2920).
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { isBeyond, tlsParameter } from '../sendmail/tls-demand.ts'

export interface Envelope {
  sender: string
  recipients: readonly string[]
  /** Octets as they leave. */
  size: number
  eightBit: boolean
  /** Of the server, for its own way out. */
  tlsDemand: TlsDemand | null
}

/** doubt: it may have been accepted, nobody knows. */
export type Fate = { kind: 'sent' | 'refused' | 'later'; reply: SmtpReply } | { kind: 'doubt'; why: string }
export type Fates = ReadonlyMap<string, Fate>

export type State =
  | { phase: 'greeting' }
  | { phase: 'ehlo' }
  | { phase: 'envelope'; commands: readonly string[]; sent: number; answered: number; fates: Fates }
  | { phase: 'data'; fates: Fates }
  | { phase: 'content'; fates: Fates }
  | { phase: 'done'; fates: Fates }

export interface Step {
  state: State
  /** Lines to send, without their ends. */
  write: readonly string[]
}

const TROUBLE = (text: string): SmtpReply => ({ code: 451, enhanced: '4.4.2', text })

export const begin: State = { phase: 'greeting' }

export function onReply(envelope: Envelope, state: State, reply: SmtpReply): Step {
  switch (state.phase) {
    case 'greeting':
      return reply.code === 220 ? go({ phase: 'ehlo' }, 'EHLO localhost') : end(all(envelope, reply))
    case 'ehlo':
      return reply.code === 250 ? startEnvelope(envelope, reply) : end(all(envelope, reply))
    case 'envelope':
      return onEnvelopeReply(envelope, state, reply)
    case 'data':
      if (reply.code === 354) return go({ phase: 'content', fates: state.fates })
      return end(fill(envelope, state.fates, fateOf(reply)))
    case 'content':
      return end(fill(envelope, state.fates, fateOf(reply)))
    case 'done':
      return { state, write: [] }
    default:
      return state satisfies never
  }
}

/** The connection is of no use any more. */
export function fatesAfter(envelope: Envelope, state: State, why: string): Fates {
  const known: Fates = 'fates' in state ? state.fates : new Map()
  const open: Fate =
    state.phase === 'content' ? { kind: 'doubt', why } : { kind: 'later', reply: TROUBLE(why) }
  return fill(envelope, known, open)
}

function go(state: State, ...write: string[]): Step {
  return { state, write }
}

function end(fates: Fates): Step {
  return { state: { phase: 'done', fates }, write: ['QUIT'] }
}

function all(envelope: Envelope, reply: SmtpReply): Fates {
  return fill(envelope, new Map(), fateOf(reply))
}

/** Who has no fate yet gets this one. */
function fill({ recipients }: Envelope, fates: Fates, fate: Fate): Fates {
  return new Map(recipients.map((recipient) => [recipient, fates.get(recipient) ?? fate]))
}

function fateOf(reply: SmtpReply): Fate {
  if (reply.code >= 200 && reply.code < 300) return { kind: 'sent', reply }
  return { kind: reply.code >= 500 ? 'refused' : 'later', reply }
}

function startEnvelope(envelope: Envelope, reply: SmtpReply): Step {
  const offers = new Set(
    reply.text.split('\n').map((line) => (line.trim().split(' ')[0] ?? '').toUpperCase()),
  )
  const utf8 = [envelope.sender, ...envelope.recipients].some((address) => /[^\0-\x7f]/.test(address))
  if (utf8 && !offers.has('SMTPUTF8'))
    return end(
      all(envelope, { code: 550, enhanced: '5.6.7', text: 'the server takes no addresses beyond ASCII' }),
    )
  if (isBeyond(envelope.tlsDemand, offers.has('XTLS')))
    return end(all(envelope, { code: 550, enhanced: '5.7.4', text: 'the server takes no demand for TLS' }))
  const mail = [
    `MAIL FROM:<${envelope.sender}>`,
    ...(offers.has('SIZE') ? [`SIZE=${envelope.size}`] : []),
    ...(offers.has('8BITMIME') && envelope.eightBit ? ['BODY=8BITMIME'] : []),
    ...(utf8 ? ['SMTPUTF8'] : []),
    tlsParameter(envelope.tlsDemand, offers.has('XTLS')),
  ]
    .filter(Boolean)
    .join(' ')
  const commands = [mail, ...envelope.recipients.map((recipient) => `RCPT TO:<${recipient}>`)]
  const sent = offers.has('PIPELINING') ? commands.length : 1
  return {
    state: { phase: 'envelope', commands, sent, answered: 0, fates: new Map() },
    write: commands.slice(0, sent),
  }
}

function onEnvelopeReply(
  envelope: Envelope,
  state: Extract<State, { phase: 'envelope' }>,
  reply: SmtpReply,
): Step {
  // the server goes away, or does not want this sender: then nobody gets it
  if (reply.code === 421 || (state.answered === 0 && reply.code !== 250))
    return end(fill(envelope, state.fates, fateOf(reply)))
  const recipient = envelope.recipients[state.answered - 1]
  const refused = recipient !== undefined && (reply.code < 200 || reply.code >= 300)
  const fates = refused ? new Map([...state.fates, [recipient, fateOf(reply)]]) : state.fates
  const answered = state.answered + 1
  if (answered === state.commands.length) {
    if (fates.size === envelope.recipients.length) return end(fates)
    return go({ phase: 'data', fates }, 'DATA')
  }
  const next = state.sent === answered ? state.commands.slice(answered, answered + 1) : []
  return { state: { ...state, answered, fates, sent: state.sent + next.length }, write: next }
}
