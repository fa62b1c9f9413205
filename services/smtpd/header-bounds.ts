/**
 * What a listener's bounds say of a message's header and of its lines. Pure, linear in what it is given.
 *
 * The header reaches to the first blank line; where there is none within the bound it ends with the last line that
 * is one of a header, so that text without a header is taken. What is wrong with it is the name of a reply
 * (`verdicts` in `session.ts`).
 */
import type { BoundsSlice } from '../../shared/config/bounds.ts'
import { splitHeader } from '../../shared/message/header.ts'
import { countHops } from './received.ts'

export type HeaderFault =
  | 'long-header'
  | 'many-fields'
  | 'long-line'
  | 'nul-in-header'
  | 'eight-bit-header'
  | 'bare-newline'
  | 'looping'

/** What is known of the message besides its octets. */
export interface HeaderTerms {
  bounds: BoundsSlice
  /** SMTPUTF8 was asked for (RFC 6532). */
  utf8: boolean
  /** BINARYMIME: nobody has looked at its line ends. */
  binary: boolean
}

const HEADER_END = Buffer.from('\r\n\r\n')
const FIELD = /^[\x21-\x39\x3b-\x7e]+[ \t]*:/gm
const EIGHT_BIT = /[\x80-\xff]/
const BARE_NEWLINE = /\r(?!\n)|(?<!\r)\n/

/** With the blank line behind it; where there is none, all there is. */
export function headerText(content: Buffer): { text: string; ended: boolean } {
  // a message may begin with the empty line that ends its header
  if (content[0] === 13 && content[1] === 10) return { text: '\r\n', ended: true }
  const found = content.indexOf(HEADER_END)
  const end = found < 0 ? content.length : found + HEADER_END.length
  return { text: content.toString('latin1', 0, end), ended: found >= 0 }
}

/** @param more of the content is still to come. */
export function whyNotHeader(
  { text, ended }: ReturnType<typeof headerText>,
  more: boolean,
  terms: HeaderTerms,
): HeaderFault | null {
  const { headerSize } = terms.bounds
  if (ended && text.length <= headerSize) return faultOf(text, terms)
  const split = splitHeader(text, !more)
  if (split === null) return 'long-header'
  const header = text.slice(0, text.length - split.body.length)
  return header.length > headerSize ? 'long-header' : faultOf(header, terms)
}

/** NULs in the header, where they pass. */
export function nulsOf({ text, ended }: ReturnType<typeof headerText>): number {
  const body = ended ? '' : (splitHeader(text, true)?.body ?? '')
  return text.slice(0, text.length - body.length).split('\0').length - 1
}

function faultOf(header: string, { bounds, utf8, binary }: HeaderTerms): HeaderFault | null {
  if (bounds.headerNul === 'refuse' && header.includes('\0')) return 'nul-in-header'
  if (bounds.header8bit === 'refuse' && !utf8 && EIGHT_BIT.test(header)) return 'eight-bit-header'
  if (binary && BARE_NEWLINE.test(header)) return 'bare-newline'
  const { lines, longest } = measure(header)
  if (longest > bounds.headerLine) return 'long-line'
  // fewer lines cannot be more fields, so most headers are not looked at again
  if (lines > bounds.headerFields && countFields(header) > bounds.headerFields) return 'many-fields'
  return countHops(header) > bounds.hops ? 'looping' : null
}

function measure(header: string): { lines: number; longest: number } {
  let lines = 0
  let longest = 0
  for (let from = 0; from < header.length; lines++) {
    const end = header.indexOf('\n', from)
    const next = end < 0 ? header.length : end + 1
    longest = Math.max(longest, end < 0 ? next - from : next - from - 2)
    from = next
  }
  return { lines, longest }
}

function countFields(header: string): number {
  FIELD.lastIndex = 0
  let fields = 0
  while (FIELD.test(header)) fields++
  return fields
}

/** The length of lines, over pieces of content. Nothing is kept but a number. */
export class LineMeter {
  tooLong = false
  readonly #most: number
  #length = 0

  /** @param limit octets without CRLF. */
  constructor(limit: number) {
    this.#most = limit + 2
  }

  push(chunk: Buffer, from: number, to: number): void {
    // a view, so that what lies behind it is not searched again and again
    const piece = chunk.subarray(from, to)
    for (let at = 0; at < piece.length && !this.tooLong; ) {
      const end = piece.indexOf(10, at)
      const next = end < 0 ? piece.length : end + 1
      this.#length += next - at
      this.tooLong = this.#length > this.#most
      if (end >= 0) this.#length = 0
      at = next
    }
  }
}
