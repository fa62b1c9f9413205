/**
 * The last word on who a message is from, when DNS has spoken: SPF from the resolver, keys and policies from TXT
 * records, all asked for at once and DMARC behind them. The little shell around pure parts; never rejects.
 *
 * DNS trouble and a resolver that is away come out as temperror and refuse nothing.
 */
import type { Answer, Payload } from '../../../shared/bus/messages.ts'
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { replies } from '../replies.ts'
import type { AskText, Texts } from '../signature/judge.ts'
import { isSignedBy, readKey } from '../signature/key.ts'
import type { Change, Forged } from '../state.ts'
import { judgeDmarc } from './dmarc.ts'
import { type DkimResult, type DkimVerdict, type Results, render } from './results.ts'
import { type Claims, identityOf, type Origin, type SignatureClaim, verdictOf } from './watch.ts'

export interface Questions {
  askText: AskText
  senderPolicy(
    question: Payload<'sender-policy'>,
    answered: (answer: Answer<'sender-policy'> | null) => void,
  ): void
}

/** What the session is told when a message's sender has been looked into. */
export interface Checked {
  refusal: SmtpReply | null
  /** It is taken, and waits for an administrator. */
  hold: boolean
  /** Null: nobody wanted to know. */
  results: Results | null
  /** What filters have made of it. */
  change?: Change
}

/** @param forged what the zones want, beyond which the author's domain is not gone. */
export function fateOfForged(
  { result, policy }: Results['dmarc'],
  forged: Forged,
): Pick<Checked, 'refusal' | 'hold'> {
  if (result !== 'fail' || policy === 'none' || forged === 'tag') return { refusal: null, hold: false }
  const refused = forged === 'reject' && policy === 'reject'
  return { refusal: refused ? replies.forged : null, hold: !refused }
}

export interface Authentication {
  /** As long as what was reserved for it. */
  field: string
  results: Results
}

export async function authenticate(
  origin: Origin,
  claims: Claims,
  questions: Questions,
): Promise<Authentication> {
  const text = (name: string) => new Promise<Texts>((told) => questions.askText(name, told))
  const [spf, ...dkim] = await Promise.all([
    senderPolicy(origin, questions),
    ...claims.signatures.map((claim) => verify(claim, text)),
  ])
  const results: Results = { spf, dkim, dmarc: await alignment(claims, spf, dkim, text) }
  return { field: render(origin.hostname, results), results }
}

async function senderPolicy(origin: Origin, questions: Questions): Promise<Results['spf']> {
  const { client, helo, sender } = origin
  const answer = await new Promise<Answer<'sender-policy'> | null>((told) =>
    questions.senderPolicy({ client, helo, sender }, told),
  )
  return { ...identityOf(origin), result: answer?.result ?? 'temperror' }
}

type AskFor = (name: string) => Promise<Texts>

async function verify({ data, signature, state }: SignatureClaim, text: AskFor): Promise<DkimVerdict> {
  if (state !== null) return verdictOf(signature, state)
  const answer = await text(`${signature.selector}._domainkey.${signature.domain}`)
  if (answer === null || answer.kind === 'later') return verdictOf(signature, 'temperror')
  const keys = answer.texts.flatMap((record) => readKey(record, signature) ?? [])
  // RFC 6376 section 6.1.2: no key is a permanent failure
  const result: DkimResult = keys.length === 0 ? 'permerror' : 'fail'
  return verdictOf(signature, keys.some((key) => isSignedBy(key, signature, data)) ? 'pass' : result)
}

async function alignment(
  { from }: Claims,
  spf: Results['spf'],
  dkim: readonly DkimVerdict[],
  text: AskFor,
): Promise<Results['dmarc']> {
  if (from === null) return { result: 'permerror', policy: 'none', from: '' }
  const passed = dkim.filter(({ result }) => result === 'pass').map(({ domain }) => domain)
  const machine = judgeDmarc({ from, spf: spf.result === 'pass' ? spf.value : null, dkim: passed })
  let step = machine.next()
  while (!step.done) {
    const answer = await text(step.value)
    step = machine.next(answer === null || answer.kind === 'later' ? null : answer.texts)
  }
  const { result, policy } = step.value
  // what DNS has kept from us may have been the proof
  const unsure = [spf.result, ...dkim.map((one) => one.result)].includes('temperror')
  return { result: result === 'fail' && unsure ? 'temperror' : result, policy, from }
}
