/**
 * What comes on standard input, made into lines as mail has them: CRLF, whatever came (LF, CRLF, a bare CR, any
 * mixture), and the dots seen to. Without -i a line with nothing but a dot ends the message, and a dot that was
 * doubled to protect it is single again; with -i dots are text.
 *
 * Takes octets at any split, gives octets as latin1 text (one character each). A pair is never torn apart: what
 * might belong to the next piece is kept back.
 */

const CR = '\r'

export class LineInput {
  readonly #ignoreDots: boolean
  #kept = ''
  #lineStart = true
  #ended = false

  constructor(ignoreDots: boolean) {
    this.#ignoreDots = ignoreDots
  }

  /** True once the lone dot has come; nothing after it is looked at. */
  get ended(): boolean {
    return this.#ended
  }

  push(octets: Buffer): string {
    if (this.#ended) return ''
    const text = this.#kept + octets.toString('latin1')
    const keep = this.#lengthToKeep(text)
    this.#kept = text.slice(text.length - keep)
    return this.#take(text.slice(0, text.length - keep))
  }

  /** What was kept back when nothing more comes. */
  end(): string {
    if (this.#ended) return ''
    const rest = this.#kept
    this.#kept = ''
    if (!this.#ignoreDots && /^\.\r?$/.test(rest) && this.#lineStart) {
      this.#ended = true
      return ''
    }
    return this.#take(rest)
  }

  /** A CR may be half a CRLF; a dot at a line's start may be the last line, or the first of two. */
  #lengthToKeep(text: string): number {
    const cr = text.endsWith(CR) ? 1 : 0
    if (this.#ignoreDots) return cr
    const dot = text.length - cr - 1
    if (text.charAt(dot) !== '.') return cr
    const before = text.charAt(dot - 1)
    const atStart = dot === 0 ? this.#lineStart : before === '\n' || before === CR
    return atStart ? cr + 1 : cr
  }

  #take(raw: string): string {
    if (raw === '') return ''
    const text = raw.includes(CR) ? raw.replace(/\r\n?|\n/g, '\r\n') : raw.replaceAll('\n', '\r\n')
    const lines = this.#ignoreDots ? text : this.#undot(text)
    if (text !== '') this.#lineStart = text.endsWith('\n')
    return lines
  }

  #undot(text: string): string {
    const end = this.#lineStart && text.startsWith('.\r\n') ? 0 : text.indexOf('\n.\r\n') + 1
    const atOnce = end === 0 && text.startsWith('.\r\n') && this.#lineStart
    this.#ended = atOnce || end > 0
    const lines = this.#ended ? text.slice(0, end) : text
    const first = this.#lineStart && lines.startsWith('..') ? lines.slice(1) : lines
    return first.replaceAll('\n..', '\n.')
  }
}
