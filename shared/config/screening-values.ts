/**
 * The types of screening: ranges of addresses in the answers of DNS lists. `types.ts` explains what a type is.
 */
import { isIPv4 } from 'node:net'
import type { DnsListSlice } from './slices.ts'
import type { Type } from './types.ts'
import { bad, ok, type Reading } from './units.ts'

type ReplyRange = DnsListSlice['replies'][number]

const LOOPBACK = 127

/** `127.0.0.2`, or `127.0.0.4-127.0.0.7`: RFC 5782 section 2.3 has answers in 127.0.0.0/8. */
export const replyRange: Type<ReplyRange> = {
  syntax: 'ADDRESS[-ADDRESS]',
  read: (args) => args.parse('ADDRESS[-ADDRESS]', readRange),
  valid: (value) => typeof value === 'object' && value !== null,
  print: ({ from, to }) => (from === to ? dotted(from) : `${dotted(from)}-${dotted(to)}`),
}

function readRange(text: string): Reading<ReplyRange> {
  const [first = '', last = first, ...rest] = text.split('-')
  if (rest.length > 0 || !isIPv4(first) || !isIPv4(last))
    return bad(`\`${text}\` is no address or range of them`, 'such as `127.0.0.2` or `127.0.0.4-127.0.0.7`')
  const [from, to] = [numberOf(first), numberOf(last)]
  if (from > to) return bad(`the range \`${text}\` ends before it begins`)
  if (from >>> 24 !== LOOPBACK || to >>> 24 !== LOOPBACK)
    return bad(`\`${text}\` is no answer of a DNS list`, 'they are all in 127.0.0.0/8')
  return ok({ from, to })
}

/** An IPv4 address as a number. */
export function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}
