/**
 * A signer's public key, from the TXT record at `selector._domainkey.domain` (RFC 6376 section 3.6.1, RFC 8463
 * section 4 for Ed25519), and whether it made a signature. Pure; what is no key that we may use is null.
 */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { Signature } from './signature.ts'
import { readTags, withoutSpace } from './tags.ts'

/** RFC 8301 section 3.2: shorter ones prove nothing. The upper bound is against keys made to cost us time. */
const LEAST_BITS = 1024
const MOST_BITS = 8192
const ED25519_OCTETS = 32

/** What a key is looked up and used for. */
export type Signed = Pick<Signature, 'algorithm' | 'domain' | 'selector' | 'identity' | 'signature'>

/** @param record its strings put together. */
export function readKey(record: string, signature: Signed): KeyObject | null {
  const tags = readTags(record)
  if (!tags || (tags.get('v') ?? 'DKIM1') !== 'DKIM1') return null
  const listed = (tag: string, usual: string) => (tags.get(tag) ?? usual).split(':').map((one) => one.trim())
  if (!listed('h', 'sha256').includes('sha256')) return null
  if (!listed('s', '*').some((service) => service === '*' || service === 'email')) return null
  // the identity must be the domain itself, nothing below it
  if (listed('t', '').includes('s') && signature.identity !== signature.domain) return null
  const kind = tags.get('k') ?? 'rsa'
  const octets = Buffer.from(withoutSpace(tags.get('p') ?? ''), 'base64')
  // an empty key is one that was withdrawn
  if (octets.length === 0 || !signature.algorithm.startsWith(`${kind}-`)) return null
  return kind === 'rsa' ? readRsa(octets) : readEd25519(octets)
}

/** As everybody publishes it, and as RFC 6376 had it by mistake. */
function readRsa(octets: Buffer): KeyObject | null {
  for (const type of ['spki', 'pkcs1'] as const) {
    try {
      const key = createPublicKey({ key: octets, format: 'der', type })
      const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
      return key.asymmetricKeyType === 'rsa' && bits >= LEAST_BITS && bits <= MOST_BITS ? key : null
    } catch {
      // the other form, or none
    }
  }
  return null
}

function readEd25519(octets: Buffer): KeyObject | null {
  if (octets.length !== ED25519_OCTETS) return null
  try {
    const x = octets.toString('base64url')
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  } catch {
    return null
  }
}

/** @param data what `signedHeader` gives. */
export function isSignedBy(key: KeyObject, { algorithm, signature }: Signed, data: Buffer): boolean {
  try {
    if (algorithm === 'rsa-sha256') return verify('sha256', data, key, signature)
    // RFC 8463 section 3: it signs the hash
    return verify(null, createHash('sha256').update(data).digest(), key, signature)
  } catch {
    return false
  }
}
