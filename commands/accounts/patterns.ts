/**
 * Recipients by pattern: for `confirm-recipients`, and for what a yes covers. Pure.
 *
 * `*` is any run of characters, upper and lower case are one, and `+detail` of an address is looked at only where
 * the pattern has one, as in the policies of posthorn.conf. In a list the first element that matches decides, a
 * negated one says no, and what matches nothing is not in it, as in address match lists.
 */
import type { Arguments } from '../../shared/config/arguments.ts'
import { quote, type Type } from '../../shared/config/types.ts'
import { bad, ok, type Reading } from '../../shared/config/units.ts'

export interface RecipientElement {
  negated: boolean
  pattern: string
}

/** `*` is any text; upper and lower case are one. Linear: no backtracking beyond the last `*`. */
export function matchesPattern(pattern: string, text: string): boolean {
  const parts = pattern.toLowerCase().split('*')
  const rest = text.toLowerCase()
  const [first = '', ...others] = parts
  const last = others.pop()
  if (last === undefined) return rest === first
  if (!rest.startsWith(first)) return false
  let at = first.length
  for (const part of others) {
    const found = rest.indexOf(part, at)
    if (found === -1) return false
    at = found + part.length
  }
  return rest.length - last.length >= at && rest.endsWith(last)
}

export function matchesRecipient(pattern: string, address: string): boolean {
  if (matchesPattern(pattern, address)) return true
  const hasDetail = pattern.slice(0, pattern.lastIndexOf('@')).includes('+')
  return !hasDetail && matchesPattern(pattern, withoutDetail(address))
}

function withoutDetail(address: string): string {
  const at = address.lastIndexOf('@')
  const plus = address.indexOf('+')
  return plus > 0 && plus < at ? address.slice(0, plus) + address.slice(at) : address
}

export function isListed(list: readonly RecipientElement[], address: string): boolean {
  const decisive = list.find(({ pattern }) => matchesRecipient(pattern, address))
  return decisive !== undefined && !decisive.negated
}

export function readPattern(written: string): Reading<string> {
  return /^[^\s@<>"]+@[^\s@<>"]+$/.test(written) || written === '*'
    ? ok(written.toLowerCase())
    : bad(`\`${written}\` is no pattern of addresses`, 'for example `"*@example.com"`')
}

const WORDS: Readonly<Record<string, string>> = { any: '*' }
const SYNTAX = '[!]"PATTERN"'

export const recipientElement: Type<RecipientElement> = {
  syntax: SYNTAX,
  read: (args: Arguments) => {
    const negated = args.peek()?.kind === 'not'
    if (negated) args.take()
    const pattern = args.parse(SYNTAX, (written, { quoted }) =>
      quoted ? readPattern(written) : readPattern(WORDS[written] ?? written),
    )
    return pattern === undefined ? undefined : { negated, pattern }
  },
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ negated, pattern }) => `${negated ? '!' : ''}${quote(pattern)}`,
}
