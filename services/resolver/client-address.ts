/**
 * A client's address as DNS and EHLO know it: turned round for questions (RFC 1035 section 3.5, RFC 3596 section
 * 2.5, RFC 5782 sections 2.1 and 2.4), and compared with what others write. Pure.
 */
import { parseNetwork } from '../../shared/config/network.ts'

/** `1.2.0.192` for 192.0.2.1, 32 nibbles for IPv6; null for what is no address. */
export function turnedRound(address: string): string | null {
  const network = parseNetwork(address)
  if (network?.family === 4) return address.split('.').reverse().join('.')
  if (network?.family !== 6) return null
  return [...network.bits.toString(16).padStart(32, '0')].reverse().join('.')
}

/** Where its names stand, as PTR records. */
export function reverseName(address: string): string | null {
  const turned = turnedRound(address)
  if (turned === null) return null
  return `${turned}.${address.includes(':') ? 'ip6' : 'in-addr'}.arpa`
}

/** However each is written. */
export function sameAddress(one: string, other: string): boolean {
  const [first, second] = [parseNetwork(one), parseNetwork(other)]
  return first !== null && second !== null && first.family === second.family && first.bits === second.bits
}
