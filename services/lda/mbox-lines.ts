/**
 * Messages as an mbox has them (RFC 4155 appendix A): a line `From SENDER DATE` before each, `>` before any line of its
 * own that begins with `From `, an empty line behind it. Pure.
 */
const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const SEPARATOR = '\nFrom '

/**
 * The date is UTC, as asctime(3) writes it. Readers take the first word for the sender: blanks in it become `_`.
 *
 * @param now milliseconds since 1970.
 */
export function fromLine(sender: string, now: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  const name = sender === '' ? 'MAILER-DAEMON' : sender.replace(/[\s\u0000-\u0020\u007f]/g, '_')
  const date = new Date(now)
  const time = date.toISOString().slice(11, 19)
  const day = String(date.getUTCDate()).padStart(2, ' ')
  const [weekday, month] = [WEEKDAYS[date.getUTCDay()], MONTHS[date.getUTCMonth()]]
  return `From ${name} ${weekday} ${month} ${day} ${time} ${date.getUTCFullYear()}\n`
}

/** What stands behind the first line, at any split. */
export class MboxLines {
  /** What may be the beginning of a separator; at first the end of the line before the message. */
  #held = '\n'
  #begun = false

  push(piece: Uint8Array): Buffer {
    const text = this.#held + Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1')
    const keep = overlap(text)
    this.#held = text.slice(text.length - keep)
    return this.#emit(text.slice(0, text.length - keep))
  }

  /** The end: its last line is whole, and an empty one follows. */
  end(): Buffer {
    const rest = this.#held
    this.#held = ''
    return this.#emit(rest.endsWith('\n') ? `${rest}\n` : `${rest}\n\n`)
  }

  #emit(text: string): Buffer {
    const quoted = text.replaceAll(SEPARATOR, '\n>From ')
    const begun = this.#begun || text === ''
    if (text !== '') this.#begun = true
    return Buffer.from(begun ? quoted : quoted.slice(1), 'latin1')
  }
}

/** How many octets at the end may be the beginning of a separator, or the last line end. */
function overlap(text: string): number {
  for (let length = SEPARATOR.length - 1; length > 0; length--) {
    if (text.endsWith(SEPARATOR.slice(0, length))) return length
  }
  return 0
}
