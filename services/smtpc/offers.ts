/**
 * What a server offers: the extensions of its EHLO or LHLO reply that change what we send it
 * (RFC 5321 section 4.1.1.1). Keywords count only as the first word of a line, whatever their case.
 */

export interface Offers {
  /** RFC 2920 */
  pipelining: boolean
  /** RFC 1870 */
  size: boolean
  /** RFC 6152 */
  eightBitMime: boolean
  /** RFC 3030: CHUNKING and BINARYMIME, which are of use only together. */
  binaryMime: boolean
  /** RFC 6531 */
  smtputf8: boolean
  /** RFC 3461 */
  dsn: boolean
}

/** A server that knows only HELO. */
export const NO_OFFERS: Offers = {
  pipelining: false,
  size: false,
  eightBitMime: false,
  binaryMime: false,
  smtputf8: false,
  dsn: false,
}

/** @param lines the reply's lines without codes, the greeting line left out. */
export function readOffers(lines: readonly string[]): Offers {
  const words = new Set(lines.map((line) => line.trim().split(/[\s=]/, 1)[0]?.toUpperCase()))
  return {
    pipelining: words.has('PIPELINING'),
    size: words.has('SIZE'),
    eightBitMime: words.has('8BITMIME'),
    binaryMime: words.has('BINARYMIME') && words.has('CHUNKING'),
    smtputf8: words.has('SMTPUTF8'),
    dsn: words.has('DSN'),
  }
}
