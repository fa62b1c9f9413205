/**
 * Looks at a message while it comes in, for Authentication-Results: its author, its signatures, the hashes of its
 * body. Pure but for hashing; the body is not kept.
 *
 * Unlike `signature/watch.ts`, which asks whether somebody may send, this one only says what is true: signatures of
 * any domain count, the first MOST_SIGNATURES of them, and one that leaves a part of the body out is `policy`.
 * Next: `authenticate.ts`, which asks DNS.
 */
import { BodyHash, type Canonicalization } from '../../../shared/dkim/body-hash.ts'
import { fieldValue, type HeaderField, readFields, signedHeader } from '../../../shared/dkim/fields.ts'
import { authorDomains } from '../signature/authors.ts'
import { HeaderGatherer } from '../signature/header-gatherer.ts'
import { readSignature, type Signature } from '../signature/signature.ts'
import { MOST_SIGNATURES } from '../signature/watch.ts'
import type { Setting } from '../state.ts'
import { type ArcClaim, type Chain, claimOf, readChain } from './arc.ts'
import { type DkimResult, type DkimVerdict, reserve } from './results.ts'

/** Whose mail it is, as far as the session knows. */
export interface Origin {
  hostname: string
  client: string
  helo: string
  sender: string
  /** Whose word ARC may bring us, lower case. */
  sealers: readonly string[]
}

export function originOf(
  { hostname, client, trustedSealers: sealers }: Pick<Setting, 'hostname' | 'client' | 'trustedSealers'>,
  { name }: { name: string },
  sender: string,
): Origin {
  return { hostname, client, helo: name, sender, sealers }
}

/** A signature; `state` is null where only the key can tell. */
export interface SignatureClaim {
  signature: Signature
  data: Buffer
  state: Exclude<DkimResult, 'none' | 'pass' | 'temperror' | 'permerror'> | null
}

export interface Claims {
  /** The author's domain; null where there is not exactly one. */
  from: string | null
  signatures: SignatureClaim[]
  /** Null: nobody has sealed it. */
  arc: ArcClaim | null
}

const MARK = 8

export class AuthenticationWatch {
  readonly origin: Origin
  readonly #header = new HeaderGatherer()
  readonly #hashes = new Map<Canonicalization, BodyHash>()
  #fields: HeaderField[] = []
  #signatures: Signature[] = []
  #chain: Chain | null = null
  #from: string | null = null
  #inBody = false

  constructor(origin: Origin) {
    this.origin = origin
  }

  push(chunk: Buffer, from: number, to: number): void {
    let body = from
    if (!this.#inBody) {
      body = this.#header.push(chunk, from, to)
      if (body < 0) return
      this.#endHeader()
    }
    for (const hash of this.#hashes.values()) hash.push(chunk, body, to)
  }

  /** Room for the results, once the header is known or known to be none. */
  reserve(): string {
    if (!this.#inBody) this.#endHeader()
    const dkim = this.#signatures.map((signature) => verdictOf(signature, 'none'))
    const from = this.#from ?? ''
    return reserve(this.origin.hostname, {
      ...{ spf: { ...identityOf(this.origin), result: 'none' }, dkim },
      dmarc: { result: 'none', policy: 'none', from },
      arc: this.#chain && { ...this.#chain, result: 'none', trusted: false },
    })
  }

  /** After the last octet; once only. @param now seconds since 1970. */
  end(now: number): Claims {
    if (!this.#inBody) this.#endHeader()
    const bodies = new Map([...this.#hashes].map(([how, hash]) => [how, hash.end()] as const))
    const signatures = this.#signatures.map((signature): SignatureClaim => {
      const { field, header, length, names } = signature
      const body = bodies.get(signature.body)
      const whole = length === null || length === body?.octets
      const intact = isFor(signature, body, now)
      const state = whole ? (intact ? null : 'fail') : 'policy'
      return { signature, data: signedHeader(this.#fields, names, field, header), state }
    })
    const chain = this.#chain
    const newest = chain?.whole?.newest
    const body = newest && bodies.get(newest.body)
    const intact = newest?.length === null && isFor(newest, body, now)
    return { from: this.#from, signatures, arc: chain && claimOf(chain, this.#fields, intact) }
  }

  #endHeader(): void {
    this.#inBody = true
    if (this.#header.tooLong) return
    this.#fields = readFields(this.#header.text())
    const authors = this.#fields.filter(({ name }) => name === 'from')
    const domains = authors.flatMap((field) => authorDomains(fieldValue(field)) ?? [''])
    const [only = ''] = domains
    this.#from = new Set(domains).size === 1 && only !== '' ? only : null
    this.#signatures = this.#fields
      .filter(({ name }) => name === 'dkim-signature')
      .flatMap((field) => readSignature(field) ?? [])
      .slice(0, MOST_SIGNATURES)
    this.#chain = readChain(this.#fields)
    const sealed = this.#chain?.whole ? [this.#chain.whole.newest] : []
    for (const { body } of [...this.#signatures, ...sealed])
      this.#hashes.set(body, this.#hashes.get(body) ?? new BodyHash(body))
  }
}

/** The body is as it was when it was signed, and the signature still holds. */
function isFor({ bodyHash, expires }: Signature, body: { digest: Buffer } | undefined, now: number): boolean {
  return body?.digest.equals(bodyHash) === true && (expires === null || expires >= now)
}

export function verdictOf({ domain, selector, signature }: Signature, result: DkimResult): DkimVerdict {
  return { result, domain, selector, mark: signature.toString('base64').slice(0, MARK) }
}

/** What SPF is asked about (RFC 7208 section 2.4). */
export function identityOf({ helo, sender }: Origin): { identity: 'mailfrom' | 'helo'; value: string } {
  if (sender === '') return { identity: 'helo', value: helo }
  return { identity: 'mailfrom', value: sender.slice(sender.lastIndexOf('@') + 1).toLowerCase() }
}
