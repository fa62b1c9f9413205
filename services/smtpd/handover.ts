/**
 * The last steps of a transaction whose content and recipients are all known: its signatures are looked into where
 * they are demanded, filters look at it where there are any, it is signed where it is one of our own, then it is
 * submitted. Pure.
 */
import { formatId } from '../../shared/base/ids.ts'
import { tagHeaders } from './access.ts'
import { revise } from './consultation.ts'
import { accepted } from './replies.ts'
import type { Change, Hello, NamedFate, Phase, Setting, State, Step, Transaction } from './state.ts'
import { finish, move } from './step.ts'
import { makeEnvelope } from './transaction.ts'
import { waitFor } from './verdict.ts'

/** A message that is whole. */
interface Whole {
  hello: Hello
  transaction: Transaction
  size: number
  /** Of recipients that the header names. */
  fates: readonly NamedFate[]
}

/** Who may relay is one of ours, whose mail comes from anywhere. */
export function isAuthenticated({ authenticate, mayRelay }: Setting): boolean {
  return authenticate && !mayRelay
}

/** What is from elsewhere is not ours to answer for. */
export function isSigned({ signs, mayRelay }: Setting): boolean {
  return mayRelay && signs.length > 0
}

function isLookedAt(setting: Setting, { signed }: Transaction): boolean {
  return signed || isAuthenticated(setting) || setting.filtered || isSigned(setting)
}

export function handOver(setting: Setting, state: State, whole: Whole): Step {
  const { hello, transaction, size, fates } = whole
  // rules have discarded it for everybody
  if (transaction.agreed > 0 && transaction.recipients.length === 0) return swallow(state, whole)
  if (!isLookedAt(setting, transaction)) return commit(setting, state, whole)
  const phase: Phase = { at: 'check', hello, transaction, size, fates }
  return move(state, phase, { kind: 'check', transaction })
}

/** With what filters have made of it. Where they leave nobody to send it to, or want that, it ends here. */
export function commitChanged(
  setting: Setting,
  state: State,
  phase: Extract<Phase, { at: 'check' }>,
  { size, revision }: Change,
): Step {
  const transaction = revise(phase.transaction, revision)
  if (!revision.discard && transaction.recipients.length > 0)
    return commit(setting, state, { ...phase, transaction, size })
  return swallow(state, { ...phase, transaction })
}

function swallow(state: State, { hello, transaction }: Whole): Step {
  const reply = accepted(formatId('T', transaction.id))
  const phase: Phase = { at: 'data', hello, transaction }
  const next = finish(state, phase, reply)
  const told = next.effects.map((one) => (one.kind === 'ended' ? { ...one, discarded: true } : one))
  return { state: next.state, effects: [{ kind: 'drop' }, ...told] }
}

export function commit(setting: Setting, state: State, { hello, transaction, size, fates }: Whole): Step {
  const front = transaction.asksHeader ? tagHeaders(transaction) : ''
  const envelope = makeEnvelope(setting, hello, transaction, size + Buffer.byteLength(front))
  const phase: Phase = { at: 'commit', hello, transaction, fates }
  return move(state, phase, { kind: 'submit', envelope, front, ...waitFor(transaction) })
}
