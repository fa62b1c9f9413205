/**
 * Replies of a server, cut out of the octets it sends (RFC 5321 section 4.2, enhanced codes RFC 2034).
 *
 * `ReplyReader` takes chunks as they come from the socket, at any split, and gives whole replies in order. Lines
 * may end in a bare LF. Of a multi-line reply the last line's code counts, as every MTA in use has it.
 * Fails: a line that is no reply, a reply past MAX_REPLY octets or one that never ends is garbage; after that
 * the reader gives nothing more and the connection is of no use.
 */
import type { SmtpReply } from './reply.ts'

/** Octets of one reply; RFC 5321 section 4.5.3.1.5 asks for 512 a line, real EHLO and policy texts want more. */
export const MAX_REPLY = 64 * 1024

export const GARBAGE = 'garbage'

const LF = 10
const CR = 13
const SPACE = 32
const HYPHEN = 45
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:[ \t]|$)/

export class ReplyReader {
  #partial: Buffer | null = null
  /** Lines of the reply under way, without codes; null between replies. */
  #lines: string[] | null = null
  #size = 0
  #broken = false

  /** Part of a reply is here, and its end is not. */
  get pending(): boolean {
    return this.#partial !== null || this.#lines !== null
  }

  /** Hands each whole reply to `take`, GARBAGE when there will be no other. */
  push(chunk: Buffer, take: (reply: SmtpReply | typeof GARBAGE) => void): void {
    if (this.#broken) return
    const data = this.#partial ? Buffer.concat([this.#partial, chunk]) : chunk
    this.#partial = null
    let start = 0
    for (let end = data.indexOf(LF); end >= 0; end = data.indexOf(LF, start)) {
      const reply = this.#line(data, start, end > start && data[end - 1] === CR ? end - 1 : end)
      start = end + 1
      if (reply) take(reply)
      if (this.#broken) return
    }
    if (start === data.length) return
    if (this.#size + data.length - start > MAX_REPLY) return take(this.#break())
    // the memory of the chunk is read into again
    this.#partial = Buffer.from(data.subarray(start))
  }

  #line(data: Buffer, start: number, end: number): SmtpReply | typeof GARBAGE | null {
    this.#size += end - start
    const code = codeAt(data, start, end)
    if (code === 0 || this.#size > MAX_REPLY) return this.#break()
    const text = data.toString('utf8', Math.min(start + 4, end), end)
    if (data[start + 3] === HYPHEN && end > start + 3) {
      this.#lines ??= []
      this.#lines.push(text)
      return null
    }
    const lines = this.#lines
    this.#lines = null
    this.#size = 0
    return joinReply(code, lines ? [...lines, text] : [text])
  }

  #break(): typeof GARBAGE {
    this.#broken = true
    this.#partial = null
    this.#lines = null
    return GARBAGE
  }
}

/** The code that a line begins with, 0 when it is no reply line: three digits, then a space, a hyphen or the end. */
function codeAt(data: Buffer, start: number, end: number): number {
  const length = end - start
  if (length < 3) return 0
  const a = (data[start] ?? 0) - 48
  const b = (data[start + 1] ?? 0) - 48
  const c = (data[start + 2] ?? 0) - 48
  if (a < 2 || a > 5 || b < 0 || b > 9 || c < 0 || c > 9) return 0
  if (length > 3 && data[start + 3] !== SPACE && data[start + 3] !== HYPHEN) return 0
  return a * 100 + b * 10 + c
}

function joinReply(code: number, lines: readonly string[]): SmtpReply {
  const enhanced = ENHANCED.exec(lines[lines.length - 1] ?? '')?.[1] ?? ''
  // RFC 2034 section 4: class and first digit agree, or the enhanced code means nothing.
  if (!enhanced || Number(enhanced[0]) !== Math.floor(code / 100))
    return { code, enhanced: '', text: lines.join('\n') }
  return { code, enhanced, text: lines.map((line) => line.replace(ENHANCED, '')).join('\n') }
}
