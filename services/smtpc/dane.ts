/**
 * DANE for SMTP (RFC 7672, RFC 7671): whether what a host shows in TLS is what its TLSA records say. Pure.
 *
 * DANE-EE(3) is about the key or certificate of the host alone: names, times and issuers mean nothing. DANE-TA(2) is
 * about an authority: a chain of signatures must lead to it, all of it valid today, and the host's certificate must have
 * one of the names. The authority may be in what the host sent, or whole in the record: a certificate (2 0 0), or a bare
 * key (2 1 0). The usages of PKIX cannot be used for SMTP (RFC 7672 section 3.1.3), nor can what has another
 * selector, digest or length than is known.
 *
 * Limits: MOST_SIGNATURES checked for one host, however its certificates refer to each other.
 */
import { createHash, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { TlsaRecord } from '../../shared/message/route.ts'
import { hasName } from './certificate-names.ts'

export type DaneVerdict =
  | { kind: 'proven'; usage: 2 | 3 }
  | { kind: 'failed'; why: 'validation-failure' | 'certificate-host-mismatch' | 'certificate-expired' }

const MOST_SIGNATURES = 64
const LONGEST_CHAIN = 10
const DANE_TA = 2
const DANE_EE = 3
const WHOLE = 0
/** By matching type: SHA-256, SHA-512 (RFC 6698 section 2.1.3). */
const DIGESTS: Readonly<Record<number, { name: string; octets: number }>> = {
  1: { name: 'sha256', octets: 32 },
  2: { name: 'sha512', octets: 64 },
}
/** TLS Web Server Authentication; any. */
const PURPOSES = ['1.3.6.1.5.5.7.3.1', '2.5.29.37.0']

/** RFC 7671 section 4: for a usable record it is worth to look what the host shows. */
export function isUsable({ usage, selector, matching, data }: TlsaRecord): boolean {
  if (usage !== DANE_TA && usage !== DANE_EE) return false
  if (selector !== 0 && selector !== 1) return false
  if (matching !== WHOLE) return DIGESTS[matching]?.octets === data.length / 2
  return selector === 0 ? certificateOf(data) !== null : keyOf(data) !== null
}

/**
 * @param records the usable ones.
 * @param chain as the host sent it, its own first.
 * @param names one of which a certificate by DANE-TA must have.
 */
export function verifyDane(
  records: readonly TlsaRecord[],
  chain: readonly X509Certificate[],
  names: readonly string[],
  now: number,
): DaneVerdict {
  const [leaf] = chain
  const strongest = preferred(records)
  if (!leaf) return { kind: 'failed', why: 'validation-failure' }
  if (strongest.some((record) => record.usage === DANE_EE && matches(record, leaf)))
    return { kind: 'proven', usage: DANE_EE }
  const anchors = strongest.filter(({ usage }) => usage === DANE_TA)
  if (anchors.length === 0) return { kind: 'failed', why: 'validation-failure' }
  const search = new Search(anchors, chain, now)
  if (!search.leadsToAnchor(leaf))
    return { kind: 'failed', why: search.expired ? 'certificate-expired' : 'validation-failure' }
  if (!names.some((name) => hasName(leaf, name))) return { kind: 'failed', why: 'certificate-host-mismatch' }
  return { kind: 'proven', usage: DANE_TA }
}

/** RFC 7671 section 9: of each usage and selector the whole ones, and those of the strongest digest. */
function preferred(records: readonly TlsaRecord[]): TlsaRecord[] {
  return records.filter(
    ({ usage, selector, matching }) =>
      matching === WHOLE ||
      !records.some(
        (other) => other.usage === usage && other.selector === selector && other.matching > matching,
      ),
  )
}

function matches({ selector, matching, data }: TlsaRecord, certificate: X509Certificate): boolean {
  const shown = selector === 0 ? certificate.raw : spkiOf(certificate.publicKey)
  const digest = DIGESTS[matching]
  const value = digest ? createHash(digest.name).update(shown).digest() : shown
  return value.toString('hex') === data.toLowerCase()
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

/** Chains from a certificate to an anchor, depth first. */
class Search {
  /** A chain was given up because of a certificate that is not valid today. */
  expired = false
  readonly #anchors: readonly TlsaRecord[]
  readonly #issuers: readonly X509Certificate[]
  readonly #keys: readonly KeyObject[]
  readonly #now: number
  #signatures = 0

  constructor(anchors: readonly TlsaRecord[], chain: readonly X509Certificate[], now: number) {
    const whole = anchors.filter(({ matching }) => matching === WHOLE)
    const given = whole.flatMap(({ selector, data }) => (selector === 0 ? (certificateOf(data) ?? []) : []))
    this.#anchors = anchors
    // the first certificate is the host's own: it is no authority of itself
    this.#issuers = [...chain.slice(1, LONGEST_CHAIN), ...given]
    this.#keys = whole.flatMap(({ selector, data }) => (selector === 1 ? (keyOf(data) ?? []) : []))
    this.#now = now
  }

  leadsToAnchor(leaf: X509Certificate): boolean {
    return servesTls(leaf) && this.#leads(leaf, 0)
  }

  #leads(certificate: X509Certificate, depth: number): boolean {
    if (!this.#isValid(certificate)) return false
    if (depth > 0 && this.#anchors.some((anchor) => matches(anchor, certificate))) return true
    if (this.#keys.some((key) => this.#isSignedBy(certificate, key))) return true
    if (depth >= LONGEST_CHAIN) return false
    return this.#issuers.some(
      (issuer) =>
        issuer.fingerprint256 !== certificate.fingerprint256 &&
        issuer.ca &&
        servesTls(issuer) &&
        certificate.checkIssued(issuer) &&
        allowsBelow(issuer, depth) &&
        this.#isSignedBy(certificate, issuer.publicKey) &&
        this.#leads(issuer, depth + 1),
    )
  }

  #isSignedBy(certificate: X509Certificate, key: KeyObject): boolean {
    if (++this.#signatures > MOST_SIGNATURES) return false
    try {
      return certificate.verify(key)
    } catch {
      return false // a key of another kind
    }
  }

  #isValid({ validFrom, validTo }: X509Certificate): boolean {
    const valid = Date.parse(validFrom) <= this.#now && this.#now <= Date.parse(validTo)
    if (!valid) this.expired = true
    return valid
  }
}

/** RFC 5280 section 4.2.1.12: where purposes are named, TLS servers are among them. */
function servesTls({ keyUsage }: X509Certificate): boolean {
  const purposes: readonly string[] | undefined = keyUsage // which are those of the extended key usage
  return !purposes || purposes.length === 0 || purposes.some((one) => PURPOSES.includes(one))
}

/** `pathLenConstraint` of RFC 5280 section 4.2.1.9, as basicConstraints has it in DER; critical, as it should be, or not. */
const PATH_LENGTH = /^(?:0101ff)?04..30..0101ff0201(..)/
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex')

/** @param below certificates between it and the host's own. */
function allowsBelow({ raw }: X509Certificate, below: number): boolean {
  const at = raw.indexOf(BASIC_CONSTRAINTS)
  const behind = raw.subarray(at + BASIC_CONSTRAINTS.length, at + 24).toString('hex')
  const found = at < 0 ? null : PATH_LENGTH.exec(behind)
  return !found || below <= Number.parseInt(found[1] ?? '', 16)
}

function certificateOf(hex: string): X509Certificate | null {
  try {
    return new X509Certificate(Buffer.from(hex, 'hex'))
  } catch {
    return null
  }
}

function keyOf(hex: string): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(hex, 'hex'), format: 'der', type: 'spki' })
  } catch {
    return null
  }
}
