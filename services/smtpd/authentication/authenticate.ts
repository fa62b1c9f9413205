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
import { verifyArc } from './arc.ts'
import { judgeDmarc } from './dmarc.ts'
import { type DkimResult, type DkimVerdict, type Results, render } from './results.ts'
import type { Tally } from './tally.ts'
import { type Claims, identityOf, type Origin, type SignatureClaim, verdictOf } from './watch.ts'

export interface Questions {
  askText: AskText
  senderPolicy(
    question: Payload<'sender-policy'>,
    answered: (answer: Answer<'sender-policy'> | null) => void,
  ): void
  readonly tally: Pick<Tally, 'count' | 'isOn'>
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
  /** By so many octets, of a signature. */
  grown?: number
}

/** @param forged what the zones want, beyond which the author's domain is not gone. */
export function fateOfForged(
  { dmarc: { result, policy }, arc, spf }: Pick<Results, 'dmarc' | 'arc' | 'spf'>,
  forged: Forged,
): Pick<Checked, 'refusal' | 'hold'> {
  const isFine = result !== 'fail' || policy === 'none' || arc?.trusted === true
  if (isFine || forged === 'tag') return { refusal: null, hold: false }
  const refused = forged === 'reject' && policy === 'reject'
  return { refusal: refused ? explained(replies.forged, spf) : null, hold: !refused }
}

const LONGEST_EXPLANATION = 200

/** RFC 7208 section 6.2: what the domain has to say of SPF's fail, and that it is the domain who says it. */
function explained(reply: SmtpReply, { result, value, explanation }: Results['spf']): SmtpReply {
  const plain = (explanation ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, LONGEST_EXPLANATION)
  if (result !== 'fail' || plain === '') return reply
  return { ...reply, text: `${reply.text}; ${value} explains: ${plain}` }
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
  const beliefs = { sealers: origin.sealers, from: claims.from }
  const [spf, arc, ...dkim] = await Promise.all([
    senderPolicy(origin, questions),
    claims.arc && verifyArc(claims.arc, beliefs, text),
    ...claims.signatures.map((claim) => verify(claim, text)),
  ])
  const results: Results = {
    spf,
    dkim,
    dmarc: await alignment(claims, spf, dkim, text, questions.tally.isOn),
    arc,
  }
  return { field: render(origin.hostname, results), results }
}

async function senderPolicy(origin: Origin, questions: Questions): Promise<Results['spf']> {
  const { client, helo, sender } = origin
  const answer = await new Promise<Answer<'sender-policy'> | null>((told) =>
    questions.senderPolicy({ client, helo, sender }, told),
  )
  const { result = 'temperror', explanation } = answer ?? {}
  return { ...identityOf(origin), result, ...(explanation !== undefined && { explanation }) }
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
  forReport: boolean,
): Promise<Results['dmarc']> {
  if (from === null) return { result: 'permerror', policy: 'none', from: '' }
  const passed = dkim.filter(({ result }) => result === 'pass').map(({ domain }) => domain)
  const machine = judgeDmarc({ from, spf: spf.result === 'pass' ? spf.value : null, dkim: passed, forReport })
  let step = machine.next()
  while (!step.done) {
    const answer = await text(step.value)
    const said = answer === null || answer.kind === 'later' ? null : answer
    step = machine.next(said?.absent ? 'absent' : (said?.texts ?? null))
  }
  const { result, policy, published } = step.value
  // what DNS has kept from us may have been the proof
  const unsure = [spf.result, ...dkim.map((one) => one.result)].includes('temperror')
  const sure = result === 'fail' && unsure ? 'temperror' : result
  return { result: sure, policy, from, ...(published && { published }) }
}
