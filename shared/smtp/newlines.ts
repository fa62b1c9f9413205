/**
 * Octets of content that is text but may not stand in it: a CR or LF by itself (RFC 5321 section 2.3.8), and NUL (RFC
 * 5322 section 3.5, RFC 2045 section 2.8). What finds the lines (`data-parser.ts` after DATA, smtpd's `chunk-parser.ts`
 * after BDAT) tells this of each; here they are noted, and bare newlines mended where that is wanted.
 *
 * `lf` and `cr` return where what has not been handed on begins. No octet is copied, nothing is kept but what was seen.
 */

/** A range of a chunk, in order. */
export type Sink = (chunk: Buffer, from: number, to: number) => void

const CRLF_OCTETS = Buffer.from('\r\n')
const LF_OCTETS = Buffer.from('\n')

export class Newlines {
  /** A bare CR or LF was seen. */
  bare = false
  /** How many NULs were. */
  nuls = 0
  readonly #mend: boolean
  readonly #sink: Sink

  /** @param mend each bare CR or LF is handed on as CRLF, else as it came. */
  constructor(mend: boolean, sink: Sink) {
    this.#mend = mend
    this.#sink = sink
  }

  /** A bare LF at `at`. */
  lf(chunk: Buffer, begin: number, at: number): number {
    this.bare = true
    if (!this.#mend) return begin
    if (at > begin) this.#sink(chunk, begin, at)
    this.#sink(CRLF_OCTETS, 0, 2)
    return at + 1
  }

  /** A bare CR before `at`, itself handed on or about to be. */
  cr(chunk: Buffer, begin: number, at: number): number {
    this.bare = true
    if (!this.#mend) return begin
    if (at > begin) this.#sink(chunk, begin, at)
    this.#sink(LF_OCTETS, 0, 1)
    return at
  }
}
