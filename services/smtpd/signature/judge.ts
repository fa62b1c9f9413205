/**
 * The last word on a message's signatures, when the keys are known: which licence to send there is.
 *
 * `keysWanted` says what to ask DNS for, `judge` decides: pure. `verifySignatures` is the little shell around
 * them. DNS trouble is never the sender's fault: it comes out as `later`, unless the message is refused anyway.
 */
import type { Answer } from '../../../shared/bus/messages.ts'
import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import { replies } from '../replies.ts'
import { isSignedBy, readKey } from './key.ts'
import { isWithin } from './signature.ts'
import type { Candidate, Finding } from './watch.ts'

/** What DNS says of a name; null: the resolver could not be asked. */
export type Texts = Answer<'look-up-text'> | null

export function keyName({ signature }: Candidate): string {
  return `${signature.selector}._domainkey.${signature.domain}`
}

export function keysWanted(finding: Finding): string[] {
  if (finding.kind !== 'found') return []
  const good = finding.candidates.filter(({ state }) => state === 'good')
  return [...new Set(good.map(keyName))]
}

/** Null: it may be sent. */
export function judge(finding: Finding, texts: ReadonlyMap<string, Texts>): SmtpReply | null {
  if (finding.kind === 'unfit') return replies.signatureMissing
  const { candidates, domains } = finding
  const states = candidates.map((candidate) => ({ candidate, state: proofOf(candidate, texts) }))
  const fates = domains.map((domain) => {
    const own = states.filter(({ candidate }) => isWithin(domain, candidate.signature.domain))
    return replyFor(own.map(({ state }) => state))
  })
  return fates.find((reply) => reply && reply.code >= 500) ?? fates.find((reply) => reply) ?? null
}

type Proof = Candidate['state'] | 'unknown'

function replyFor(proofs: readonly Proof[]): SmtpReply | null {
  if (proofs.includes('good')) return null
  if (proofs.includes('unknown')) return replies.signatureUnknown
  if (proofs.includes('unfit')) return replies.signatureUnfit
  return proofs.length > 0 ? replies.signatureBroken : replies.signatureMissing
}

function proofOf(candidate: Candidate, texts: ReadonlyMap<string, Texts>): Proof {
  if (candidate.state !== 'good') return candidate.state
  const answer = texts.get(keyName(candidate)) ?? null
  if (answer === null || answer.kind === 'later') return 'unknown'
  // RFC 6376 section 3.6.2.2: with several records the first that is a key may be taken; we try each
  const proven = answer.texts.some((text) => {
    const key = readKey(text, candidate.signature)
    return key !== null && isSignedBy(key, candidate.signature, candidate.data)
  })
  return proven ? 'good' : 'broken'
}

export type AskText = (name: string, answered: (answer: Texts) => void) => void

/** Asks for all keys at once; with none to ask for it answers before it returns. */
export function verifySignatures(
  finding: Finding,
  ask: AskText,
  done: (reply: SmtpReply | null) => void,
): void {
  const texts = new Map<string, Texts>()
  const wanted = keysWanted(finding)
  if (wanted.length === 0) return done(judge(finding, texts))
  for (const name of wanted) {
    ask(name, (answer) => {
      texts.set(name, answer)
      if (texts.size === wanted.length) done(judge(finding, texts))
    })
  }
}
