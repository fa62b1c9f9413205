/**
 * The header of a message (RFC 5322 section 2.2): taken apart into fields, and read for recipients.
 *
 * Text is latin1, one character for each octet, so that what is put together again is the same octets; lines end
 * in CRLF. `From ` lines of an mbox or of UUCP at the top are dropped. A message whose first line is no header
 * field has no header: all of it is body.
 * Next: `address-list.ts`.
 */
import { readAddresses } from './address-list.ts'

export interface Field {
  /** Lower case. */
  name: string
  /** Whole, folded as it came, with its last CRLF. */
  raw: string
}

/** The end of the header in `text`: where fields end and where the body begins; null when more has to come. */
export interface Split {
  fields: Field[]
  /** The `From ` and `>From ` lines on top. */
  envelopeLines: string[]
  /** What follows the blank line, as far as it is here. */
  body: string
}

/** RFC 5322 section 2.1.1: no line is longer than 998, so no name is. */
const LONGEST_NAME = 998
const FIELD = /^([\x21-\x39\x3b-\x7e]{1,998})[ \t]*:/

/** @param whole nothing follows `text`: then a header without a blank line ends with it. */
export function splitHeader(text: string, whole: boolean): Split | null {
  const fields: Field[] = []
  const envelopeLines: string[] = []
  let from = 0
  while (from < text.length) {
    const end = text.indexOf('\r\n', from) + 2
    if (end === 1 && !whole && mayBeField(text, from)) return null
    const line = end === 1 ? text.slice(from) : text.slice(from, end)
    const next = from + line.length
    if (line === '\r\n') return { fields, envelopeLines, body: text.slice(next) }
    if (fields.length === 0 && isEnvelopeLine(line, envelopeLines)) envelopeLines.push(line)
    else if (!addLine(fields, line)) return { fields, envelopeLines, body: text.slice(from) }
    from = next
  }
  return whole ? { fields, envelopeLines, body: '' } : null
}

/** A line that has not ended: what is long and without a colon belongs to no header. */
function mayBeField(text: string, from: number): boolean {
  if (text.length - from <= LONGEST_NAME) return true
  return /^[ \t]/.test(text.charAt(from)) || FIELD.test(text.slice(from, from + LONGEST_NAME + 2))
}

/** `From ` on the very top, and the older ones that each host on the way has quoted. */
function isEnvelopeLine(line: string, before: readonly string[]): boolean {
  return line.startsWith('From ') || (before.length > 0 && line.startsWith('>From '))
}

/** False when the line belongs to no header. */
function addLine(fields: Field[], line: string): boolean {
  const last = fields[fields.length - 1]
  if (/^[ \t]/.test(line) && last) {
    last.raw += line
    return true
  }
  const name = FIELD.exec(line)?.[1]
  if (name === undefined) return false
  fields.push({ name: name.toLowerCase(), raw: line.endsWith('\r\n') ? line : `${line}\r\n` })
  return true
}

/** What follows the colon, as it is. */
export function bodyOf({ raw }: Field): string {
  return raw.slice(raw.indexOf(':') + 1)
}

/** Octets are read as the UTF-8 that they may be (RFC 6532). */
export function decodeOctets(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8')
}

export type HeaderAddresses = { kind: 'good'; list: string[] } | { kind: 'bad'; what: string }

/** Those of -t: To, Cc and Bcc, or of a message sent on (RFC 5322 section 3.6.6) its newest Resent- block. */
export function headerRecipients(fields: readonly Field[]): HeaderAddresses {
  const resent = newestResentBlock(fields)
  const wanted = resent.length > 0 ? resent : fields
  const names = resent.length > 0 ? /^resent-(to|cc|bcc)$/ : /^(to|cc|bcc)$/
  return addressesOf(wanted.filter(({ name }) => names.test(name)))
}

export function addressesOf(fields: readonly Field[]): HeaderAddresses {
  const list: string[] = []
  for (const field of fields) {
    const read = readAddresses(decodeOctets(bodyOf(field)))
    if (read.kind === 'bad')
      return { kind: 'bad', what: `${field.name}: ${read.what.replace(/\s+/g, ' ').trim()}` }
    for (const address of read.list) list.push(address)
  }
  return { kind: 'good', list }
}

/** The topmost run of Resent- fields; none when the message was not sent on. */
export function newestResentBlock(fields: readonly Field[]): readonly Field[] {
  const first = fields.findIndex(({ name }) => name.startsWith('resent-'))
  if (first === -1) return []
  const rest = fields.slice(first)
  const end = rest.findIndex(({ name }) => !name.startsWith('resent-'))
  return end === -1 ? rest : rest.slice(0, end)
}
