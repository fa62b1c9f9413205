/**
 * What stands around ciphertext in a mailbox: a header that tells as little as it may, and multipart/encrypted
 * (RFC 1847 section 2.2) with its two parts. Pure; lines end in LF, as everything that is stored.
 *
 * OpenPGP is PGP/MIME (RFC 3156 section 4): what is encrypted is the message itself, every header field of it, and
 * mail readers show the real Subject (RFC 9788) because `protectedHeader` marks it. age has no such standard, so its
 * protocol is a type of our own; what is encrypted is the file that would have been stored otherwise.
 */
import { fieldValue, type HeaderField, readFields } from '../../shared/dkim/fields.ts'
import type { Encryption } from '../../shared/message/route.ts'

export interface Wrapper {
  /** Up to where ciphertext begins, and after it. Latin1, one character for each octet. */
  opening: string
  closing: string
}

export interface WrapperTerms {
  encryption: Encryption
  boundary: string
  /** Milliseconds since 1970. */
  now: number
}

/** Only as readers of mail need to sort. */
const SHOWN = ['from', 'to', 'date', 'message-id']
/** A field that is longer is not shown. */
const LONGEST_FIELD = 8192

const parts: Readonly<Record<Encryption['kind'], { protocol: string; control: string; file: string }>> = {
  age: { protocol: 'application/vnd.posthorn.age', control: 'Version: 1', file: 'message.age' },
  openpgp: { protocol: 'application/pgp-encrypted', control: 'Version: 1', file: 'encrypted.asc' },
}

/** @param header of the message as it came, with CRLF; '' where it cannot be told. */
export function wrapperOf(header: string, { encryption, boundary, now }: WrapperTerms): Wrapper {
  const { protocol, control, file } = parts[encryption.kind]
  const opening = [
    ...outerFields(header, encryption.showHeader, now),
    'Subject: ...',
    'MIME-Version: 1.0',
    `Content-Type: multipart/encrypted; protocol="${protocol}";`,
    `\tboundary="${boundary}"`,
    '',
    `--${boundary}`,
    `Content-Type: ${protocol}`,
    '',
    control,
    '',
    `--${boundary}`,
    `Content-Type: application/octet-stream; name="${file}"`,
    `Content-Disposition: inline; filename="${file}"`,
    '',
    '',
  ]
  return { opening: opening.join('\n'), closing: `\n--${boundary}--\n` }
}

/** Date and From have to be there (RFC 5322 section 3.6). */
function outerFields(header: string, shown: boolean, now: number): string[] {
  const fields = shown ? readFields(header) : []
  const kept = SHOWN.flatMap((name) => fields.find((field) => field.name === name) ?? [])
    .filter(({ raw }) => raw.length <= LONGEST_FIELD)
    .map(({ name, raw }) => ({ name, line: raw.slice(0, -2).replaceAll('\r\n', '\n').replaceAll('\r', ' ') }))
  const has = (name: string) => kept.some((field) => field.name === name)
  return [
    ...(has('from') ? [] : ['From: ... <encrypted@invalid>']),
    ...(has('date') ? [] : [`Date: ${new Date(now).toUTCString().replace('GMT', '+0000')}`]),
    ...kept.map(({ line }) => line),
  ]
}

/** By its own word: PGP/MIME, S/MIME (RFC 8551 section 3.5) or our own wrapper. */
export function isEncrypted(header: string): boolean {
  const fields = readFields(header).filter(({ name }) => name === 'content-type')
  const [only] = fields
  if (!only || fields.length > 1) return false
  const value = fieldValue(only).toLowerCase()
  if (/^multipart\/encrypted\s*;/.test(value)) return true
  return (
    /^application\/(x-)?pkcs7-mime\s*;/.test(value) &&
    /;\s*smime-type\s*=\s*"?(auth)?enveloped-data/.test(value)
  )
}

/** The header with the mark by which readers take its Subject for the real one (RFC 9788 section 2.1.1). */
export function protectedHeader(header: string): string {
  const fields = readFields(header).filter(({ name }) => name === 'content-type')
  if (fields.length === 0) return `${header}\r\nContent-Type: text/plain${MARK}`
  const [only] = fields
  return only && fields.length === 1 ? header.replace(only.raw.slice(0, -2), (raw) => marked(raw)) : header
}

const MARK = ';\r\n\tprotected-headers="v1"; hp="cipher"'

function marked(raw: HeaderField['raw']): string {
  return `${raw.replace(/[;\s]+$/, '')}${MARK}`
}
