/**
 * How addresses and envelope ids travel inside parameters and reports: xtext (RFC 3461 section 4) for ASCII, and
 * the forms that RFC 6533 section 3 gives to addresses beyond it. Pure, linear in the text, never throws.
 *
 * What decodes is printable: neither a control character nor a line end ever comes out, so a decoded value may
 * stand in a header field. Next: `services/smtpd/parameters.ts`, `services/qmgr/report-fields.ts`.
 */

/** RFC 3461 section 4: `+` and two upper-case hexadecimal digits, or any of `!` to `~` but `+` and `=`. */
const XTEXT = /^(?:[!-*,-<>-~]|\+[0-9A-F]{2})+$/
const HEX_CHARACTER = /\+([0-9A-F]{2})/g
const PRINTABLE = /^[\x20-\x7e\t]*$/

/** The text behind an xtext; null when it is none, or hides something that cannot be printed. */
export function decodeXtext(text: string): string | null {
  const plain = decodeOctets(text)
  return plain !== null && PRINTABLE.test(plain) ? plain : null
}

/** Each octet as one character. */
function decodeOctets(text: string): string | null {
  if (!XTEXT.test(text)) return null
  return text.replace(HEX_CHARACTER, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
}

/** An address with the name of the space it belongs to, as ORCPT and the fields of a report have it. */
export interface TypedAddress {
  type: string
  address: string
}

/** An atom, but for the `=` that no value of a parameter may hold (RFC 5321 section 4.1.2). */
const ADDRESS_TYPE = /^[!#-'*+\-/-9?A-Z^-~]+$/

/** The value of ORCPT, RFC 3461 section 4.2. @param utf8 characters beyond ASCII may stand as they are. */
export function parseTypedAddress(text: string, utf8: boolean): TypedAddress | null {
  const semicolon = text.indexOf(';')
  const type = text.slice(0, Math.max(semicolon, 0))
  if (!ADDRESS_TYPE.test(type)) return null
  const encoded = text.slice(semicolon + 1)
  const address = type.toLowerCase() === 'utf-8' ? decodeUtf8Address(encoded, utf8) : decodeXtext(encoded)
  return address === null ? decodeMistyped(type, encoded) : { type, address }
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Postfix (seen in 3.7) names an address beyond ASCII `rfc822` and writes its octets of UTF-8 as xtext, which RFC 3461
 * keeps for ASCII. To refuse it would bounce all its mail for such addresses: it is taken for what is meant.
 */
function decodeMistyped(type: string, encoded: string): TypedAddress | null {
  const octets = type.toLowerCase() === 'rfc822' ? decodeOctets(encoded) : null
  if (octets === null) return null
  try {
    const address = STRICT_UTF8.decode(Buffer.from(octets, 'latin1'))
    return UNPRINTABLE.test(address) ? null : { type: 'utf-8', address }
  } catch {
    return null // some other charset: nobody could say which
  }
}

// RFC 6533 section 3: QCHAR and EmbeddedUnicodeChar; upper-case digits, no needless zeros
const ESCAPED_ADDRESS = /^(?:[!-*,-<>-[\]-~]|\\x\{(?:[0-9A-F]{2}|[1-9A-F][0-9A-F]{2,4}|10[0-9A-F]{4})\})+$/
const BEYOND_ASCII = /[\u{a0}-\u{d7ff}\u{e000}-\u{fffc}\u{10000}-\u{10ffff}]/gu
const EMBEDDED = /\\x\{([0-9A-F]+)\}/g
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029\ufffd]/u

/** utf-8-addr-xtext, and with `utf8` utf-8-addr-unitext too. */
function decodeUtf8Address(text: string, utf8: boolean): string | null {
  const escaped = utf8 ? text.replace(BEYOND_ASCII, '') : text
  if (text === '' || (escaped !== '' && !ESCAPED_ADDRESS.test(escaped))) return null
  const plain = text.replace(EMBEDDED, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 16)),
  )
  return UNPRINTABLE.test(plain) ? null : plain
}

/** utf-8-addr-xtext: fit for where only ASCII may stand. */
export function encodeUtf8Address(address: string): string {
  return address.replace(/[^!-*,-<>-[\]-~]/gu, (character) => {
    const digits = (character.codePointAt(0) ?? 0).toString(16).toUpperCase()
    return `\\x{${digits.padStart(2, '0')}}`
  })
}
