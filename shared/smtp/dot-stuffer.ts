/**
 * Dot-stuffing (RFC 5321 section 4.5.2) and the end of data, over content that comes in any number of pieces.
 *
 * A dot that begins a line is doubled; a line begins after any LF, so that even content with a bare LF (which
 * intake never lets in) cannot end the data early for a server that is lax about line ends. Pieces without such a
 * dot are passed on as they are, not copied. `end` gives what closes the data: the missing CRLF of the last line,
 * where it is missing, and `.CRLF`.
 */

const LF = 10
const CR = 13
const DOT = 46
const LINE_THEN_DOT = Buffer.from('\n.')
const END_AFTER_LINE = Buffer.from('.\r\n')
const END_INSIDE_LINE = Buffer.from('\r\n.\r\n')
const END_AFTER_CR = Buffer.from('\n.\r\n')

export class DotStuffer {
  #last = LF
  #beforeLast = CR

  push(piece: Buffer): Buffer {
    if (piece.length === 0) return piece
    const first = piece[0] === DOT && this.#last === LF
    this.#beforeLast = piece.length > 1 ? (piece[piece.length - 2] ?? 0) : this.#last
    this.#last = piece[piece.length - 1] ?? 0
    const next = piece.indexOf(LINE_THEN_DOT)
    return first || next >= 0 ? double(piece, first, next) : piece
  }

  end(): Buffer {
    if (this.#last === LF && this.#beforeLast === CR) return END_AFTER_LINE
    return this.#last === CR ? END_AFTER_CR : END_INSIDE_LINE
  }
}

/** The piece with every dot at a line's start doubled; `next` is the first LF before a dot, or -1. */
function double(piece: Buffer, first: boolean, next: number): Buffer {
  const untouched = first ? 0 : next
  const out = Buffer.allocUnsafe(piece.length + Math.ceil((piece.length - untouched) / 2) + 1)
  let to = piece.copy(out, 0, 0, untouched)
  let lineStart = first
  for (let at = untouched; at < piece.length; at++) {
    const octet = piece[at] ?? 0
    if (lineStart && octet === DOT) out[to++] = DOT
    out[to++] = octet
    lineStart = octet === LF
  }
  return out.subarray(0, to)
}
