/**
 * Slices, continued: what strangers are asked about before they are believed. See `slices.ts`, which exports these.
 * Scores are whole numbers; a bad sign adds, a good one takes away.
 */
import type { ClientMatchList } from './slices.ts'

/** What smtpd makes of a client's score. */
export interface ScreeningSlice {
  name: string
  /** Before the greeting, or at the first recipient. */
  when: 'connect' | 'recipient'
  /** Clients that are not looked at. */
  exempt: ClientMatchList
  /** From this score on; null: never. */
  tagScore: number | null
  deferScore: number | null
  rejectScore: number | null
  /** From this score on who is not known must come again. */
  greylistScore: number | null
  /** Whether what it says of itself in EHLO is looked at. */
  helo: boolean
}

/** A DNS list (RFC 5782). */
export interface DnsListSlice {
  /** A-labels, lower case. */
  zone: string
  /** Negative for lists of the good. */
  score: number
  /** The addresses that mean it is listed, IPv4 as numbers, both ends within. */
  replies: { from: number; to: number }[]
}

export type SignName =
  | 'no-reverse-name'
  | 'unconfirmed-reverse-name'
  | 'helo-invalid'
  | 'helo-own-name'
  | 'helo-other-address'
  | 'helo-unknown'
  | 'helo-unconfirmed'

/** Where the resolver looks. */
export interface ScreeningFacts {
  name: string
  lists: DnsListSlice[]
  /** Milliseconds; what is not known by then counts nothing. */
  timeout: number
  scores: Record<SignName, number>
}

export type AccessAction =
  | { kind: 'accept' | 'discard' | 'hold' }
  | { kind: 'reject' | 'defer'; text: string | null }
  | { kind: 'tag'; text: string }
  | { kind: 'redirect'; address: string }

/** All conditions must hold; one that is null or empty always does. Patterns are in lower case, `*` is any run. */
export interface AccessRuleSlice {
  /** `file:line:column` */
  place: string
  client: ClientMatchList | null
  helo: string[]
  /** Whole addresses; '' is the null reverse-path. */
  sender: string[]
  recipient: string[]
  /** Who must be found in a map. */
  maps: { about: 'client' | 'helo' | 'sender' | 'recipient'; map: string }[]
  action: AccessAction
}

/** Times in milliseconds. */
export interface GreylistSlice {
  /** Holds `greylist.db`; the resolver's own. */
  directory: string
  /** Who comes again before this is told to wait. */
  delay: number
  /** Who does not come again within this is forgotten. */
  retryWithin: number
  /** Who has come again is known for so long after its last mail. */
  keep: number
  /** So many senders and recipients of a network passed: it is not asked again; 0: never. */
  knownAfter: number
  /** What is remembered at most; the oldest goes first. */
  entries: number
}
