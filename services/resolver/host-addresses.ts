/**
 * The addresses of a host: its A and AAAA records, IPv4 first, because IPv6 without a working way out is more
 * common on mail servers than the other way round. Answers at once when both are remembered.
 *
 * The unspecified addresses lead back to ourselves and are left out. Limit: MOST_ADDRESSES of each kind.
 */
import type { Answer } from './dns/answer.ts'
import type { RecordType } from './dns/message.ts'

export type Addresses =
  | {
      kind: 'addresses'
      addresses: string[]
      ttl: number
      /** DNSSEC proves them, and all aliases on the way. */
      secure: boolean
      /** Where the aliases end. */
      canonical: string
    }
  /** The name does not exist or has no address. */
  | { kind: 'none'; nxdomain: boolean; ttl: number }
  | { kind: 'failed'; why: string }

export interface Lookups {
  lookup(name: string, type: RecordType): Answer | Promise<Answer>
}

const MOST_ADDRESSES = 8
const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

export async function addressesOf(host: string, dns: Lookups): Promise<Addresses> {
  const [four, six] = await Promise.all([dns.lookup(host, 'A'), dns.lookup(host, 'AAAA')])
  return combine(four, six)
}

/** One kind is enough; a kind that could not be asked for matters only when the other has nothing. */
export function combine(four: Answer, six: Answer): Addresses {
  const addresses = [...addressesIn(four), ...addressesIn(six)]
  const ttl = Math.min(four.ttl, six.ttl)
  if (addresses.length > 0) {
    const failed = four.kind === 'failed' || six.kind === 'failed'
    const answers = [four, six].filter((answer) => answer.kind !== 'failed')
    // a kind that fails proves nothing against the other: who could forge that would gain by it
    const secure = answers.every((answer) => answer.secure)
    return { kind: 'addresses', addresses, ttl: failed ? 0 : ttl, secure, canonical: canonicalIn(answers) }
  }
  if (four.kind === 'failed') return { kind: 'failed', why: four.why }
  if (six.kind === 'failed') return { kind: 'failed', why: six.why }
  return { kind: 'none', nxdomain: four.kind === 'nxdomain', ttl }
}

function canonicalIn(answers: readonly Answer[]): string {
  const [record] = answers.flatMap((answer) => (answer.kind === 'records' ? answer.records : []))
  return record?.name ?? ''
}

function addressesIn(answer: Answer): string[] {
  if (answer.kind !== 'records') return []
  return answer.records
    .flatMap((record) => (record.kind === 'address' ? [record.address] : []))
    .filter((address) => !UNSPECIFIED.has(address))
    .slice(0, MOST_ADDRESSES)
}
