/**
 * Header fields as DKIM signs them (RFC 6376 sections 3.4.1, 3.4.2, 3.7 and 5.4.2).
 *
 * Text is latin1, one character for each octet, so nothing is lost; lines end in CRLF. What is no field (a line
 * without a colon) belongs to none and ends nothing. Linear in the header, never throws.
 */
import type { Canonicalization } from './body-hash.ts'

export interface HeaderField {
  /** Lower case. */
  name: string
  /** As it came, folded, with its last CRLF. */
  raw: string
}

const NAME = /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/

/** @param header without the blank line that ends it. */
export function readFields(header: string): HeaderField[] {
  const fields: HeaderField[] = []
  // a line end that is followed by white space folds (RFC 5322 section 2.2.3)
  for (const part of header.split(/\r\n(?![ \t])/)) {
    const name = NAME.exec(part)?.[1]
    if (name !== undefined) fields.push({ name: name.toLowerCase(), raw: `${part}\r\n` })
  }
  return fields
}

/** The value, folding and white space around it taken away. */
export function fieldValue({ raw }: HeaderField): string {
  return raw
    .slice(raw.indexOf(':') + 1)
    .replaceAll('\r\n', '')
    .trim()
}

/** With its CRLF. */
export function canonicalField({ name, raw }: HeaderField, canonicalization: Canonicalization): string {
  if (canonicalization === 'simple') return raw
  const value = raw
    .slice(raw.indexOf(':') + 1)
    .replaceAll('\r\n', '')
    .replace(/[ \t]+/g, ' ')
  return `${name}:${value.replace(/^ | $/g, '')}\r\n`
}

/**
 * RFC 6376 section 5.4.2: a name that stands more than once in `h=` takes fields from the bottom up; one for which
 * no field is left takes nothing, which is how a field is signed as absent.
 */
export function selectFields(fields: readonly HeaderField[], names: readonly string[]): HeaderField[] {
  const left = new Map<string, HeaderField[]>()
  for (const field of fields) {
    const known = left.get(field.name)
    if (known) known.push(field)
    else left.set(field.name, [field])
  }
  return names.flatMap((name) => left.get(name)?.pop() ?? [])
}

/** What is hashed and signed: the fields named, then the signature itself with nothing in its `b=`. */
export function signedHeader(
  fields: readonly HeaderField[],
  names: readonly string[],
  signature: HeaderField,
  canonicalization: Canonicalization,
): Buffer {
  const chosen = selectFields(fields, names).map((field) => canonicalField(field, canonicalization))
  const unsigned = { name: signature.name, raw: withoutB(signature.raw) }
  const last = canonicalField(unsigned, canonicalization).slice(0, -2)
  return Buffer.from(chosen.join('') + last, 'latin1')
}

/** RFC 6376 section 3.7: everything between `b=` and the next semicolon goes, white space too. */
function withoutB(raw: string): string {
  const colon = raw.indexOf(':') + 1
  const value = raw.slice(colon).replace(/((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*/, (whole, tag: string) => {
    // a field's own end is not part of the tag
    return whole.endsWith('\r\n') ? `${tag}\r\n` : tag
  })
  return raw.slice(0, colon) + value
}
