/**
 * The content after DATA (RFC 5321 section 4.5.2): takes away the doubled dots and finds the end.
 *
 * The one end of data is CRLF.CRLF; a dot between bare CRs or LFs ends nothing, which is what keeps two servers
 * from seeing two different messages. `seen` tells whether there was a bare CR or LF, and how many NULs; with
 * `normalise` each bare one is handed on as CRLF, without it as it came.
 *
 * Content goes to `sink` as ranges of the chunk that was pushed, in order, without copying; what was held back
 * at the end of a chunk comes as a range of a constant. Nothing is kept between chunks but one of five states,
 * so the same octets give the same content at every split.
 */

import { Newlines, type Sink } from './newlines.ts'

const NUL = 0
const LF = 10
const CR = 13
const DOT = 46
const LOWEST_PLAIN = 14
const CR_OCTETS = Buffer.from('\r')

/** Where in a line: inside, after CR, at its start, after its first dot (held back), after that dot and CR. */
const INSIDE = 0
const AFTER_CR = 1
const START = 2
const AFTER_DOT = 3
const AFTER_DOT_CR = 4

/** LOWEST_PLAIN in each octet of a word, and the highest bit of each. */
const LOWEST_IN_EACH = 0x0e0e0e0e
const HIGH_IN_EACH = 0x80808080
/** Smaller chunks are not worth a second view. */
const LEAST_IN_WORDS = 1024

/** The same octets four at a time, where they lie on the border of a word, as what came from a socket does. */
function wordsOf(chunk: Uint8Array): Int32Array | null {
  if (chunk.length < LEAST_IN_WORDS || chunk.byteOffset % 4 !== 0) return null
  return new Int32Array(chunk.buffer, chunk.byteOffset, chunk.length >> 2)
}

/**
 * Where the run of octets that mean nothing ends: by far most of them, so this is all there is to speed. Whether one
 * of four is below LOWEST_PLAIN is one subtraction: it borrows into the highest bit of each octet that is.
 */
function plainEnd(chunk: Uint8Array, words: Int32Array | null, from: number): number {
  const { length } = chunk
  let at = from
  if (words) {
    while ((at & 3) !== 0 && at < length && (chunk[at] as number) >= LOWEST_PLAIN) at++
    if ((at & 3) === 0) at = plainWords(words, at >> 2) << 2
  }
  while (at < length && (chunk[at] as number) >= LOWEST_PLAIN) at++
  return at
}

function plainWords(words: Int32Array, from: number): number {
  const { length } = words
  let at = from
  for (; at < length; at++) {
    const word = words[at] as number
    if (((word - LOWEST_IN_EACH) & ~word & HIGH_IN_EACH) !== 0) break
  }
  return at
}

export class DataParser {
  readonly seen: Newlines
  #state = START
  readonly #sink: Sink

  constructor(normalise: boolean, sink: Sink) {
    this.seen = new Newlines(normalise, sink)
    this.#sink = sink
  }

  /** Takes octets from `from` on; returns where the commands go on, or -1 when the data do not end here. */
  push(chunk: Buffer, from: number): number {
    const { length } = chunk
    const words = wordsOf(chunk)
    let state = this.#state
    let begin = from
    for (let at = from; at < length; at++) {
      if (state === INSIDE) at = plainEnd(chunk, words, at)
      if (at === length) break
      const octet = chunk[at] as number
      if (state === INSIDE) {
        if (octet === CR) state = AFTER_CR
        else if (octet === LF) begin = this.seen.lf(chunk, begin, at)
        else if (octet === NUL) this.seen.nuls++
      } else if (state === AFTER_CR) {
        if (octet === LF) {
          state = START
          continue
        }
        begin = this.seen.cr(chunk, begin, at)
        state = INSIDE
        at-- // looked at again as the first octet after the bare CR
      } else if (state === START) {
        state = octet === DOT ? AFTER_DOT : INSIDE
        if (state === INSIDE) at--
        else begin = this.#hold(chunk, begin, at)
      } else if (state === AFTER_DOT) {
        state = octet === CR ? AFTER_DOT_CR : INSIDE
        if (state === INSIDE) at--
        else begin = at + 1
      } else {
        if (octet === LF) return this.#end(at)
        this.#sink(CR_OCTETS, 0, 1)
        begin = this.seen.cr(chunk, at, at)
        state = INSIDE
        at--
      }
    }
    if (begin < length) this.#sink(chunk, begin, length)
    this.#state = state
    return -1
  }

  /** The dot at `at` is not content: hands on what came before it. */
  #hold(chunk: Buffer, begin: number, at: number): number {
    if (at > begin) this.#sink(chunk, begin, at)
    return at + 1
  }

  #end(at: number): number {
    this.#state = START
    return at + 1
  }
}
