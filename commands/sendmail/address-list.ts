/**
 * Addresses out of an address list (RFC 5322 section 3.4), as a command line or a header field has them.
 *
 * A plain address is taken as it is. Everything else (names, comments, groups, quoted strings) goes through
 * nodemailer's parser, which is generous to a fault: of `ann+"x"@example.org` it makes somebody else's address.
 * So an address counts only when it stands in the text word for word; what does not is reported, not guessed.
 * Unqualified names (`root`) pass: the server completes them.
 */
import addressparser from 'nodemailer/lib/addressparser'

export type Addresses = { kind: 'good'; list: string[] } | { kind: 'bad'; what: string }

interface Parsed {
  address?: string | undefined
  name?: string | undefined
  group?: Parsed[] | undefined
}

/** RFC 5321 section 4.1.2: a dot-string (laxly), perhaps with a domain. Non-ASCII as in RFC 6531. */
const PLAIN = /^[^\s"(),:;<>@[\]\\\p{Cc}]+(@[^\s"(),:;<>@\\\p{Cc}]+)?$/u
const QUOTED = /^"(?:[^"\\\p{Cc}]|\\[\u0020-\u007e])*"@[^\s"(),:;<>@\\\p{Cc}]+$/u

/** @param text one line: unfolded, without CR and LF. */
export function readAddresses(text: string): Addresses {
  const trimmed = text.trim()
  if (isAddress(trimmed)) return { kind: 'good', list: [trimmed] }
  const list: string[] = []
  for (const entry of flatten(addressparser(trimmed) as Parsed[])) {
    const address = entry.address || entry.name || ''
    if (address === '') continue
    if (!isAddress(address) || !trimmed.includes(address)) return { kind: 'bad', what: address }
    list.push(address)
  }
  return { kind: 'good', list }
}

export function isAddress(text: string): boolean {
  return text.length <= 1000 && (PLAIN.test(text) || QUOTED.test(text))
}

function flatten(entries: readonly Parsed[]): Parsed[] {
  return entries.flatMap((entry) => (entry.group ? flatten(entry.group) : [entry]))
}
