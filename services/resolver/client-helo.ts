/**
 * What is wrong with the name that a client gives in EHLO or HELO (RFC 5321 section 4.1.4 lets a server look, and
 * forbids to refuse for that alone: scores are for adding up). DNS trouble is nobody's fault.
 */
import { isIP } from 'node:net'
import type { SignName } from '../../shared/config/slices.ts'
import { toDomain } from '../../shared/config/types.ts'
import { sameAddress } from './client-address.ts'
import { leadsTo } from './client-name.ts'
import type { Lookups } from './host-addresses.ts'

type HeloSign = Extract<SignName, `helo-${string}`>

/** @param isOurs our own name, or a domain whose mailboxes are here. */
export async function heloSigns(
  dns: Lookups,
  { helo, client }: { helo: string; client: string },
  isOurs: (name: string) => boolean,
): Promise<HeloSign[]> {
  const literal = /^\[(?:IPv6:)?([0-9a-f.:]+)\]$/i.exec(helo)?.[1]
  if (literal !== undefined) return literalSigns(literal, client)
  // a bare address is neither a name nor a literal
  const name = isIP(helo) === 0 ? toDomain(helo) : null
  if (name === null || !name.includes('.')) return ['helo-invalid']
  if (isOurs(name)) return ['helo-own-name', 'helo-unconfirmed']
  const leads = await leadsTo(dns, name, client)
  if (leads === 'yes' || leads === 'unknown') return []
  if (leads === 'no') return ['helo-unconfirmed']
  const exchangers = await dns.lookup(name, 'MX')
  return exchangers.kind === 'nodata' || exchangers.kind === 'nxdomain'
    ? ['helo-unknown', 'helo-unconfirmed']
    : ['helo-unconfirmed']
}

function literalSigns(literal: string, client: string): HeloSign[] {
  if (isIP(literal) === 0) return ['helo-invalid']
  return sameAddress(literal, client) ? [] : ['helo-other-address']
}
