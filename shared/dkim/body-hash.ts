/**
 * The hash of a message's body as DKIM has it (RFC 6376 section 3.4), from octets at any split.
 *
 * `simple` takes the body as it is but for empty lines at its end; `relaxed` also makes one space of each run of
 * white space and drops it at line ends. Nothing is kept between pieces but a few counters, so a body of any size
 * costs 16 KiB. The body is what goes over the wire between CRLF.CRLF and the blank line: un-dotted, with CRLF.
 * Next: `fields.ts` for the header.
 */
import { createHash } from 'node:crypto'

export type Canonicalization = 'simple' | 'relaxed'

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const OUT_OCTETS = 16 * 1024
/** What one octet can bring forth at most: a kept CR, a space, itself. */
const ROOM = 4

export class BodyHash {
  readonly #relaxed: boolean
  readonly #hash = createHash('sha256')
  readonly #out = Buffer.allocUnsafeSlow(OUT_OCTETS)
  #used = 0
  /** Canonical octets handed to the hash. */
  #octets = 0
  /** CRLFs that count only if something follows. */
  #newlines = 0
  #space = false
  #afterCr = false

  constructor(canonicalization: Canonicalization) {
    this.#relaxed = canonicalization === 'relaxed'
  }

  push(chunk: Uint8Array, from = 0, to = chunk.length): void {
    for (let at = from; at < to; at++) {
      const octet = chunk[at] as number
      if (this.#afterCr) {
        this.#afterCr = false
        if (octet === LF) {
          this.#space = false
          this.#newlines++
          continue
        }
        this.#put(CR)
      }
      if (octet === CR) this.#afterCr = true
      else if (this.#relaxed && (octet === SPACE || octet === TAB)) this.#space = true
      else if (this.#newlines > 0 || this.#space) this.#put(octet)
      else {
        if (this.#used > OUT_OCTETS - ROOM) this.#flush()
        this.#out[this.#used++] = octet
      }
    }
  }

  /** After the last piece, and once only. `octets`: of the canonical body, for whoever minds `l=`. */
  end(): { digest: Buffer; octets: number } {
    if (this.#afterCr) this.#put(CR)
    this.#flush()
    // RFC 6376 sections 3.4.3 and 3.4.4: a line end is added, only `relaxed` knows an empty body
    if (this.#octets > 0 || !this.#relaxed) {
      this.#newlines = 1
      this.#putNewlines()
      this.#flush()
    }
    return { digest: this.#hash.digest(), octets: this.#octets }
  }

  /** An octet behind whatever was held back. */
  #put(octet: number): void {
    if (this.#newlines > 0) this.#putNewlines()
    if (this.#used > OUT_OCTETS - ROOM) this.#flush()
    if (this.#space) this.#out[this.#used++] = SPACE
    this.#space = false
    this.#out[this.#used++] = octet
  }

  #putNewlines(): void {
    for (; this.#newlines > 0; this.#newlines--) {
      if (this.#used > OUT_OCTETS - ROOM) this.#flush()
      this.#out[this.#used++] = CR
      this.#out[this.#used++] = LF
    }
  }

  #flush(): void {
    this.#hash.update(this.#out.subarray(0, this.#used))
    this.#octets += this.#used
    this.#used = 0
  }
}
