/**
 * Signs messages (RFC 6376): from a header and the hashes of a body to DKIM-Signature fields, one for each key that
 * is its author's. RSA is done on libuv's threads, so nobody else waits for it.
 *
 * Never rejects. `none`: there is no key for this author, or not exactly one author's domain. `failed`: there should
 * be a signature, and cannot be.
 */
import { domainToASCII } from 'node:url'
import type { Log } from '../../../shared/base/log.ts'
import type { Canonicalization } from '../../../shared/dkim/body-hash.ts'
import { fieldValue, type HeaderField, readFields } from '../../../shared/dkim/fields.ts'
import { signatureLater, signedField, unsignedField } from '../../../shared/dkim/signature-field.ts'
import { addressesOf } from '../../../shared/message/header.ts'
import type { QueueBus } from '../queue-bus.ts'
import { authorDomains } from '../signature/authors.ts'
import { isWithin } from '../signature/signature.ts'
import type { Author, Keyring, Signatory } from './keyring.ts'

export interface ToSign {
  /** Without the empty line; latin1. */
  header: string
  /** Hashes of the body; asked once, and only when it is known that there is a key. */
  bodies: () => ReadonlyMap<Canonicalization, Buffer>
}

/** `field` has its line end. */
export type Signed = { kind: 'signed'; field: string } | { kind: 'none' } | { kind: 'failed' }

export type Sign = (what: ToSign) => Promise<Signed>

/** More signed fields than that make a signature longer than the header that it is of. */
const MOST_FIELDS = 1000

export function signerWith(keyring: Keyring, log: Log, now: () => number = Date.now): Sign {
  return async ({ header, bodies }) => {
    const fields = readFields(header)
    const author = fields.length <= MOST_FIELDS ? authorOf(fields) : null
    if (!author) return { kind: 'none' }
    const found = keyring.signatoriesFor(author)
    if (found.kind === 'failed') return { kind: 'failed' }
    if (found.list.length === 0) return { kind: 'none' }
    try {
      const hashes = bodies()
      const made = await Promise.all(found.list.map((one) => signOne(fields, one, hashes, now())))
      return { kind: 'signed', field: made.join('') }
    } catch (error) {
      log.error({ err: error, domain: author.domain }, 'a message could not be signed')
      return { kind: 'failed' }
    }
  }
}

/** By the keys of another process, for authors of these domains and those below them. */
export function signerBy(bus: Pick<QueueBus, 'sign'>, domains: readonly string[]): Sign {
  return async ({ header, bodies }) => {
    const fields = readFields(header)
    const author = fields.length <= MOST_FIELDS ? authorOf(fields) : null
    const known = author && domains.some((domain) => isWithin(domainToASCII(author.domain), domain))
    if (!known) return { kind: 'none' }
    const hashes = Object.fromEntries(bodies())
    return (await bus.sign({ header: Buffer.from(header, 'latin1'), ...hashes })) ?? { kind: 'failed' }
  }
}

async function signOne(
  fields: readonly HeaderField[],
  { signer, header, body, lifetime }: Signatory,
  bodies: ReturnType<ToSign['bodies']>,
  now: number,
): Promise<string> {
  const hash = bodies.get(body)
  if (!hash) throw new Error(`no ${body} hash of the body`)
  const signedAt = Math.floor(now / 1000)
  const expires = lifetime === null ? null : signedAt + Math.floor(lifetime / 1000)
  const unsigned = unsignedField(fields, signer, { header, body }, { signedAt, expires }, hash)
  return signedField(unsigned, await signatureLater(signer.key, unsigned.data))
}

/** Null: nobody, or nobody in particular. */
export function authorOf(fields: readonly HeaderField[]): Author | null {
  const [from, ...others] = fields.filter(({ name }) => name === 'from')
  if (!from || others.length > 0) return null
  const [domain, ...more] = authorDomains(fieldValue(from)) ?? []
  if (domain === undefined || more.length > 0 || domain.startsWith('[')) return null
  const read = addressesOf([from])
  const [address] = read.kind === 'good' && read.list.length === 1 ? read.list : []
  return { domain, address: address?.toLowerCase() ?? null }
}
