/**
 * The PROXY header, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a load balancer says before all else of
 * the client behind it. Pure; only asked for connections from addresses that the listener's `proxy` names.
 *
 * `parseProxyHeader` takes all octets that have come so far. Fails: 'bad' at the first octet that cannot belong to
 * a header; a header is bounded (107 octets for version 1, LONGEST for version 2), so an endless one is bad too.
 */
import { isIP, isIPv4, isIPv6 } from 'node:net'

/** `source` null: the balancer speaks for itself, as in its health checks. */
export interface ProxyHeader {
  octets: number
  source: { address: string; port: number } | null
}

export type ProxyReading = { kind: 'more' } | { kind: 'bad' } | ({ kind: 'good' } & ProxyHeader)

const MORE: ProxyReading = { kind: 'more' }
const BAD: ProxyReading = { kind: 'bad' }

/** Section 2.1. */
const LONGEST_LINE = 107
const BEGIN_1 = Buffer.from('PROXY ')
const KNOWN = /^PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/
const UNKNOWN = /^PROXY UNKNOWN(?: .*)?$/

/** Section 2.2. */
const BEGIN_2 = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
const FIXED = 16
/** What follows the addresses (certificates, mostly) is bounded only by 16 bits; this is more than anyone needs. */
const LONGEST = 8192

export function parseProxyHeader(octets: Buffer): ProxyReading {
  if (begins(octets, BEGIN_2)) return octets.length < FIXED ? MORE : version2(octets)
  return begins(octets, BEGIN_1) ? version1(octets) : BAD
}

/** As far as there are octets. */
function begins(octets: Buffer, mark: Buffer): boolean {
  const length = Math.min(octets.length, mark.length)
  return octets.subarray(0, length).equals(mark.subarray(0, length))
}

function version1(octets: Buffer): ProxyReading {
  const end = octets.indexOf('\r\n')
  if (end < 0) return octets.length < LONGEST_LINE ? MORE : BAD
  if (end + 2 > LONGEST_LINE) return BAD
  const line = octets.toString('latin1', 0, end)
  if (UNKNOWN.test(line)) return { kind: 'good', octets: end + 2, source: null }
  const [, family, address = '', destination = '', port = ''] = KNOWN.exec(line) ?? []
  const fits = family === 'TCP4' ? isIPv4 : isIPv6
  if (!family || !fits(address) || !fits(destination) || Number(port) > 65_535) return BAD
  return { kind: 'good', octets: end + 2, source: { address, port: Number(port) } }
}

/** By family and transport: octets of an address; others than TCP over IP speak for nobody. */
const ADDRESS_OCTETS: ReadonlyMap<number, number> = new Map([
  [0x11, 4],
  [0x21, 16],
])

function version2(octets: Buffer): ProxyReading {
  const command = octets.readUInt8(12)
  const length = octets.readUInt16BE(14)
  if ((command !== 0x20 && command !== 0x21) || length > LONGEST) return BAD
  if (octets.length < FIXED + length) return MORE
  const size = command === 0x21 ? ADDRESS_OCTETS.get(octets.readUInt8(13)) : undefined
  if (size === undefined) return { kind: 'good', octets: FIXED + length, source: null }
  if (length < 2 * size + 4) return BAD
  const address = printAddress(octets.subarray(FIXED, FIXED + size))
  const port = octets.readUInt16BE(FIXED + 2 * size)
  return isIP(address) === 0 ? BAD : { kind: 'good', octets: FIXED + length, source: { address, port } }
}

function printAddress(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.')
  const groups = Array.from({ length: 8 }, (_, n) => octets.readUInt16BE(2 * n).toString(16))
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1)
}
