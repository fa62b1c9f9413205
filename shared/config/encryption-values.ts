/**
 * For whose eyes mail is stored: `encrypt-to "age1…"`, `encrypt-to openpgp "ann@example.org"`.
 *
 * A key that cannot be right is a problem here, with its place: the check sum of an age recipient finds any typing
 * mistake. What a file of keys holds, and what a keyring has, is seen by the user's own process at each delivery.
 */
import type { Encryption } from '../message/route.ts'
import type { Arguments } from './arguments.ts'
import type { Word } from './tree.ts'
import { quote } from './types.ts'
import { bad, ok, type Reading } from './units.ts'

const MOST_KEYS = 20

/** Behind `encrypt-to`. */
export function readEncryption(args: Arguments): Encryption | undefined {
  const kind = args.keyword('openpgp') ? 'openpgp' : 'age'
  const read = kind === 'age' ? readAgeKey : readOpenPgpKey
  const keys: string[] = []
  do {
    const at = args.peek() ?? args.last
    const key = args.parse('"KEY"', read)
    if (key === undefined) return undefined
    if (keys.length >= MOST_KEYS) return args.fail(at, `more than ${MOST_KEYS} keys`)
    keys.push(key)
  } while (isKey(args.peekWord()))
  return { kind, keys, showHeader: args.keyword('show-header') !== null }
}

function isKey(word: Word | null): boolean {
  return word !== null && (word.quoted || word.text !== 'show-header')
}

export function printEncryption({ kind, keys, showHeader }: Encryption): string {
  const words = [...(kind === 'openpgp' ? [kind] : []), ...keys.map(quote)]
  return [...words, ...(showHeader ? ['show-header'] : [])].join(' ')
}

/** A file: below each user's home, or one for all. */
function isFile(text: string): boolean {
  return /^~?\/./.test(text)
}

function readAgeKey(text: string): Reading<string> {
  if (isFile(text) || isAgeRecipient(text)) return ok(text)
  if (/^age-secret-key-/i.test(text))
    return bad('this is the secret half of a key', 'give its public half: `age-keygen -y FILE` prints it')
  if (text.startsWith('age1'))
    return bad(`\`${text.slice(0, 20)}…\` is no recipient of age`, 'is a character missing or wrong?')
  if (/^[0-9a-f ]{8,}$/i.test(text) || text.includes('@'))
    return bad(`\`${text}\` is no recipient of age`, `for gpg write \`encrypt-to openpgp "${text}"\``)
  return bad(`\`${text}\` is no recipient of age`, '`age1…`, or a file of such lines: `~/PATH` or `/PATH`')
}

/** Fingerprints of version 4 and 5 keys; an address is looked for exactly. */
function readOpenPgpKey(text: string): Reading<string> {
  const digits = text.replace(/ /g, '').toUpperCase()
  if (/^[0-9A-F]{40}$|^[0-9A-F]{64}$/.test(digits)) return ok(digits)
  if (isFile(text)) return ok(text)
  if (/^[^\s<>@-][^\s<>@]*@[^\s<>@]+$/.test(text)) return ok(text)
  if (/^(0X)?[0-9A-F]{8,}$/.test(digits))
    return bad(`\`${text}\` is no whole fingerprint`, 'shorter ones can be forged: give all 40 digits')
  return bad(`\`${text}\` names no key`, 'a fingerprint, an address, or a file: `~/PATH` or `/PATH`')
}

const PREFIXES = new Set(['age', 'age1pq', 'age1tag', 'age1tagpq'])
const ALPHABET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
const LONGEST = 5000

/** Bech32 (BIP 173) without its limit of length, as age has it. */
export function isAgeRecipient(text: string): boolean {
  const end = text.lastIndexOf('1')
  const prefix = text.slice(0, end)
  if (!PREFIXES.has(prefix) || text.length > LONGEST) return false
  const values = [...text.slice(end + 1)].map((character) => ALPHABET.indexOf(character))
  if (values.length <= 6 || values.includes(-1)) return false
  const codes = [...prefix].map((character) => character.charCodeAt(0))
  return checkSum([...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31), ...values]) === 1
}

function checkSum(values: readonly number[]): number {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, word] of GENERATOR.entries()) if ((top >> bit) & 1) sum ^= word
  }
  return sum
}
