/**
 * From exchangers to hosts with addresses, and what DNSSEC proves of them: all looked up at once.
 *
 * An exchanger whose address is one at which we listen for mail is ourselves under another name: it and everything of
 * the same or a higher number is cut away, as for our own name (RFC 5321 section 5.1).
 * A question that failed makes the time to live 0, so that it is asked again soon.
 */
import type { Host } from '../../shared/message/route.ts'
import { type Addresses, addressesOf, type Lookups } from './host-addresses.ts'
import { better, type Exchanger } from './mail-exchangers.ts'
import { tlsaOf } from './tlsa.ts'

export interface HostOptions {
  dns: Lookups
  smtpPort: number
  isOurs: (address: string) => boolean
}

export type FoundHosts =
  | { kind: 'hosts'; hosts: Host[]; exchangers: readonly Exchanger[]; ttl: number }
  /** None has an address. */
  | { kind: 'none'; ttl: number }
  /** Ourselves, with nobody before us. */
  | { kind: 'loop'; ttl: number }
  | { kind: 'failed' }

interface Located {
  exchanger: Exchanger
  preference: number
  found: Addresses
}

/** @param secure DNSSEC proves that these are the exchangers. */
export async function findHosts(
  exchangers: readonly Exchanger[],
  secure: boolean,
  options: HostOptions,
): Promise<FoundHosts> {
  const { dns, isOurs } = options
  const all = await Promise.all(
    exchangers.map(async (exchanger): Promise<Located> => {
      const found = await addressesOf(exchanger.host, dns)
      return { exchanger, preference: exchanger.preference, found }
    }),
  )
  const ttl = Math.min(...all.map(({ found }) => (found.kind === 'failed' ? 0 : found.ttl)))
  const before = better(all, ({ found }) => found.kind === 'addresses' && found.addresses.some(isOurs))
  if (before.length === 0) return { kind: 'loop', ttl }
  const located = await Promise.all(before.map((one) => toHost(one, secure, options)))
  const hosts = located.flatMap((one) => (one ? [one] : []))
  if (hosts.length > 0)
    return {
      kind: 'hosts',
      hosts: hosts.map(({ host }) => host),
      exchangers: before.map(({ exchanger }) => exchanger),
      ttl: Math.min(ttl, ...hosts.map((one) => one.ttl)),
    }
  if (before.some(({ found }) => found.kind === 'failed')) return { kind: 'failed' }
  // who has an address is ourselves: mail for the others, who have none, would go in circles
  return { kind: before.length < all.length ? 'loop' : 'none', ttl }
}

async function toHost(
  { exchanger, preference, found }: Located,
  secure: boolean,
  { dns, smtpPort: port }: HostOptions,
): Promise<{ host: Host; ttl: number } | null> {
  if (found.kind !== 'addresses') return null
  const plain = { name: exchanger.host, addresses: found.addresses, port, preference }
  const proven = { ...plain, ...(found.secure && { secure: true }) }
  if (!secure) return { host: proven, ttl: found.ttl }
  const { tlsa, ttl } = await tlsaOf({ host: exchanger.host, port, ...found }, dns)
  return { host: tlsa ? { ...proven, tlsa } : proven, ttl: Math.min(found.ttl, ttl) }
}
