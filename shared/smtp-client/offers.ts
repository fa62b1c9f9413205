/**
 * What a server offers: the extensions of its EHLO or LHLO reply that change what we send it
 * (RFC 5321 section 4.1.1.1). Keywords count only as the first word of a line, whatever their case.
 */

export interface Offers {
  /** RFC 2920 */
  pipelining: boolean
  /** RFC 1870 */
  size: boolean
  /** Octets of a message at most; Infinity where nothing, or 0, is said. */
  largest: number
  /** RFC 6152 */
  eightBitMime: boolean
  /** RFC 3030: CHUNKING and BINARYMIME, which are of use only together. */
  binaryMime: boolean
  /** RFC 6531 */
  smtputf8: boolean
  /** RFC 2852; the least time in seconds that the server takes, null where it has no DELIVERBY. */
  deliverBy: number | null
  /** RFC 6710 */
  priority: boolean
  /** RFC 8689 */
  requireTls: boolean
  /** RFC 3461 */
  dsn: boolean
  /** RFC 9422: recipients of a transaction, transactions of a session; Infinity where nothing is said. */
  mostRecipients: number
  mostTransactions: number
}

/** A server that knows only HELO. */
export const NO_OFFERS: Offers = {
  pipelining: false,
  size: false,
  largest: Number.POSITIVE_INFINITY,
  eightBitMime: false,
  binaryMime: false,
  smtputf8: false,
  deliverBy: null,
  priority: false,
  requireTls: false,
  dsn: false,
  mostRecipients: Number.POSITIVE_INFINITY,
  mostTransactions: Number.POSITIVE_INFINITY,
}

/** @param lines the reply's lines without codes, the greeting line left out. */
export function readOffers(lines: readonly string[]): Offers {
  const words = new Set(lines.map((line) => line.trim().split(/[\s=]/, 1)[0]?.toUpperCase()))
  return {
    pipelining: words.has('PIPELINING'),
    size: words.has('SIZE'),
    largest: largestMessage(lines),
    eightBitMime: words.has('8BITMIME'),
    binaryMime: words.has('BINARYMIME') && words.has('CHUNKING'),
    smtputf8: words.has('SMTPUTF8'),
    deliverBy: leastTime(lines),
    priority: words.has('MT-PRIORITY'),
    requireTls: words.has('REQUIRETLS'),
    dsn: words.has('DSN'),
    mostRecipients: limit(lines, 'RCPTMAX'),
    mostTransactions: limit(lines, 'MAILMAX'),
  }
}

/** RFC 1870 section 4: what is no number says nothing, and 0 is no limit. */
function largestMessage(lines: readonly string[]): number {
  for (const line of lines) {
    const found = /^\s*SIZE[ =]+(\d{1,15})\s*$/i.exec(line)
    if (found) return Number(found[1]) || Number.POSITIVE_INFINITY
  }
  return Number.POSITIVE_INFINITY
}

/** RFC 2852 section 4: min-by-time may stand behind the keyword. */
function leastTime(lines: readonly string[]): number | null {
  for (const line of lines) {
    const found = /^\s*DELIVERBY(?:\s+(\d{1,9}))?\s*$/i.exec(line)
    if (found) return Number(found[1] ?? 0)
  }
  return null
}

/** RFC 9422 section 3: names with values behind LIMITS; what is malformed says nothing. */
function limit(lines: readonly string[], name: 'RCPTMAX' | 'MAILMAX'): number {
  for (const line of lines) {
    const [keyword = '', ...limits] = line.trim().toUpperCase().split(/\s+/)
    if (keyword !== 'LIMITS') continue
    for (const one of limits) {
      const [, value] = new RegExp(`^${name}=([1-9]\\d{0,5})$`).exec(one) ?? []
      if (value) return Number(value)
    }
  }
  return Number.POSITIVE_INFINITY
}
