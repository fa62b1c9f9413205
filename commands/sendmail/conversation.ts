/**
 * The client's side of SMTP (RFC 5321), as far as handing one message to our own server needs it: pure.
 *
 * States own their data. `begin` is the state on connecting; `onReply` takes a reply and gives the next state and
 * what to do; `onTrouble` says what a timeout, a lost connection or garbage means in a state. MAIL and all RCPT
 * leave together when the server pipelines (RFC 2920); DATA waits for their answers, because the message goes out
 * only when no recipient was put off: what ends with 75 was sent to nobody, so that trying again doubles nothing.
 * Recipients refused for good are named, the others get the message; what that comes to is in `judgement.ts`.
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { addressedBy, failedIn, type HeaderSource, moreOf } from './addressed.ts'
import { type ExitCode, exitCodes, replyLine } from './exit-code.ts'
import { exitOfFailure, judge, judgeBroken, type Verdict } from './judgement.ts'
import {
  mailCommand,
  mayTellName,
  mostRecipients,
  type Offers,
  rcptCommand,
  readOffers,
  type Told,
  whyImpossible,
} from './mail-command.ts'
import { isBeyond } from './tls-demand.ts'
import { type RefusedRecipient as Failure, refusedIn } from './verdict.ts'
import { explained, type Question, questionsOf } from './why.ts'

export interface Job {
  hello: string
  sender: string
  /** All of them, where nobody but us looks into the header. */
  recipients: readonly string[]
  /** -t: what a server makes of it that looks into the header itself. */
  header: HeaderSource | null
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
  /** --why: nothing is sent, the rules are asked for; whom From names. */
  why: { authors: readonly string[] } | null
  /** -odi: to wait for the first attempt; patience is --timeout, in seconds. */
  wait: { patience: number | null } | null
  /** The user's agent answers: LMTP, so that each recipient has a reply of its own after the dot (RFC 2033). */
  lmtp: boolean
  /** -a, for the agent. */
  account: string | null
  /** The full name of -F or NAME, where the header has no From. */
  authorName: string | null
  /** -G: the header is to stay as it is, which the server does for trusted users. */
  asIs: boolean
  /** How it leaves the server; a provider's server is always verified. */
  tlsDemand: TlsDemand | null
}

interface Envelope {
  to: Told
  commands: string[]
  sent: number
  answered: number
  pipelining: boolean
  failures: readonly Failure[]
  /** Octets that the server takes (RFC 1870); 0: it does not say. */
  limit: number
}
/** In SMTP one reply to the dot is for all. */
interface Awaited {
  /** Recipients whose replies are still to come after the dot. */
  awaited: readonly string[]
  /** How many have it for certain. */
  delivered: number
}
export type State =
  | { phase: 'greeting' }
  | { phase: 'ehlo' }
  | ({ phase: 'envelope' } & Envelope)
  /** --why: the questions whose answers are still to come. */
  | { phase: 'why'; questions: readonly Question[]; failures: readonly SmtpReply[] }
  | { phase: 'data'; to: Told; failures: readonly Failure[]; limit: number }
  | ({ phase: 'content'; to: Told; failures: readonly Failure[] } & Awaited)
  | { phase: 'done' }
export type Phase = State['phase']

export type Effect =
  | { kind: 'write'; line: string }
  /** `whole`: with its Bcc, which the server takes out; `byName`: without the From that it makes. */
  | { kind: 'send-content'; limit: number; whole: boolean; byName: boolean }
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
  why: 120,
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
      return job.why ? startQuestions(job, job.why.authors, reply) : startEnvelope(job, reply)
    case 'envelope':
      return onEnvelopeReply(job, state, reply)
    case 'why':
      return onAnswer(state, reply)
    case 'data':
      if (reply.code !== 354) return refused(reply, 'DATA refused', false)
      return {
        state: {
          ...{ phase: 'content', to: state.to, failures: state.failures },
          ...{ awaited: takenBy(state), delivered: 0 },
        },
        effects: [
          { kind: 'send-content', limit: state.limit, whole: state.to.byHeader, byName: state.to.byName },
        ],
      }
    case 'content':
      return job.lmtp ? settledOne(state, reply) : settled(state, reply)
    case 'done':
      return { state, effects: [] }
    default:
      return state satisfies never
  }
}

export function onTrouble(state: State, trouble: 'timeout' | 'lost' | 'garbage', lmtp: boolean): Verdict {
  const what = {
    timeout: 'no answer in time',
    lost: 'the connection was lost',
    garbage: 'not an SMTP server',
  }
  const exit = trouble === 'garbage' ? exitCodes.protocol : exitCodes.temporary
  if (state.phase === 'content' && lmtp) return judgeBroken(state, what[trouble], exit)
  const early = state.phase === 'greeting' || state.phase === 'ehlo'
  const doubt = state.phase === 'content' ? '; it may have been accepted all the same' : ''
  return { exit, lines: [`${what[trouble]} (${state.phase})${doubt}`], again: early && trouble === 'lost' }
}

function startQuestions(job: Job, authors: readonly string[], reply: SmtpReply): Step {
  const offers = readOffers(reply)
  if (!offers.has('XWHY'))
    return done({ exit: exitCodes.unavailable, lines: ['the server does not say why'], again: false })
  const questions = questionsOf({ ...job, authors }, offers)
  return {
    state: { phase: 'why', questions, failures: [] },
    effects: questions.map(({ command }) => ({ kind: 'write', line: command })),
  }
}

function onAnswer({ questions, failures }: State & { phase: 'why' }, reply: SmtpReply): Step {
  if (reply.code === 421) return refused(reply, 'the server is going away', false)
  const [question, ...left] = questions
  if (!question) return refused(reply, 'one answer too many', false)
  const { lines, failure } = explained(question, reply)
  const all = failure ? [...failures, failure] : failures
  const told = lines.map((line): Effect => ({ kind: 'tell', line }))
  if (left.length > 0) return { state: { phase: 'why', questions: left, failures: all }, effects: told }
  const gravest = all.find(({ code }) => code < 500) ?? all[0]
  const exit = gravest ? exitOfFailure(gravest) : exitCodes.ok
  return withEffects(told, done({ exit, lines: [], again: false }))
}

function startEnvelope(job: Job, reply: SmtpReply): Step {
  const offers = readOffers(reply)
  const limit = Number(offers.get('SIZE') ?? 0) || 0
  const to: Told = { ...addressedBy(job, offers), byName: mayTellName(job, offers) }
  const most = mostRecipients(offers)
  if (most !== null && countOf(to) > most) return asksForBatches(job, offers, most)
  const wrong = whyImpossible(job, to, offers, limit)
  if (wrong) return done({ exit: exitCodes.data, lines: [wrong], again: false })
  if (to.recipients.length === 0 && !to.byHeader)
    return done({ exit: exitCodes.usage, lines: ['no recipients are left'], again: false })
  // our agent never speaks to a provider in clear
  if (!job.lmtp && isBeyond(job.tlsDemand, offers.has('XTLS')))
    return done({ exit: exitCodes.unavailable, lines: ['the server takes no demand for TLS'], again: false })
  const commands = [
    mailCommand(job, to, offers),
    ...to.recipients.map((recipient) => rcptCommand(job, offers, recipient)),
  ]
  const pipelining = offers.has('PIPELINING')
  const sent = pipelining ? commands.length : 1
  return {
    state: { phase: 'envelope', to, commands, sent, answered: 0, pipelining, failures: [], limit },
    effects: commands.slice(0, sent).map((line) => ({ kind: 'write', line })),
  }
}

/** Of the header those count whom our own parser finds in it. */
function countOf({ recipients, named, byHeader }: Told): number {
  return byHeader ? new Set([...recipients, ...named]).size : recipients.length
}

/** One transaction cannot hold them: the shell goes on with several (`batches.ts`), of recipients that we know. */
function asksForBatches(job: Job, offers: Offers, most: number): Step {
  // as with the null sender our own parser decides
  const { recipients } = addressedBy({ ...job, sender: '' }, offers)
  return done({ exit: exitCodes.ok, lines: [], again: false, batches: { recipients, most } })
}

function onEnvelopeReply(job: Job, state: { phase: 'envelope' } & Envelope, reply: SmtpReply): Step {
  if (reply.code === 421) return refused(reply, 'the server is going away', false)
  if (state.answered === 0 && reply.code !== 250) return refused(reply, `sender <${job.sender}>`, true)
  const recipient = state.to.recipients[state.answered - 1] ?? ''
  const failed = Math.floor(reply.code / 100) !== 2
  const failures = failed ? [...state.failures, { recipient, reply }] : state.failures
  const answered = state.answered + 1
  const told: Effect[] =
    job.verify && state.answered > 0 && !failed
      ? [{ kind: 'tell', line: `<${recipient}>: ${replyLine(reply)}` }]
      : []
  if (answered === state.commands.length) return withEffects(told, endEnvelope(job, { ...state, failures }))
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

function endEnvelope(job: Job, { to, failures, limit }: Envelope): Step {
  const putOff = failures.some(({ reply }) => reply.code < 500)
  const nobody = failures.length === to.recipients.length && to.named.length === 0
  if (job.verify || putOff || nobody) return done(judge(failures, 0))
  return { state: { phase: 'data', to, failures, limit }, effects: [{ kind: 'write', line: 'DATA' }] }
}

function settled({ to, failures }: State & { phase: 'content' }, reply: SmtpReply): Step {
  const fates = [...(to.byHeader ? failedIn(reply) : []), ...refusedIn(reply)]
  const kind = Math.floor(reply.code / 100)
  // of a message that was put off as a whole only RCPTHDR tells who is the reason
  const telling = kind === 2 || fates.some((fate) => Math.floor(fate.reply.code / 100) === kind)
  if (!telling)
    return refused(reply, 'message', false, to.byHeader && nobodyNamed(reply) ? exitCodes.usage : null)
  const { exit, lines, again } = judge([...failures, ...fates], kind === 2 ? 1 : 0)
  return done({ exit, lines: to.byHeader ? [...lines, ...moreOf(reply)] : lines, again })
}

/** What the server answers when the header names nobody, or nobody is left of it. */
function nobodyNamed({ code, enhanced }: SmtpReply): boolean {
  return code === 554 && enhanced === '5.5.1'
}

function takenBy({ to, failures }: { to: Told; failures: readonly Failure[] }): string[] {
  return to.recipients.filter((recipient) => !failures.some((failure) => failure.recipient === recipient))
}

/** RFC 2033 section 4.2: one reply for each recipient that was taken, in their order. */
function settledOne(state: State & { phase: 'content' }, reply: SmtpReply): Step {
  const [recipient = '', ...awaited] = state.awaited
  const failed = Math.floor(reply.code / 100) !== 2
  const failures = failed ? [...state.failures, { recipient, reply }] : state.failures
  const delivered = state.delivered + (failed ? 0 : 1)
  return awaited.length === 0
    ? done(judge(failures, delivered))
    : { state: { ...state, failures, awaited, delivered }, effects: [] }
}

function refused(reply: SmtpReply, what: string, early: boolean, by: ExitCode | null = null): Step {
  const exit = by ?? exitOfFailure(reply)
  const again = early && exit === exitCodes.temporary
  return done({ exit, lines: [`${what}: ${replyLine(reply)}`], again })
}

function done(verdict: Verdict): Step {
  const quit: Effect = { kind: 'write', line: 'QUIT' }
  return { state: { phase: 'done' }, effects: [quit, { kind: 'verdict', verdict }] }
}
