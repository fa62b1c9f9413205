/**
 * The ways a session goes on: each makes the next state and what is to be done about it. `move` is the only
 * place where a phase changes; the shell traces `old -> new`.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { forEach } from './lmtp.ts'
import type { Effect, Phase, Setting, State, Step, Transaction } from './state.ts'

export function move(state: State, phase: Phase, ...effects: Effect[]): Step {
  return { state: { ...state, phase }, effects }
}

export function stay(state: State, ...effects: Effect[]): Step {
  return { state, effects }
}

export function say(reply: SmtpReply): Effect {
  return { kind: 'reply', reply }
}

const CLOSE: Effect = { kind: 'close' }
const CLOSED: Phase = { at: 'closed' }

/** The last word, if any, and the end. */
export function hangUp(state: State, reply?: SmtpReply): Step {
  return reply ? move(state, CLOSED, say(reply), CLOSE) : move(state, CLOSED, CLOSE)
}

/** The listener demands TLS, and there is none yet. */
export function lacksTls({ starttls }: Setting, state: State): boolean {
  return !state.secure && (starttls === 'required' || starttls === 'broken')
}

/** The transaction is over, with this reply to the end of its content. */
export function finish(
  state: State,
  phase: Extract<Phase, { at: 'admit' | 'data' | 'chunk' | 'address' | 'check' | 'commit' }>,
  reply: SmtpReply,
  said = forEach(phase.transaction, reply),
): Step {
  return move(state, { at: 'ready', hello: phase.hello }, ...said.map(say), ended(phase.transaction, reply))
}

export function ended(transaction: Transaction, reply: SmtpReply): Effect {
  return { kind: 'ended', transaction, reply }
}
