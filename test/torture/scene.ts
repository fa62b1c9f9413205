/**
 * What the traced qmgr of the power-cut rig is given to do, and the words in which it tells of it. Pure.
 *
 * Everything follows from the seed and a number: sizes, recipients, what becomes of each. A recipient's address
 * says its fate, so that every process knows it without asking: `sent-…`, `never-…`, `later2-…` (twice later,
 * then sent).
 */
import type { Outcome } from '../../shared/message/outcome.ts'
import { seeded } from './random.ts'

/** Of how many messages one is too large for the database. */
const LARGE_SHARE = 0.12
const LARGE_OCTETS = 220_000
const SMALL_OCTETS = 6000
const FATES = ['sent', 'sent', 'sent', 'never', 'later1', 'later2'] as const

export interface Order {
  octets: number
  recipients: string[]
}

export function orderOf(seed: number, n: number): Order {
  const random = seeded(seed * 100_003 + n)
  const count = 1 + random.below(3)
  const recipients = Array.from({ length: count }, (_, at) => `${random.pick(FATES)}-${n}-${at}@far.example`)
  const octets = random.chance(LARGE_SHARE) ? LARGE_OCTETS : 200 + random.below(SMALL_OCTETS)
  return { octets, recipients }
}

/** @param attempt 1 for the first. */
export function outcomeFor(address: string, attempt: number): Outcome {
  const [fate = ''] = address.split('-')
  const waits = Number(/^later(\d)$/.exec(fate)?.[1] ?? 0)
  if (fate === 'never')
    return {
      kind: 'never',
      reply: { code: 550, enhanced: '5.1.1', text: 'no such user', host: 'far.example' },
    }
  if (attempt <= waits)
    return {
      kind: 'later',
      blame: 'recipient',
      reply: { code: 450, enhanced: '4.2.1', text: 'busy', host: 'far.example' },
    }
  return { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text: 'ok', host: 'far.example' } }
}

/** One line each on the other file system. */
export type Told =
  /** qmgr said accepted. */
  | { kind: 'accepted'; id: number; sha256: string; recipients: string[] }
  /** The outcome is about to be told to qmgr, which may settle the recipient from now on. */
  | { kind: 'settled'; id: number; n: number }
  /** A report arrived that tells of these. */
  | { kind: 'reported'; recipients: string[] }

export function readTold(lines: readonly string[]): Told[] {
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Told)
}

/** RFC 3464 section 2.3.2: whom a report is about. */
export function recipientsOfReport(content: Uint8Array): string[] {
  const text = Buffer.from(content).toString('latin1')
  return [...text.matchAll(/^Final-Recipient: rfc822; (\S+)\r$/gim)].map(([, address = '']) => address)
}
