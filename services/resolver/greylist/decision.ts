/**
 * Greylisting (RFC 6647): whether network, sender and recipient have been seen together long enough ago. Pure: a
 * function of what is remembered and of now.
 *
 * Who comes the first time waits; who comes again after `delay` and within `retryWithin` passes, and is known for
 * `keep` after its last mail. A network from which enough of them have passed is known as a whole.
 */
import type { GreylistSlice } from '../../../shared/config/slices.ts'

export type Terms = Pick<GreylistSlice, 'delay' | 'retryWithin' | 'keep' | 'knownAfter'>

/** What is remembered of three, or of a network; times in milliseconds since 1970. */
export interface Memory {
  first: number
  last: number
  /** How often it passed; of a network: how many of its threes did. */
  passed: number
}

export interface Decision {
  /** Milliseconds; 0: it passes. */
  wait: number
  memory: Memory
  /** It passes for the first time. */
  isNew: boolean
}

export function decide(known: Memory | null, now: number, terms: Terms): Decision {
  if (!known || expiresAt(known, terms) < now || known.first > now)
    return { wait: terms.delay, memory: { first: now, last: now, passed: 0 }, isNew: false }
  const due = known.first + terms.delay
  if (known.passed === 0 && now < due)
    return { wait: due - now, memory: { ...known, last: now }, isNew: false }
  const memory = { ...known, last: now, passed: known.passed + 1 }
  return { wait: 0, memory, isNew: known.passed === 0 }
}

/** When it is of no use any more. */
export function expiresAt({ first, last, passed }: Memory, { keep, retryWithin }: Terms): number {
  return passed > 0 ? last + keep : first + retryWithin
}

export function isKnown(network: Memory | null, now: number, terms: Terms): boolean {
  if (!network || terms.knownAfter === 0) return false
  return network.passed >= terms.knownAfter && expiresAt(network, terms) >= now
}

/** One of its threes passed for the first time. */
export function withOneMore(network: Memory | null, now: number, terms: Terms): Memory {
  if (!network || expiresAt(network, terms) < now) return { first: now, last: now, passed: 1 }
  return { ...network, last: now, passed: network.passed + 1 }
}

/** Mailing lists number their senders; the number is not who they are. */
export function senderKey(sender: string): string {
  const at = sender.lastIndexOf('@')
  return `${sender.slice(0, at).replace(/\d+/g, '#')}${sender.slice(at)}`.toLowerCase()
}
