/**
 * The content after BDAT (RFC 3030): there are no dots and no end to look for, only line ends to be sure of.
 *
 * `seen` tells whether there was a CR or LF by itself, over the borders of chunks and of reads, and how many NULs:
 * content that is text has lines that end with CRLF (RFC 5321 section 2.3.8), however it comes. With `normalise` each
 * bare one is handed on as CRLF, without it as it came. Content that is binary (BODY=BINARYMIME) has no lines and does not come here.
 *
 * Content goes to `sink` as ranges of what was pushed, in order, without copying. Nothing is kept between pushes
 * but whether the last octet was a CR; `end` must be called once there will be no more.
 */
import { Newlines, type Sink } from '../../shared/smtp/newlines.ts'

const NUL = 0
const LF = 10
const CR = 13
const LOWEST_PLAIN = 14
const NOTHING = Buffer.alloc(0)

export class ChunkParser {
  readonly seen: Newlines
  #afterCr = false
  readonly #sink: Sink

  constructor(normalise: boolean, sink: Sink) {
    this.seen = new Newlines(normalise, sink)
    this.#sink = sink
  }

  /** Takes the octets of `chunk` from `from` up to `to`. */
  push(chunk: Buffer, from: number, to: number): void {
    let begin = from
    for (let at = from; at < to; at++) {
      const octet = chunk[at] as number
      if (octet === LF) {
        if (!this.#afterCr) begin = this.seen.lf(chunk, begin, at)
        this.#afterCr = false
        continue
      }
      if (this.#afterCr) begin = this.seen.cr(chunk, begin, at)
      this.#afterCr = octet === CR
      if (octet === NUL) this.seen.nuls++
      else if (octet >= LOWEST_PLAIN) at = plainEnd(chunk, at, to) - 1
    }
    if (begin < to) this.#sink(chunk, begin, to)
  }

  /** A CR was the last of all. */
  end(): void {
    if (this.#afterCr) this.seen.cr(NOTHING, 0, 0)
    this.#afterCr = false
  }
}

/** Where the run of octets that mean nothing ends. */
function plainEnd(chunk: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && (chunk[at] as number) >= LOWEST_PLAIN) at++
  return at
}
