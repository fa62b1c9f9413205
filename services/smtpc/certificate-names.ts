/**
 * Whether a certificate has a name, by the rules for DNS names of RFC 6125 and, for addresses, RFC 5280. Pure.
 * A wildcard stands for one whole label; the common name counts only where there is no name of DNS at all.
 */
import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

/** @param name of a host, an address, or `.suffix` for any name below it. */
export function hasName(certificate: X509Certificate, name: string): boolean {
  if (isIP(name) !== 0) return certificate.checkIP(name) !== undefined
  return certificate.checkHost(name, { partialWildcards: false }) !== undefined
}
