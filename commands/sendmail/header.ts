/**
 * The header of a message handed to sendmail: found, read for recipients, rid of Bcc.
 *
 * Text is latin1, one character for each octet, lines end in CRLF. `From ` lines of an mbox or of UUCP at the top
 * are dropped. A message whose first line is no header field has no header: all of it is body. Other fix-ups (Date,
 * Message-ID, a missing From) are the server's, RFC 6409 section 8; only the full name of -F is known here alone.
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

const FIELD = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/

/** @param whole nothing follows `text`: then a header without a blank line ends with it. */
export function splitHeader(text: string, whole: boolean): Split | null {
  const fields: Field[] = []
  const envelopeLines: string[] = []
  let from = 0
  while (from < text.length) {
    const end = text.indexOf('\r\n', from) + 2
    if (end === 1 && !whole) return null
    const line = end === 1 ? text.slice(from) : text.slice(from, end)
    const next = from + line.length
    if (line === '\r\n') return { fields, envelopeLines, body: text.slice(next) }
    if (fields.length === 0 && isEnvelopeLine(line, envelopeLines)) envelopeLines.push(line)
    else if (!addLine(fields, line)) return { fields, envelopeLines, body: text.slice(from) }
    from = next
  }
  return whole ? { fields, envelopeLines, body: '' } : null
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

/** RFC 5322 section 2.2.3, and the octets read as the UTF-8 that they may be. */
function unfolded(field: Field): string {
  const value = field.raw.slice(field.raw.indexOf(':') + 1).replace(/\r\n(?=[ \t])/g, '')
  return Buffer.from(value.trim(), 'latin1').toString('utf8')
}

export type HeaderRecipients = { kind: 'good'; list: string[] } | { kind: 'bad'; what: string }

/** Those of -t: To, Cc and Bcc, or of a message sent on (RFC 5322 section 3.6.6) its newest Resent- block. */
export function headerRecipients(fields: readonly Field[]): HeaderRecipients {
  const resent = newestResentBlock(fields)
  const wanted = resent.length > 0 ? resent : fields.filter(({ name }) => /^(to|cc|bcc)$/.test(name))
  const list: string[] = []
  for (const field of wanted) {
    const read = readAddresses(unfolded(field))
    if (read.kind === 'bad') return { kind: 'bad', what: `${field.name}: ${read.what}` }
    list.push(...read.list)
  }
  return { kind: 'good', list }
}

/** The recipient fields of the topmost run of Resent- fields; none when the message was not sent on. */
function newestResentBlock(fields: readonly Field[]): Field[] {
  const first = fields.findIndex(({ name }) => name.startsWith('resent-'))
  if (first === -1) return []
  const rest = fields.slice(first)
  const end = rest.findIndex(({ name }) => !name.startsWith('resent-'))
  const block = end === -1 ? rest : rest.slice(0, end)
  return block.filter(({ name }) => /^resent-(to|cc|bcc)$/.test(name))
}

export interface Author {
  fullName: string | null
  /** The reverse-path, or the caller's name where that is null. */
  address: string
}

/** The header as it goes out, with the blank line: no Bcc, and the From that -F makes where there is none. */
export function renderHeader(fields: readonly Field[], author: Author): string {
  const kept = fields.filter(({ name }) => name !== 'bcc' && name !== 'resent-bcc')
  const from = author.fullName && !fields.some(({ name }) => name === 'from') ? renderFrom(author) : ''
  return `${from}${kept.map(({ raw }) => raw).join('')}\r\n`
}

function renderFrom({ fullName, address }: Author): string {
  const line = `From: ${renderPhrase(fullName ?? '')} <${address}>\r\n`
  return Buffer.from(line, 'utf8').toString('latin1')
}

/** RFC 5322 section 3.2.5: atoms, a quoted string, or what is beyond ASCII as RFC 2047 encoded words. */
export function renderPhrase(name: string): string {
  if (/^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]+$/.test(name)) return name
  if (/^[\x20-\x7e]+$/.test(name)) return `"${name.replace(/[\\"]/g, '\\$&')}"`
  return encodedWords(name)
}

/** An encoded word has at most 75 characters (RFC 2047 section 2): 45 octets in base64 are 60. */
const WORD_OCTETS = 45

function encodedWords(text: string): string {
  const words: string[] = []
  let word = ''
  for (const character of text) {
    if (Buffer.byteLength(word + character) > WORD_OCTETS) {
      words.push(word)
      word = ''
    }
    word += character
  }
  words.push(word)
  return words.map((one) => `=?utf-8?B?${Buffer.from(one).toString('base64')}?=`).join('\r\n ')
}
