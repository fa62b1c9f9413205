/**
 * Whether a client's address has a name, and whether that name leads back to it (forward-confirmed reverse DNS,
 * RFC 1912 section 2.1). DNS trouble is `unknown`, which nobody is blamed for. Limits: MOST_NAMES names of one
 * address are looked at.
 */
import { toDomain } from '../../shared/config/types.ts'
import { reverseName, sameAddress } from './client-address.ts'
import { addressesOf, type Lookups } from './host-addresses.ts'

export type ReverseName = 'confirmed' | 'unconfirmed' | 'none' | 'unknown'

const MOST_NAMES = 5

export async function reverseNameOf(dns: Lookups, client: string): Promise<ReverseName> {
  const name = reverseName(client)
  const answer = name === null ? null : await dns.lookup(name, 'PTR')
  if (answer === null || answer.kind === 'failed') return 'unknown'
  const records = answer.kind === 'records' ? answer.records : []
  const names = records.flatMap((record) => (record.kind === 'ptr' ? (toDomain(record.target) ?? []) : []))
  if (names.length === 0) return 'none'
  const led = await Promise.all(names.slice(0, MOST_NAMES).map((one) => leadsTo(dns, one, client)))
  if (led.includes('yes')) return 'confirmed'
  return led.includes('unknown') ? 'unknown' : 'unconfirmed'
}

export type Leads = 'yes' | 'no' | 'no-address' | 'unknown'

/** Whether this name has that address, or none at all. */
export async function leadsTo(dns: Lookups, name: string, client: string): Promise<Leads> {
  const found = await addressesOf(name, dns)
  if (found.kind === 'failed') return 'unknown'
  if (found.kind === 'none') return 'no-address'
  return found.addresses.some((one) => sameAddress(one, client)) ? 'yes' : 'no'
}
