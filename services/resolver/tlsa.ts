/**
 * The TLSA records of a next hop, where DNSSEC proves the way to them (RFC 7672 section 2.2).
 *
 * Where the addresses of a host are proven, the name at the end of its aliases is asked for, then its own name. Where
 * they are not, only a proven alias helps: then the host's own name is in a signed zone, and may have records
 * (section 2.2.2). Records that are not proven are none. Two questions at most, and none for who does not sign.
 */
import type { Tlsa } from '../../shared/message/route.ts'
import type { Answer } from './dns/answer.ts'
import type { Addresses, Lookups } from './host-addresses.ts'

const MOST_RECORDS = 32

/** tlsa null: no DANE for this host. */
export interface FoundTlsa {
  tlsa: Tlsa | null
  /** Seconds. */
  ttl: number
}

export type Hop = { host: string; port: number } & Pick<
  Extract<Addresses, { kind: 'addresses' }>,
  'secure' | 'canonical'
>

export async function tlsaOf(hop: Hop, dns: Lookups): Promise<FoundTlsa> {
  const bases = await basesOf(hop, dns)
  if (bases === 'failed') return { tlsa: { kind: 'failed' }, ttl: 0 }
  let ttl = Number.POSITIVE_INFINITY
  for (const base of bases) {
    const answer = await dns.lookup(`_${hop.port}._tcp.${base}`, 'TLSA')
    if (answer.kind === 'failed') return { tlsa: { kind: 'failed' }, ttl: 0 }
    ttl = Math.min(ttl, answer.ttl)
    const records = recordsIn(answer)
    if (records.length > 0) return { tlsa: { kind: 'found', base, records }, ttl }
  }
  return { tlsa: null, ttl }
}

async function basesOf(
  { host, canonical, secure }: Hop,
  dns: Lookups,
): Promise<readonly string[] | 'failed'> {
  if (secure) return canonical === host ? [host] : [canonical, host]
  if (canonical === host) return []
  const alias = await dns.lookup(host, 'CNAME')
  if (alias.kind === 'failed') return 'failed'
  return alias.kind === 'records' && alias.secure ? [host] : []
}

function recordsIn(answer: Answer): Extract<Tlsa, { kind: 'found' }>['records'] {
  if (answer.kind !== 'records' || !answer.secure) return []
  return answer.records
    .flatMap((record) => {
      if (record.kind !== 'tlsa') return []
      const { usage, selector, matching, data } = record
      return [{ usage, selector, matching, data }]
    })
    .slice(0, MOST_RECORDS)
}
