/**
 * The client's side of SMTP (RFC 5321), as far as handing one message to our own server needs it: pure.
 *
 * States own their data. `begin` is the state on connecting; `onReply` takes a reply and gives the next state and
 * what to do; `onTrouble` says what a timeout, a lost connection or garbage means in a state. MAIL and all RCPT
 * leave together when the server pipelines (RFC 2920); DATA waits for their answers, because the message goes out
 * only when no recipient was put off: what ends with 75 was sent to nobody, so that trying again doubles nothing.
 * Recipients refused for good are named, the others get the message.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { type ExitCode, exitCodeOf, exitCodes, replyLine } from './exit-code.ts'
import { type RefusedRecipient as Failure, refusedIn, secondsToAsk } from './verdict.ts'

export interface Job {
  hello: string
  sender: string
  recipients: readonly string[]
  /** Null when the end is not known yet. */
  size: number | null
  eightBit: boolean
  /** -B: what the caller says of the content, beside what it is. */
  body: '7BIT' | '8BITMIME' | null
  notify: string | null
  ret: string | null
  envid: string | null
  /** -bv: recipients are asked about, and nothing is sent. */
  verify: boolean
  /** -odi: to wait for the first attempt; patience is --timeout, in seconds. */
  wait: { patience: number | null } | null
  /** The user's agent answers: LMTP, so that each recipient has a reply of its own after the dot (RFC 2033). */
  lmtp: boolean
  /** -a, for the agent. */
  account: string | null
  /** -G: the header is to stay as it is, which the server does for trusted users. */
  asIs: boolean
}

export interface Verdict {
  exit: ExitCode
  /** For standard error; none when all went well. */
  lines: string[]
  /** Nothing was handed over and nothing refused: the whole may be tried again at once. */
  again: boolean
}

interface Envelope {
  commands: string[]
  sent: number
  answered: number
  pipelining: boolean
  failures: readonly Failure[]
  /** Octets that the server takes (RFC 1870); 0: it does not say. */
  limit: number
}
export type State =
  | { phase: 'greeting' }
  | { phase: 'ehlo' }
  | ({ phase: 'envelope' } & Envelope)
  | { phase: 'data'; failures: readonly Failure[]; limit: number }
  /** `awaited`: the recipients whose replies are still to come after the dot; in SMTP there is one reply for all. */
  | { phase: 'content'; failures: readonly Failure[]; awaited: readonly string[] }
  | { phase: 'done' }
export type Phase = State['phase']

export type Effect =
  | { kind: 'write'; line: string }
  | { kind: 'send-content'; limit: number }
  /** For standard output. */
  | { kind: 'tell'; line: string }
  | { kind: 'verdict'; verdict: Verdict }

export interface Step {
  state: State
  effects: Effect[]
}

export const begin: State = { phase: 'greeting' }

/** How long to wait for an answer, in seconds: RFC 5321 section 4.5.3.2, shorter where only our own server answers. */
export const PATIENCE: Readonly<Record<Phase, number>> = {
  greeting: 30,
  ehlo: 30,
  envelope: 120,
  data: 60,
  content: 330,
  done: 5,
}

export function onReply(job: Job, state: State, reply: SmtpReply): Step {
  switch (state.phase) {
    case 'greeting':
      if (reply.code !== 220) return refused(reply, 'the server refuses connections', true)
      return {
        state: { phase: 'ehlo' },
        effects: [{ kind: 'write', line: `${job.lmtp ? 'LHLO' : 'EHLO'} ${job.hello}` }],
      }
    case 'ehlo':
      if (reply.code !== 250) return refused(reply, 'EHLO refused', true)
      return startEnvelope(job, reply)
    case 'envelope':
      return onEnvelopeReply(job, state, reply)
    case 'data':
      if (reply.code !== 354) return refused(reply, 'DATA refused', false)
      return {
        state: { phase: 'content', failures: state.failures, awaited: takenBy(job, state.failures) },
        effects: [{ kind: 'send-content', limit: state.limit }],
      }
    case 'content':
      return job.lmtp ? settledOne(state, reply) : settled(state.failures, reply)
    case 'done':
      return { state, effects: [] }
    default:
      return state satisfies never
  }
}

export function onTrouble(state: State, trouble: 'timeout' | 'lost' | 'garbage'): Verdict {
  const what = {
    timeout: 'no answer in time',
    lost: 'the connection was lost',
    garbage: 'not an SMTP server',
  }
  const exit = trouble === 'garbage' ? exitCodes.protocol : exitCodes.temporary
  const early = state.phase === 'greeting' || state.phase === 'ehlo'
  const doubt = state.phase === 'content' ? '; it may have been accepted all the same' : ''
  return { exit, lines: [`${what[trouble]} (${state.phase})${doubt}`], again: early && trouble === 'lost' }
}

function startEnvelope(job: Job, reply: SmtpReply): Step {
  const offers = readOffers(reply)
  const limit = Number(offers.get('SIZE') ?? 0) || 0
  const wrong = whyImpossible(job, offers, limit)
  if (wrong) return done({ exit: exitCodes.data, lines: [wrong], again: false })
  const commands = [
    mailCommand(job, offers),
    ...job.recipients.map((recipient) => rcptCommand(job, offers, recipient)),
  ]
  const pipelining = offers.has('PIPELINING')
  const sent = pipelining ? commands.length : 1
  return {
    state: { phase: 'envelope', commands, sent, answered: 0, pipelining, failures: [], limit },
    effects: commands.slice(0, sent).map((line) => ({ kind: 'write', line })),
  }
}

/** Keyword to its parameter: RFC 5321 section 4.1.1.1. */
function readOffers(reply: SmtpReply): ReadonlyMap<string, string> {
  const lines = reply.text.split('\n').slice(1)
  return new Map(
    lines.map((line) => {
      const [keyword = '', ...rest] = line.trim().split(' ')
      return [keyword.toUpperCase(), rest.join(' ')] as const
    }),
  )
}

function whyImpossible(job: Job, offers: ReadonlyMap<string, string>, limit: number): string {
  if (limit > 0 && job.size !== null && job.size > limit) return tooLarge(limit)
  if (needsUtf8(job) && !offers.has('SMTPUTF8')) return 'the server takes no addresses beyond ASCII'
  return ''
}

export function tooLarge(limit: number): string {
  return `the message is too large: ${limit} octets are allowed`
}

/**
 * RFC 6531 asks for it when header fields are UTF-8, too. We ask only for addresses: a raw 8-bit Subject, which
 * scripts have always sent, must not make mail bounce at a host that lacks the extension.
 */
function needsUtf8({ sender, recipients }: Job): boolean {
  return [sender, ...recipients].some((address) => /[^\0-\x7f]/.test(address))
}

function mailCommand(job: Job, offers: ReadonlyMap<string, string>): string {
  const parameters = [`MAIL FROM:<${job.sender}>`]
  if (offers.has('SIZE') && job.size !== null) parameters.push(`SIZE=${job.size}`)
  const body = job.eightBit ? '8BITMIME' : job.body
  if (offers.has('8BITMIME') && body) parameters.push(`BODY=${body}`)
  if (needsUtf8(job)) parameters.push('SMTPUTF8')
  if (offers.has('DSN') && job.ret) parameters.push(`RET=${job.ret}`)
  if (offers.has('DSN') && job.envid) parameters.push(`ENVID=${xtext(job.envid)}`)
  const seconds = job.wait && secondsToAsk(offers.get('VERDICT') ?? '', job.wait.patience)
  if (seconds) parameters.push(`VERDICT=${seconds}`)
  if (offers.has('XASIS') && job.asIs) parameters.push('XASIS')
  if (job.account !== null) parameters.push(`XACCOUNT=${xtext(job.account)}`)
  return parameters.join(' ')
}

function rcptCommand(job: Job, offers: ReadonlyMap<string, string>, recipient: string): string {
  const notify = offers.has('DSN') && job.notify ? ` NOTIFY=${job.notify}` : ''
  return `RCPT TO:<${recipient}>${notify}`
}

/** RFC 3461 section 4. */
function xtext(text: string): string {
  const hex = (character: string) => `+${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e]/g, hex)
}

function onEnvelopeReply(job: Job, state: { phase: 'envelope' } & Envelope, reply: SmtpReply): Step {
  if (reply.code === 421) return refused(reply, 'the server is going away', false)
  if (state.answered === 0 && reply.code !== 250) return refused(reply, `sender <${job.sender}>`, true)
  const recipient = job.recipients[state.answered - 1] ?? ''
  const failed = Math.floor(reply.code / 100) !== 2
  const failures = failed ? [...state.failures, { recipient, reply }] : state.failures
  const answered = state.answered + 1
  const told: Effect[] =
    job.verify && state.answered > 0 && !failed
      ? [{ kind: 'tell', line: `<${recipient}>: ${replyLine(reply)}` }]
      : []
  if (answered === state.commands.length) return withEffects(told, endEnvelope(job, failures, state.limit))
  const next = state.commands[state.sent]
  if (state.pipelining || next === undefined)
    return { state: { ...state, answered, failures }, effects: told }
  return {
    state: { ...state, answered, failures, sent: state.sent + 1 },
    effects: [...told, { kind: 'write', line: next }],
  }
}

function withEffects(before: readonly Effect[], { state, effects }: Step): Step {
  return { state, effects: [...before, ...effects] }
}

function endEnvelope(job: Job, failures: readonly Failure[], limit: number): Step {
  const putOff = failures.some(({ reply }) => reply.code < 500)
  if (job.verify || putOff || failures.length === job.recipients.length) return done(judge(failures))
  return { state: { phase: 'data', failures, limit }, effects: [{ kind: 'write', line: 'DATA' }] }
}

function settled(failures: readonly Failure[], reply: SmtpReply): Step {
  const fates = refusedIn(reply)
  const accepted = Math.floor(reply.code / 100) === 2
  if (!accepted && (fates.length === 0 || reply.code < 500)) return refused(reply, 'message', false)
  return done(judge([...failures, ...fates]))
}

function takenBy({ recipients }: Job, failures: readonly Failure[]): string[] {
  return recipients.filter((recipient) => !failures.some((failure) => failure.recipient === recipient))
}

/** RFC 2033 section 4.2: one reply for each recipient that was taken, in their order. */
function settledOne(state: State & { phase: 'content' }, reply: SmtpReply): Step {
  const [recipient = '', ...awaited] = state.awaited
  const failed = Math.floor(reply.code / 100) !== 2
  const failures = failed ? [...state.failures, { recipient, reply }] : state.failures
  return awaited.length === 0
    ? done(judge(failures))
    : { state: { ...state, failures, awaited }, effects: [] }
}

/** The first of the gravest kind decides: put off before refused, since then nobody got anything. */
function judge(failures: readonly Failure[]): Verdict {
  const gravest = failures.find(({ reply }) => reply.code < 500) ?? failures[0]
  const lines = failures.map(({ recipient, reply }) => `<${recipient}>: ${replyLine(reply)}`)
  return { exit: gravest ? exitOfFailure(gravest.reply) : exitCodes.ok, lines, again: false }
}

function refused(reply: SmtpReply, what: string, early: boolean): Step {
  const exit = exitOfFailure(reply)
  const again = early && exit === exitCodes.temporary
  return done({ exit, lines: [`${what}: ${replyLine(reply)}`], again })
}

/** A 2xx or 3xx where none belongs is no SMTP. */
function exitOfFailure(reply: SmtpReply): ExitCode {
  const exit = exitCodeOf(reply)
  return exit === exitCodes.ok ? exitCodes.protocol : exit
}

function done(verdict: Verdict): Step {
  const quit: Effect = { kind: 'write', line: 'QUIT' }
  return { state: { phase: 'done' }, effects: [quit, { kind: 'verdict', verdict }] }
}
