/**
 * Looks at a message while it comes in, for `require-signature`: which DKIM signatures speak for its authors and
 * its sender, and do they cover all of it? (RFC 6376 section 6.1)
 *
 * More is asked than RFC 6376 asks of a verifier, because here a signature is a licence to send: one From field;
 * a signature for each author's domain and for that of the reverse-path; every field that a reader is shown
 * among the signed ones, as often as it is there; no part of the body left out by `l=`; not expired.
 *
 * Pure but for hashing. Bounded: one header, MOST_SIGNATURES, two hashes; the body is never kept.
 * Next: `judge.ts`, which has the keys.
 */
import { BodyHash, type Canonicalization } from '../../../shared/dkim/body-hash.ts'
import { fieldValue, type HeaderField, readFields, signedHeader } from '../../../shared/dkim/fields.ts'
import { parseMailbox } from '../../../shared/smtp/address.ts'
import { authorDomains } from './authors.ts'
import { HeaderGatherer } from './header-gatherer.ts'
import { isWithin, readSignature, type Signature } from './signature.ts'

/** Others are not looked at: each may cost a question to DNS. */
export const MOST_SIGNATURES = 8
/** What a reader is shown, or what makes of the octets what is shown. */
const SHOWN = [
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'subject',
  'date',
  'content-type',
  'content-transfer-encoding',
]

export interface Candidate {
  signature: Signature
  /** What the signature is of. */
  data: Buffer
  /** unfit: it leaves something open, or is too old; broken: the body is another one. */
  state: 'good' | 'unfit' | 'broken'
}

export type Finding =
  | { kind: 'unfit' }
  /** Each of the domains must be signed for. */
  | { kind: 'found'; domains: string[]; candidates: Candidate[] }

export class SignatureWatch {
  readonly #sender: string
  readonly #header = new HeaderGatherer()
  readonly #hashes = new Map<Canonicalization, BodyHash>()
  #fields: HeaderField[] = []
  #signatures: Signature[] = []
  #domains: string[] | null = null
  #inBody = false

  /** @param sender the reverse-path, as in envelopes. */
  constructor(sender: string) {
    this.#sender = sender
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

  /**
   * After the last octet; once only. @param now seconds since 1970.
   * @param sender the reverse-path that the header gave, where there was none before; it must be an author's.
   */
  end(now: number, sender = this.#sender): Finding {
    if (!this.#inBody) this.#endHeader()
    if (this.#domains === null || !this.#speaksFor(sender)) return { kind: 'unfit' }
    const bodies = new Map([...this.#hashes].map(([how, hash]) => [how, hash.end()] as const))
    const candidates = this.#signatures.map((signature): Candidate => {
      const data = signedHeader(this.#fields, signature.names, signature.field, signature.header)
      const body = bodies.get(signature.body)
      const fits = body?.digest.equals(signature.bodyHash) === true
      const whole = signature.length === null || signature.length === body?.octets
      const unfit = !whole || !covers(signature, this.#fields) || isExpired(signature, now)
      return { signature, data, state: unfit ? 'unfit' : fits ? 'good' : 'broken' }
    })
    return { kind: 'found', domains: this.#domains, candidates }
  }

  #speaksFor(sender: string): boolean {
    const domain = sender.slice(sender.lastIndexOf('@') + 1)
    return sender === this.#sender || this.#domains?.includes(domain) === true
  }

  #endHeader(): void {
    this.#inBody = true
    if (this.#header.tooLong) return
    this.#fields = readFields(this.#header.text())
    const domains = demandedDomains(this.#fields, this.#sender)
    this.#domains = domains
    if (domains === null) return
    this.#signatures = this.#fields
      .filter(({ name }) => name === 'dkim-signature')
      .flatMap((field) => readSignature(field) ?? [])
      .filter((signature) => domains.some((domain) => isWithin(domain, signature.domain)))
      .slice(0, MOST_SIGNATURES)
    for (const { body } of this.#signatures)
      this.#hashes.set(body, this.#hashes.get(body) ?? new BodyHash(body))
  }
}

/** The authors' and the sender's; null when there is no telling. */
function demandedDomains(fields: readonly HeaderField[], sender: string): string[] | null {
  const [from, ...others] = fields.filter(({ name }) => name === 'from')
  if (!from || others.length > 0) return null
  const authors = authorDomains(fieldValue(from))
  if (authors === null || sender === '') return authors
  const parsed = parseMailbox(sender, { utf8: true })
  return parsed.ok ? [...new Set([...authors, parsed.address.domain])] : null
}

/** RFC 6376 section 5.4.2: a field that is there more often than its name in `h=` could be added by anybody. */
function covers({ names }: Signature, fields: readonly HeaderField[]): boolean {
  return SHOWN.every((name) => {
    const there = fields.filter((field) => field.name === name).length
    return there <= names.filter((signed) => signed === name).length
  })
}

function isExpired({ expires }: Signature, now: number): boolean {
  return expires !== null && expires < now
}
