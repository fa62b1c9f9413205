/**
 * The session's state machine: (setting, state, event, now) to (state, effects), without sockets, timers or a bus.
 *
 * Events that no longer matter (an answer that comes after the client is gone) change nothing. Every path ends in
 * a reply or a close. The shell must ask `mayTake` before it feeds a command: only RCPT runs while earlier RCPTs
 * wait for the resolver, and only so many.
 * Next: `commands.ts` for what each command does, `connection.ts` for the shell.
 */
import { formatId } from '../../shared/base/ids.ts'
import type { BadLine } from '../../shared/smtp/line-reader.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { address, MOST_OWED, proceed, withNamed } from './addressing.ts'
import { enter, giveUp, respond, verified } from './auth.ts'
import { commandFor, commands } from './commands.ts'
import { admitted, consulted } from './consultation.ts'
import { countErrors, gone, leave, leaveWhenIdle, tooLate } from './endings.ts'
import { greylisted } from './greylisting.ts'
import { commit, commitChanged, handOver } from './handover.ts'
import { eachFate } from './lmtp.ts'
import { withMaps } from './lookup.ts'
import { begin, screened } from './opening.ts'
import { accepted, chunkTaken, replies } from './replies.ts'
import { payOwed } from './screening.ts'
import type { Event, Moment, Phase, PhaseName, Setting, State, Step, Verdict } from './state.ts'
import { ended, finish, hangUp, lacksTls, move, say, stay } from './step.ts'
import type { TlsFacts } from './tls-facts.ts'
import { settle } from './transaction.ts'
import { withFates } from './verdict.ts'
import { answered, turned } from './vrfy.ts'
import { whyTo } from './why.ts'

/** @param tls what it has settled, where the connection began with it. */
export function openSession(tls: TlsFacts | null): State {
  return {
    phase: { at: 'connect' },
    secure: tls !== null,
    tls,
    login: null,
    standing: null,
    forwarded: null,
    errors: 0,
    transactions: 0,
    brakedUntil: 0,
    leaving: null,
  }
}

/** Whether a command line may be fed now; if not, after the next event. */
export function mayTake(setting: Setting, state: State, text: string): boolean {
  switch (state.phase.at) {
    case 'connect':
    case 'delay':
    case 'securing':
    case 'admit':
    case 'data':
    case 'chunk':
    case 'check':
    case 'address':
    case 'why':
    case 'commit':
    case 'verifying':
    case 'inquiry':
    case 'lookup':
      return false
    case 'auth':
    case 'start':
    case 'ready':
    case 'chunks':
    case 'closed':
      return true
    case 'mail': {
      const { owed, agreed } = state.phase.transaction
      if (owed.length === 0) return true
      // near the limit each answer counts, so that what is refused does not depend on timing
      if (owed.length >= MOST_OWED || agreed + owed.length >= setting.recipientLimit) return false
      return commands.get(verbOf(text))?.overlaps ?? false
    }
    default:
      return state.phase satisfies never
  }
}

/** Whether replies must leave before more input is looked at. */
export function endsGroup(text: string): boolean {
  return commands.get(verbOf(text))?.last ?? true
}

export function step(atFirst: Setting, before: State, event: Event, now: Moment): Step {
  if (before.phase.at === 'closed') return stay(before)
  const state = event.kind === 'opened' ? opened(atFirst, before) : before
  const setting = state.login?.setting ?? atFirst
  const next = setting.mapped
    ? withMaps(setting, state, event, now, decide)
    : decide(setting, state, event, now)
  const counted = NO_COMMANDS.has(event.kind) ? next : countErrors(setting, next)
  const { leaving } = counted.state
  return leaving ? leaveWhenIdle(counted, leaving) : counted
}

/** XCLIENT has brought a login, and since then it has become known what the client is called. */
function opened(setting: Setting, state: State): State {
  return state.login ? { ...state, login: enter(setting, state.login.user) } : state
}

/** A refusal after one of these is no error in a command. */
const NO_COMMANDS: ReadonlySet<Event['kind']> = new Set<Event['kind']>([
  'content',
  'chunk',
  'checked',
  'consulted',
  'admitted',
  'settled',
])

function decide(setting: Setting, state: State, event: Event, now: Moment): Step {
  switch (event.kind) {
    case 'line':
      return obey(setting, state, event.text, now)
    case 'resolved':
      return resolved(setting, state, event, now)
    case 'screened':
      return screened(setting, state, event.answer)
    case 'greylisted':
      return state.phase.at === 'mail' ? greylisted(setting, state, state.phase, event) : stay(state)
    case 'consulted':
      return state.phase.at === 'mail' ? consulted(setting, state, state.phase, event) : stay(state)
    case 'admitted':
      return state.phase.at === 'admit' ? admitted(state, state.phase, event.refusal) : stay(state)
    case 'content':
      return received(setting, state, event.verdict, now)
    case 'chunk':
      return chunkTold(state, event)
    case 'checked':
      return checked(setting, state, event)
    case 'looked-up':
      return stay(state)
    case 'turned':
      return state.phase.at === 'inquiry' ? turned(state, state.phase.back, event.recipients) : stay(state)
    case 'settled':
      return settled(state, event.answer)
    case 'bad-line':
      return complain(state, event.why)
    case 'opened':
    case 'unavailable':
    case 'delay-over':
    case 'early':
      return begin(setting, state, event)
    case 'secured':
      // RFC 3207 section 4.2: nothing that was said before counts
      return move({ ...state, secure: true, tls: event.tls, login: null }, { at: 'start' })
    case 'verified':
      return state.phase.at === 'verifying'
        ? verified(setting, state, state.phase, event.verdict)
        : stay(state)
    case 'timeout':
      return awaitsUs(state.phase) ? stay(state) : tooLate(state, event.limit)
    case 'drain':
      return leave(state, event.reply ?? replies.shuttingDown)
    case 'gone':
      return gone(state)
    default:
      return event satisfies never
  }
}

function verbOf(text: string): string {
  const space = text.indexOf(' ')
  return (space < 0 ? text : text.slice(0, space)).toUpperCase()
}

/** A web page that makes a browser post to a mail server. */
const HTTP = /^(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|TRACE|CONNECT|PATCH) .* HTTP\/\d/

function obey(setting: Setting, state: State, text: string, now: Moment): Step {
  if (state.phase.at === 'auth') return respond(setting, state, state.phase, text)
  const verb = verbOf(text)
  const command = commandFor(setting, verb)
  if (!command)
    return HTTP.test(text) ? hangUp(state, replies.notHttp) : stay(state, say(replies.unknownCommand))
  if (!command.beforeTls && lacksTls(setting, state)) return stay(state, say(replies.tlsFirst))
  const misplaced = command.when.includes(state.phase.at) ? null : outOfOrder(setting, state.phase.at)
  if (misplaced) return stay(state, say(misplaced))
  return command.run({ setting, state, now }, text.slice(verb.length).trim())
}

/** What a command is told that comes in phase `at` and may not. */
function outOfOrder({ kind }: Setting, at: PhaseName): SmtpReply {
  if (at === 'start') return kind === 'lmtp' ? replies.lhloFirst : replies.helloFirst
  if (at === 'chunks') return replies.chunksBegun
  return at === 'mail' ? replies.mailTwice : replies.mailFirst
}

const complaints: Readonly<Record<BadLine, SmtpReply>> = {
  'too-long': replies.lineTooLong,
  endless: replies.endlessLine,
  'bare-newline': replies.bareNewlineInCommand,
  control: replies.controlInCommand,
  'not-utf8': replies.notUtf8,
}

function complain(state: State, why: BadLine): Step {
  const reply = complaints[why]
  if (state.phase.at === 'auth' && reply.code !== 421)
    return giveUp(state, state.phase, why === 'too-long' ? replies.responseTooLong : reply)
  return reply.code === 421 ? hangUp(state, reply) : stay(state, say(reply))
}

type Resolved = Extract<Event, { kind: 'resolved' }>

function resolved(setting: Setting, state: State, { n, answer }: Resolved, now: Moment): Step {
  const { phase } = state
  if (phase.at === 'inquiry') return answered(state, phase.back, phase.asked, answer)
  if (phase.at === 'why') return whyTo({ setting, state, now }, phase, answer)
  if (phase.at !== 'mail' && phase.at !== 'address') return stay(state)
  const { sender } = phase.transaction
  const rights = { mayRelay: setting.mayRelay, isFull: now.isFull, sender }
  const transaction = settle(phase.transaction, n, answer, rights)
  if (phase.at === 'address') return proceed({ setting, state, now }, { ...phase, transaction })
  return payOwed(setting, state, phase, transaction)
}

const verdicts: Readonly<Record<Exclude<Verdict['kind'], 'whole'>, SmtpReply>> = {
  'bare-newline': replies.bareNewline,
  'too-large': replies.tooLarge,
  'long-header': replies.longHeader,
  'many-fields': replies.manyFields,
  'long-line': replies.longLine,
  'nul-in-header': replies.nulInHeader,
  'nul-in-body': replies.nulInBody,
  'eight-bit-header': replies.eightBitHeader,
  'author-refused': replies.authorDenied,
  looping: replies.looping,
  'queue-lost': replies.queueLost,
}

/** RFC 3030 section 4.2: once a chunk is refused nothing but the end of the transaction is left. */
function chunkTold(state: State, { octets, doom }: Extract<Event, { kind: 'chunk' }>): Step {
  const { phase } = state
  if (phase.at !== 'chunk') return stay(state)
  const { hello, transaction } = phase
  const refused = doom === null ? null : verdicts[doom]
  const next: Phase = { at: 'chunks', hello, transaction, refused }
  if (!refused) return move(state, next, say(chunkTaken(octets)))
  return move(state, next, say(refused), { kind: 'drop' }, ended(transaction, refused))
}

function received(setting: Setting, state: State, verdict: Verdict, now: Moment): Step {
  const { phase } = state
  if (phase.at !== 'data' && phase.at !== 'chunk') return stay(state)
  if (verdict.kind !== 'whole') return finish(state, phase, verdicts[verdict.kind])
  if (phase.transaction.asksHeader && verdict.named)
    return address({ setting, state, now }, phase, verdict.size, verdict.named)
  return handOver(setting, state, { ...phase, size: verdict.size, fates: [] })
}

function checked(
  setting: Setting,
  state: State,
  { refusal, hold, change, grown = 0 }: Extract<Event, { kind: 'checked' }>,
): Step {
  const { phase } = state
  if (phase.at !== 'check') return stay(state)
  if (refusal) return finish(state, phase, refusal)
  const transaction = hold ? { ...phase.transaction, hold } : phase.transaction
  const size = (change ?? phase).size + grown
  const whole = { ...phase, transaction, size }
  return change ? commitChanged(setting, state, whole, { ...change, size }) : commit(setting, state, whole)
}

function settled(state: State, answer: Extract<Event, { kind: 'settled' }>['answer']): Step {
  const { phase } = state
  if (phase.at !== 'commit') return stay(state)
  if (answer === null) return finish(state, phase, replies.queueLost)
  const plain = answer.kind === 'accepted' ? accepted(formatId('T', phase.transaction.id)) : answer.reply
  const braked = answer.brake === undefined ? state : { ...state, brakedUntil: answer.brake }
  const { transaction } = phase
  if (transaction.stands) return finish(braked, phase, plain, eachFate(transaction, plain, answer.fates))
  const attempted = answer.fates ? withFates(plain, answer.fates) : plain
  // with verdicts of the first attempt, those who were refused before it are named beside them
  const named = answer.kind === 'accepted' || answer.fates !== undefined
  const reply = named ? withNamed(attempted, phase.fates, !answer.fates) : attempted
  return finish(braked, phase, reply)
}

/** The client waits for our reply, so silence is not its fault; the bus has deadlines of its own. */
export function awaitsUs(phase: Phase): boolean {
  if (phase.at === 'mail') return phase.transaction.owed.length > 0
  return [
    'connect',
    'delay',
    'admit',
    'address',
    'why',
    'check',
    'commit',
    'verifying',
    'inquiry',
    'lookup',
  ].includes(phase.at)
}
