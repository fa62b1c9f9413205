/**
 * The header of a message on its way through: gathered from octets at any split until the blank line, at most
 * LONGEST_HEADER of it. Linear in the octets.
 */

/** Ten times what mailing lists and filters bring about. */
export const LONGEST_HEADER = 256 * 1024
const FIRST_BUFFER = 4096
const BLANK_LINE = Buffer.from('\r\n\r\n')

export class HeaderGatherer {
  #buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER)
  #used = 0
  tooLong = false

  /** The header's text so far, without the blank line; latin1. */
  text(): string {
    const whole = this.#buffer.toString('latin1', 0, this.#used)
    return whole === '\r\n' ? '' : whole.replace(/\r\n\r\n$/, '\r\n')
  }

  /** Where the body begins, or -1 while the header goes on. */
  push(chunk: Buffer, from: number, to: number): number {
    const before = this.#used
    this.#append(chunk, from, to)
    const end = this.#end(Math.max(0, before - BLANK_LINE.length + 1))
    if (end < 0) {
      this.tooLong = this.#used > LONGEST_HEADER
      return this.tooLong ? to : -1
    }
    this.#used = end
    return from + end - before
  }

  #end(from: number): number {
    const seen = this.#buffer.subarray(0, this.#used)
    // a message may begin with the blank line
    if (seen[0] === 13 && seen[1] === 10) return 2
    const found = seen.indexOf(BLANK_LINE, from)
    return found < 0 ? -1 : found + BLANK_LINE.length
  }

  #append(chunk: Buffer, from: number, to: number): void {
    const needed = this.#used + to - from
    if (needed > this.#buffer.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(bigger, 0, 0, this.#used)
      this.#buffer = bigger
    }
    chunk.copy(this.#buffer, this.#used, from, to)
    this.#used = needed
  }
}
