/**
 * One DKIM-Signature field, read and judged for form (RFC 6376 section 3.5, RFC 8463 section 3): pure.
 *
 * What is malformed, of another version, or by an algorithm that nobody should use any more (RFC 8301: SHA-1) is
 * null: such a signature counts as if it were not there.
 */
import type { Canonicalization } from '../../../shared/dkim/body-hash.ts'
import { fieldValue, type HeaderField } from '../../../shared/dkim/fields.ts'
import { parseDomain } from '../../../shared/smtp/address.ts'
import { readTags, withoutSpace } from './tags.ts'

export interface Signature {
  field: HeaderField
  algorithm: 'rsa-sha256' | 'ed25519-sha256'
  header: Canonicalization
  body: Canonicalization
  /** In A-labels, lower case. */
  domain: string
  selector: string
  /** Lower case, in order, repeated as often as signed. */
  names: string[]
  /** `l=`: octets of the body that are signed; null: all. */
  length: number | null
  /** `t=` and `x=`: seconds since 1970. */
  signedAt: number | null
  expires: number | null
  /** The domain of `i=`, which is `domain` or below it. */
  identity: string
  bodyHash: Buffer
  signature: Buffer
}

export const SELECTOR = /^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*$/
const NUMBER = /^[0-9]{1,15}$/
export const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/
const MOST_NAMES = 200

export function readSignature(field: HeaderField): Signature | null {
  const tags = readTags(fieldValue(field))
  return tags?.get('v') === '1' ? readParts(field, tags, tags.get('i')) : null
}

/** RFC 8617 section 4.1.2: an ARC-Message-Signature has no version, and its `i=` is a number. */
export function readArcSignature(field: HeaderField): Signature | null {
  const tags = readTags(fieldValue(field))
  return tags && !tags.has('v') ? readParts(field, tags, undefined) : null
}

function readParts(
  field: HeaderField,
  tags: ReadonlyMap<string, string>,
  named: string | undefined,
): Signature | null {
  const algorithm = tags.get('a')
  if (algorithm !== 'rsa-sha256' && algorithm !== 'ed25519-sha256') return null
  const queries = (tags.get('q') ?? 'dns/txt').split(':').map((query) => query.trim())
  if (!queries.includes('dns/txt')) return null
  const canonical = readCanonical(tags.get('c') ?? 'simple')
  const where = readDomains(tags, named)
  const numbers = readNumbers(tags)
  const names = readNames(tags.get('h') ?? '')
  const bodyHash = readBase64(tags.get('bh'))
  const signature = readBase64(tags.get('b'))
  if (!canonical || !where || !numbers || !names || !bodyHash || !signature) return null
  return { field, algorithm, ...canonical, ...where, names, ...numbers, bodyHash, signature }
}

function readCanonical(text: string): Pick<Signature, 'header' | 'body'> | null {
  const [header = '', body = 'simple', more] = text.split('/')
  if (!isCanonicalization(header) || !isCanonicalization(body) || more !== undefined) return null
  return { header, body }
}

function isCanonicalization(text: string): text is Canonicalization {
  return text === 'simple' || text === 'relaxed'
}

function readDomains(
  tags: ReadonlyMap<string, string>,
  named: string | undefined,
): Pick<Signature, 'domain' | 'selector' | 'identity'> | null {
  const domain = parseDomain(withoutSpace(tags.get('d') ?? ''))
  const selector = withoutSpace(tags.get('s') ?? '').toLowerCase()
  if (domain === null || domain.startsWith('[') || !SELECTOR.test(selector)) return null
  const identity = named === undefined ? domain : parseDomain(named.slice(named.lastIndexOf('@') + 1))
  if (identity === null || !isWithin(identity, domain)) return null
  return { domain, selector, identity }
}

/** The same domain, or one below it. */
export function isWithin(domain: string, parent: string): boolean {
  return domain === parent || domain.endsWith(`.${parent}`)
}

function readNumbers(
  tags: ReadonlyMap<string, string>,
): Pick<Signature, 'length' | 'signedAt' | 'expires'> | null {
  const [length, signedAt, expires] = ['l', 't', 'x'].map((tag) => readNumber(tags.get(tag)))
  if (length === undefined || signedAt === undefined || expires === undefined) return null
  if (signedAt !== null && expires !== null && expires <= signedAt) return null
  return { length, signedAt, expires }
}

/** Null when it is not there, undefined when it is no number. */
function readNumber(text: string | undefined): number | null | undefined {
  if (text === undefined) return null
  return NUMBER.test(text) ? Number(text) : undefined
}

/** RFC 6376 section 5.4: From must be among them. */
function readNames(text: string): string[] | null {
  const names = withoutSpace(text).toLowerCase().split(':')
  return names.length <= MOST_NAMES && names.includes('from') ? names : null
}

function readBase64(text: string | undefined): Buffer | null {
  const plain = withoutSpace(text ?? '')
  return BASE64.test(plain) ? Buffer.from(plain, 'base64') : null
}
