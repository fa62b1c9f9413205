/**
 * ARC (RFC 8617): what servers that passed a message on have found out about it, each set of fields sealed with those
 * before it. Pure but for the keys, which `verifyArc` asks for.
 *
 * A chain is whole when each set from 1 on has its three fields once and none says that it was broken already; it
 * passes when the newest message signature and every seal verify (section 5.2). Older message signatures are not
 * looked at: what a list changes breaks them. Limits: MOST_SETS sets; more than that is `fail`.
 */
import { canonicalField, fieldValue, type HeaderField, signedHeader } from '../../../shared/dkim/fields.ts'
import { parseDomain } from '../../../shared/smtp/address.ts'
import type { Texts } from '../signature/judge.ts'
import { isSignedBy, readKey, type Signed } from '../signature/key.ts'
import { BASE64, readArcSignature, SELECTOR, type Signature } from '../signature/signature.ts'
import { readTags, withoutSpace } from '../signature/tags.ts'
import { passesDmarc } from './arc-results.ts'

export type ArcResult = 'none' | 'pass' | 'fail' | 'temperror'

export interface ArcVerdict {
  result: ArcResult
  /** Sets of the chain. */
  sets: number
  /** Who made the newest one; '' where nobody can be named. */
  sealer: string
  /** Servers that are believed say that DMARC had passed when they got it. */
  trusted: boolean
}

interface Seal extends Signed {
  field: HeaderField
  cv: string
}

interface ArcSet {
  results: HeaderField
  message: HeaderField
  seal: Seal
}

export interface Chain {
  sets: number
  sealer: string
  /** Null where it cannot be valid. */
  whole: { sets: readonly ArcSet[]; newest: Signature } | null
}

const MOST_SETS = 50
const NAMES = ['arc-authentication-results', 'arc-message-signature', 'arc-seal'] as const

/** Null: there is none. */
export function readChain(fields: readonly HeaderField[]): Chain | null {
  const mine = fields.filter(({ name }) => (NAMES as readonly string[]).includes(name))
  if (mine.length === 0) return null
  const count = Math.ceil(mine.length / NAMES.length)
  const broken = (sealer = ''): Chain => ({ sets: Math.min(count, MOST_SETS), sealer, whole: null })
  if (mine.length !== count * NAMES.length || count > MOST_SETS) return broken()
  const sets = Array.from({ length: count }, (_, n) => readSet(mine, n + 1)).flatMap((set) => set ?? [])
  const last = sets.at(-1)
  if (!last || sets.length !== count) return broken()
  const newest = readArcSignature(last.message)
  // a seal names no fields, and is none of those that a message signature names
  if (!newest || newest.names.includes('arc-seal')) return broken(last.seal.domain)
  return { sets: count, sealer: last.seal.domain, whole: { sets, newest } }
}

function readSet(fields: readonly HeaderField[], instance: number): ArcSet | null {
  const [results, message, seals] = NAMES.map((name) =>
    fields.filter((field) => field.name === name && instanceOf(field) === instance),
  )
  const [result, signature, sealField] = [results?.[0], message?.[0], seals?.[0]]
  if (!result || !signature || !sealField) return null
  const seal = readSeal(sealField)
  return seal?.cv === (instance === 1 ? 'none' : 'pass')
    ? { results: result, message: signature, seal }
    : null
}

function instanceOf(field: HeaderField): number | null {
  const value = fieldValue(field)
  const found =
    field.name === 'arc-authentication-results'
      ? /^i[ \t]*=[ \t]*(\d{1,2})[ \t]*;/.exec(value)?.[1]
      : readTags(value)?.get('i')
  return found !== undefined && /^\d{1,2}$/.test(found) ? Number(found) : null
}

function readSeal(field: HeaderField): Seal | null {
  const tags = readTags(fieldValue(field))
  const algorithm = tags?.get('a')
  if (!tags || tags.has('h') || (algorithm !== 'rsa-sha256' && algorithm !== 'ed25519-sha256')) return null
  const domain = parseDomain(withoutSpace(tags.get('d') ?? ''))
  const selector = withoutSpace(tags.get('s') ?? '').toLowerCase()
  const signature = withoutSpace(tags.get('b') ?? '')
  if (domain === null || domain.startsWith('[') || !SELECTOR.test(selector) || !BASE64.test(signature))
    return null
  const cv = (tags.get('cv') ?? '').toLowerCase()
  return {
    field,
    cv,
    algorithm,
    domain,
    selector,
    identity: domain,
    signature: Buffer.from(signature, 'base64'),
  }
}

/** What one signature of the chain is over. */
interface Proof {
  signed: Signed
  data: Buffer
}

/** A chain with a message that is all here. */
export interface ArcClaim {
  sets: number
  sealer: string
  /** The newest message signature and then the seals, newest first; null: it is broken already. */
  proofs: readonly Proof[] | null
  /** Who says what, newest first. */
  words: readonly { sealer: string; results: HeaderField }[]
}

/** @param intact the body is the one that the newest message signature is for. */
export function claimOf(
  { sets, sealer, whole }: Chain,
  fields: readonly HeaderField[],
  intact: boolean,
): ArcClaim {
  if (!whole || !intact) return { sets, sealer, proofs: null, words: [] }
  const { names, field, header } = whole.newest
  const message = { signed: whole.newest, data: signedHeader(fields, names, field, header) }
  const words = whole.sets.map(({ seal, results }) => ({ sealer: seal.domain, results })).reverse()
  return { sets, sealer, proofs: [message, ...sealed(whole.sets).reverse()], words }
}

/** Section 5.1.1: a seal is over all sets up to its own, relaxed, and itself with nothing in its `b=`. */
function sealed(sets: readonly ArcSet[]): Proof[] {
  let before = ''
  return sets.map(({ results, message, seal }) => {
    const own = before + canonicalField(results, 'relaxed') + canonicalField(message, 'relaxed')
    before = own + canonicalField(seal.field, 'relaxed')
    const last = signedHeader([], [], seal.field, 'relaxed')
    return { signed: seal, data: Buffer.concat([Buffer.from(own, 'latin1'), last]) }
  })
}

export interface Beliefs {
  /** Domains of servers whose word counts, lower case. */
  sealers: readonly string[]
  /** The author's domain; null where there is not exactly one. */
  from: string | null
}

export async function verifyArc(
  { sets, sealer, proofs, words }: ArcClaim,
  beliefs: Beliefs,
  text: (name: string) => Promise<Texts>,
): Promise<ArcVerdict> {
  const verdict = (result: ArcResult, trusted = false): ArcVerdict => ({ result, sets, sealer, trusted })
  const [message, ...seals] = proofs ?? []
  if (!message) return verdict('fail')
  // who has forged a chain costs one question
  const first = await holds(message, text)
  if (first !== 'pass') return verdict(first)
  const asked = new Map<string, Promise<Texts>>()
  const once = (name: string) => {
    const known = asked.get(name) ?? text(name)
    asked.set(name, known)
    return known
  }
  const found = await Promise.all(seals.map((seal) => holds(seal, once)))
  if (found.includes('fail')) return verdict('fail')
  if (found.includes('temperror')) return verdict('temperror')
  return verdict('pass', isBelieved(words, beliefs))
}

async function holds(
  { signed, data }: Proof,
  text: (name: string) => Promise<Texts>,
): Promise<'pass' | 'fail' | 'temperror'> {
  const answer = await text(`${signed.selector}._domainkey.${signed.domain}`)
  if (answer === null || answer.kind === 'later') return 'temperror'
  const keys = answer.texts.flatMap((record) => readKey(record, signed) ?? [])
  return keys.some((key) => isSignedBy(key, signed, data)) ? 'pass' : 'fail'
}

/** From the newest set down, as long as we believe who made it. */
function isBelieved(words: ArcClaim['words'], { sealers, from }: Beliefs): boolean {
  if (from === null) return false
  const doubted = words.findIndex(({ sealer }) => !sealers.includes(sealer))
  const believed = doubted < 0 ? words : words.slice(0, doubted)
  return believed.some(({ results }) => passesDmarc(fieldValue(results), from))
}
