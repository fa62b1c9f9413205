/**
 * What becomes of a client by its score: the resolver finds out (`screen`), the listener's `screening` section says
 * what is too much, and here is which. Pure.
 *
 * Asked before the greeting, or at the first RCPT; at RCPT once more when the client has said in EHLO who it is and
 * that counts. While the answer is awaited no RCPT is answered. `postmaster` takes mail from everyone (RFC 5321
 * section 4.5.1). A resolver that cannot be asked is nobody's bad sign.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { isBeyondDoubt } from './access.ts'
import { askFilters } from './consultation.ts'
import { askWhetherKnown } from './greylisting.ts'
import { replies, withReason } from './replies.ts'
import type { Effect, Hello, Phase, Screening, Setting, Standing, State, Step, Transaction } from './state.ts'
import { move } from './step.ts'
import { pay, refusal } from './transaction.ts'

type Sign = Answer<'screen'>['signs'][number]

export function standingOf(
  { deferScore, rejectScore, tagScore, greylistScore }: Screening,
  { score, signs }: Answer<'screen'>,
  helo: string | null,
): Standing {
  const reaches = (limit: number | null) => limit !== null && score >= limit
  const verdict = reaches(rejectScore) ? 'reject' : reaches(deferScore) ? 'defer' : 'go'
  return { helo, score, signs, verdict, tag: reaches(tagScore), greylist: reaches(greylistScore) }
}

/** Something is still to be asked before a RCPT can be answered. */
export function mustAsk({ screening }: Setting, { standing }: State, { name }: Hello): boolean {
  if (!screening || standing === 'asked') return false
  return standing === null || (screening.helo && standing.helo !== name)
}

const beforeGreeting = { reject: replies.clientUnwanted, defer: replies.clientUnwantedNow } as const
const atRecipient = { reject: replies.mailUnwanted, defer: replies.mailUnwantedNow } as const

/** Null: the client may go on. */
export function whyNoGreeting({ verdict, signs }: Standing): SmtpReply | null {
  return verdict === 'go' ? null : withReason(beforeGreeting[verdict], namesOf(signs))
}

/** Null: it may send to this address, as far as its score goes. */
export function whyNotTo(address: string, { screening }: Setting, { standing }: State): SmtpReply | null {
  if (!screening || !standing || standing === 'asked' || standing.verdict === 'go') return null
  return isPostmaster(address) ? null : withReason(atRecipient[standing.verdict], namesOf(standing.signs))
}

/** @param hello null: the client has not said who it is. */
export function askAbout({ screening }: Setting, heard: Hello | null): Effect {
  const helo = screening?.helo && heard ? heard.name : null
  return { kind: 'screen', screening: screening?.name ?? '', helo }
}

/** Nobody is answered while the client itself is being looked at. */
export function payOwed(
  setting: Setting,
  state: State,
  phase: Extract<Phase, { at: 'mail' }>,
  owing: Transaction,
): Step {
  if (state.standing === 'asked') return move(state, { ...phase, transaction: owing })
  const asked = askWhetherKnown(withStanding(owing, setting, state), setting, state)
  const shown = setting.filtered
    ? askFilters(asked.transaction, phase.hello)
    : { transaction: asked.transaction, effects: [] }
  const { transaction, effects } = pay(shown.transaction)
  return move(state, { ...phase, transaction }, ...asked.effects, ...shown.effects, ...effects)
}

function namesOf(signs: readonly Sign[]): string {
  return signs.flatMap(({ name, score }) => (score > 0 ? [name] : [])).join(', ')
}

export function isPostmaster(address: string): boolean {
  return /^postmaster(?:@|$)/i.test(address)
}

/** Recipients that would have been fine are not. */
function withStanding(transaction: Transaction, setting: Setting, state: State): Transaction {
  if (!state.standing || state.standing === 'asked' || state.standing.verdict === 'go') return transaction
  const owed = transaction.owed.map((one) => {
    const isOpen = one.fate?.reply.code === 250 && !isBeyondDoubt(one.ruling)
    const reply = isOpen ? whyNotTo(one.address, setting, state) : null
    return reply ? { ...one, fate: refusal(reply) } : one
  })
  return { ...transaction, owed }
}

/** The field that tells filters behind us; '' where there is nothing to tell. */
export function scoreHeader(
  { screening }: Pick<Setting, 'screening'>,
  { standing }: Pick<State, 'standing'>,
): string {
  if (!screening || !standing || standing === 'asked' || !standing.tag) return ''
  const signs = standing.signs.map(({ name, score }) => `${name} ${score}`)
  return `X-Posthorn-Score: ${standing.score}\r\n\t(${signs.join(',\r\n\t')})\r\n`
}
