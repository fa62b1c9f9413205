/**
 * How a session ends other than by QUIT: the client takes too long, makes too many mistakes or is gone, or this
 * process leaves. And how mistakes are counted, and paid for with time. Pure.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { Limit } from './patience.ts'
import { replies } from './replies.ts'
import type { Effect, Phase, Setting, State, Step } from './state.ts'
import { ended, hangUp, move, say, stay } from './step.ts'

const tooSlow: Readonly<Record<Exclude<Limit, 'handshake'>, SmtpReply>> = {
  hello: replies.helloTooLate,
  login: replies.loginTooLong,
  envelope: replies.envelopeTooLong,
  content: replies.contentTooSlow,
  command: replies.idleTooLong,
  session: replies.sessionTooLong,
}

export function tooLate(state: State, limit: Exclude<Limit, 'handshake'>): Step {
  const reply = tooSlow[limit]
  if (limit === 'session') return leave(state, reply)
  return move(state, { at: 'closed' }, say(reply), ...lost(state.phase, reply), { kind: 'close' })
}

/** A transaction in hand is finished first. */
export function leave(state: State, reply: SmtpReply): Step {
  const { at } = state.phase
  if (at === 'securing') return hangUp(state)
  if (at === 'connect' || at === 'delay') return hangUp(state, reply)
  return stay({ ...state, leaving: reply })
}

export function leaveWhenIdle(next: Step, reply: SmtpReply): Step {
  const { at } = next.state.phase
  if (at !== 'start' && at !== 'ready') return next
  const end = hangUp(next.state, reply)
  return { state: end.state, effects: [...next.effects, ...end.effects] }
}

const VANISHED: SmtpReply = { code: 0, enhanced: '', text: 'client vanished' }

export function gone(state: State): Step {
  const phase = state.phase.at === 'inquiry' ? state.phase.back : state.phase
  // qmgr may be committing it: what became of it is still to be told
  if (phase.at === 'commit') return stay(state)
  return move(state, { at: 'closed' }, ...lost(phase, VANISHED))
}

/** The transaction in hand, if there is one, comes to nothing. */
function lost(phase: Phase, reply: SmtpReply): Effect[] {
  const isOpen =
    phase.at === 'mail' ||
    phase.at === 'admit' ||
    phase.at === 'data' ||
    phase.at === 'chunk' ||
    phase.at === 'check' ||
    phase.at === 'address' ||
    (phase.at === 'chunks' && phase.refused === null)
  return isOpen ? [ended(phase.transaction, reply)] : []
}

/** What comes behind the error that is one too many is not said: it must not matter which replies leave together. */
export function countErrors(setting: Setting, next: Step): Step {
  let { errors } = next.state
  const last = next.effects.findIndex(
    (effect) => effect.kind === 'reply' && effect.reply.code >= 500 && ++errors >= setting.errorLimit,
  )
  if (errors === next.state.errors) return next
  const state = { ...next.state, errors }
  if (state.phase.at === 'closed') return { state, effects: next.effects }
  if (last < 0) return { state, effects: [...next.effects, ...tarpit(setting, errors)] }
  const end = hangUp(state, replies.tooManyErrors)
  return { state: end.state, effects: [...next.effects.slice(0, last + 1), ...end.effects] }
}

/** At the most, times `tarpit-delay`: RFC 5321 section 4.5.3.2 lets clients wait minutes for a reply. */
const MOST_DELAYS = 10

function tarpit({ tarpit: { after, delay } }: Setting, errors: number): Effect[] {
  const beyond = errors - after
  if (beyond <= 0 || delay === 0) return []
  return [{ kind: 'tarpit', milliseconds: delay * Math.min(beyond, MOST_DELAYS) }]
}
