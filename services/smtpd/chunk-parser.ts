/**
 * The content after BDAT (RFC 3030): there are no dots and no end to look for, only line ends to be sure of.
 *
 * `bare` tells whether there was a CR or LF by itself, over the borders of chunks and of reads: content that is
 * text has lines that end with CRLF (RFC 5321 section 2.3.8), however it comes. With `normalise` each is handed
 * on as CRLF, without it as it came. Content that is binary (BODY=BINARYMIME) has no lines and does not come here.
 *
 * Content goes to `sink` as ranges of what was pushed, in order, without copying. Nothing is kept between pushes
 * but whether the last octet was a CR; `end` must be called once there will be no more.
 */
import type { Sink } from '../../shared/smtp/data-parser.ts'

const LF = 10
const CR = 13
const LOWEST_PLAIN = 14
const CRLF_OCTETS = Buffer.from('\r\n')
const LF_OCTETS = Buffer.from('\n')

export class ChunkParser {
  /** A bare CR or LF was seen. */
  bare = false
  #afterCr = false
  readonly #normalise: boolean
  readonly #sink: Sink

  constructor(normalise: boolean, sink: Sink) {
    this.#normalise = normalise
    this.#sink = sink
  }

  /** Takes the octets of `chunk` from `from` up to `to`. */
  push(chunk: Buffer, from: number, to: number): void {
    let begin = from
    for (let at = from; at < to; at++) {
      const octet = chunk[at] as number
      if (octet === LF) {
        if (!this.#afterCr) begin = this.#bareLf(chunk, begin, at)
        this.#afterCr = false
        continue
      }
      if (this.#afterCr) begin = this.#bareCr(chunk, begin, at)
      this.#afterCr = octet === CR
      if (octet >= LOWEST_PLAIN) at = plainEnd(chunk, at, to) - 1
    }
    if (begin < to) this.#sink(chunk, begin, to)
  }

  /** A CR was the last of all. */
  end(): void {
    if (this.#afterCr) this.#bareCr(LF_OCTETS, 0, 0)
    this.#afterCr = false
  }

  #bareLf(chunk: Buffer, begin: number, at: number): number {
    this.bare = true
    if (!this.#normalise) return begin
    if (at > begin) this.#sink(chunk, begin, at)
    this.#sink(CRLF_OCTETS, 0, 2)
    return at + 1
  }

  /** A bare CR before `at`, itself handed on or about to be. */
  #bareCr(chunk: Buffer, begin: number, at: number): number {
    this.bare = true
    if (!this.#normalise) return begin
    if (at > begin) this.#sink(chunk, begin, at)
    this.#sink(LF_OCTETS, 0, 1)
    return at
  }
}

/** Where the run of octets that mean nothing ends. */
function plainEnd(chunk: Uint8Array, from: number, to: number): number {
  let at = from
  while (at < to && (chunk[at] as number) >= LOWEST_PLAIN) at++
  return at
}
