/**
 * Greylisting in a session (RFC 6647): a recipient for whom all else speaks is asked about, and its reply waits for
 * the answer. Pure; the resolver decides and remembers.
 *
 * Nobody is asked about for `postmaster`, nor where an access rule says that the mail is welcome, nor again in this
 * session once its whole network is known. No answer: it passes.
 */
import { isBeyondDoubt } from './access.ts'
import { replies, withReason } from './replies.ts'
import { isPostmaster, payOwed } from './screening.ts'
import type {
  AskedRecipient,
  Effect,
  Event,
  Owed,
  Phase,
  Setting,
  State,
  Step,
  Transaction,
} from './state.ts'
import { refusal } from './transaction.ts'

type AtMail = Extract<Phase, { at: 'mail' }>

/** Whether mail of this client to this address must have come before. */
export function mustHaveCome(
  { screening }: Setting,
  { standing }: State,
  { address, ruling }: AskedRecipient,
): boolean {
  if (!screening || !standing || standing === 'asked' || !standing.greylist) return false
  return !isBeyondDoubt(ruling) && !isPostmaster(address)
}

/** Questions about those that are taken but for this. */
export function askWhetherKnown(
  transaction: Transaction,
  setting: Setting,
  state: State,
): { transaction: Transaction; effects: Effect[] } {
  const effects: Effect[] = []
  const owed = transaction.owed.map((one): Owed => {
    if (one.greylist || one.fate?.reply.code !== 250 || !mustHaveCome(setting, state, one)) return one
    effects.push({ kind: 'greylist', n: one.n, sender: transaction.sender, recipient: one.address })
    return { ...one, greylist: 'asked' }
  })
  return effects.length > 0 ? { transaction: { ...transaction, owed }, effects } : { transaction, effects }
}

export function greylisted(
  setting: Setting,
  state: State,
  phase: AtMail,
  { n, answer }: Extract<Event, { kind: 'greylisted' }>,
): Step {
  const wait = answer?.wait ?? 0
  const owed = phase.transaction.owed.map((one): Owed => {
    if (one.n !== n || one.greylist !== 'asked') return one
    const later = refusal(withReason(replies.greylisted, `${wait} s`))
    return { ...one, greylist: 'over', ...(wait > 0 && { fate: later }) }
  })
  const { standing } = state
  const known =
    answer?.known && standing && standing !== 'asked' ? { ...standing, greylist: false } : standing
  return payOwed(setting, { ...state, standing: known }, phase, { ...phase.transaction, owed })
}
