/**
 * Commands out of octets: finds the end of each line, whole or in pieces, with bounded memory.
 *
 * A line ends with CRLF (RFC 5321 section 2.3.8). A bare LF ends it too, but makes it a bad line, so that a client
 * that never sends CRLF gets a reply and not silence. A line over `limit` is dropped to its end and told as
 * one bad line; one over ENDLESS is told as such, and the session ends.
 * Next: `data-parser.ts`, which takes over after DATA.
 */

/**
 * RFC 5321 section 4.5.3.1.4 asks for at least 512 octets, RFC 1870, 6152, 6531 add up to 53 for MAIL,
 * RFC 3461 some 500 for RCPT; more does no harm.
 */
export const LINE_LIMIT = 2048
/** A line that is longer is an attack or a different protocol. */
export const ENDLESS = 64 * 1024

export type BadLine = 'too-long' | 'endless' | 'bare-newline' | 'control' | 'not-utf8'
export type Line = { kind: 'line'; text: string } | { kind: 'bad-line'; why: BadLine }

const LF = 10
const CR = 13
const NOT_ASCII = /[^\x20-\x7e]/
const CONTROLS = /[^\x20-\x7e\x80-\xff]/
const utf8 = new TextDecoder('utf-8', { fatal: true })
const endless: Line = { kind: 'bad-line', why: 'endless' }

export class LineReader {
  /** Octets of a line with its end; no more than ENDLESS. */
  limit = LINE_LIMIT
  /** The line that the last `read` completed, or null when it used up the chunk. */
  line: Line | null = null
  #partial: Buffer | null = null
  /** Octets of the present line that were dropped. */
  #dropped = 0

  /** Reads from `from` on; returns where it stopped. */
  read(chunk: Buffer, from: number): number {
    const end = chunk.indexOf(LF, from)
    this.line = null
    if (end < 0) {
      this.#keep(chunk, from)
      return chunk.length
    }
    this.line = this.#complete(chunk, from, end)
    return end + 1
  }

  #keep(chunk: Buffer, from: number): void {
    const held = this.#partial?.length ?? 0
    const length = held + chunk.length - from
    if (this.#dropped > 0 || length > this.limit) {
      this.#partial = null
      this.#dropped += length
      if (this.#dropped > ENDLESS) this.line = endless
      return
    }
    const piece = chunk.subarray(from)
    this.#partial = this.#partial ? Buffer.concat([this.#partial, piece]) : Buffer.from(piece)
  }

  #complete(chunk: Buffer, from: number, end: number): Line {
    const dropped = this.#dropped
    const partial = this.#partial
    this.#dropped = 0
    this.#partial = null
    const length = (partial?.length ?? 0) + dropped + end + 1 - from
    if (length > ENDLESS) return endless
    if (length > this.limit) return { kind: 'bad-line', why: 'too-long' }
    if (!partial) return decode(chunk, from, end)
    const whole = Buffer.concat([partial, chunk.subarray(from, end + 1)])
    return decode(whole, 0, whole.length - 1)
  }
}

/** `end` is where the LF stands. */
function decode(octets: Buffer, from: number, end: number): Line {
  if (end === from || octets[end - 1] !== CR) return { kind: 'bad-line', why: 'bare-newline' }
  const text = octets.toString('latin1', from, end - 1)
  if (!NOT_ASCII.test(text)) return { kind: 'line', text }
  if (CONTROLS.test(text)) return { kind: 'bad-line', why: 'control' }
  try {
    return { kind: 'line', text: utf8.decode(octets.subarray(from, end - 1)) }
  } catch {
    return { kind: 'bad-line', why: 'not-utf8' }
  }
}
