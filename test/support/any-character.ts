/**
 * Any character there is, for strings of fast-check: `fc.string({ unit: anyCharacter })`. Its own `unit: 'binary'`
 * means the same, and first makes a table of all of them, for a second of CPU in each file that uses it.
 */
import fc from 'fast-check'

const SURROGATES = 0xd800
const HOW_MANY = 0x800

export const anyCharacter = fc
  .nat(0x10ffff - HOW_MANY)
  .map((code) => String.fromCodePoint(code < SURROGATES ? code : code + HOW_MANY))
