/**
 * Slices, continued: by which way mail goes that leaves for other servers. See `slices.ts`, which exports these. Rules
 * are asked in order; patterns are in lower case, `*` stands for any text.
 */
import type { NextHop } from './values.ts'

/** A group of hosts that mail is handed to. */
export interface RelaySlice {
  name: string
  hosts: NextHop[]
}

/** What is said of a recipient instead of taking the mail. */
export interface OwnReply {
  code: number
  enhanced: string
  text: string
}

export type RouteWay =
  /** By the name of its section. */
  | { kind: 'relay'; name: string }
  /** To the mail exchangers of the domain. */
  | { kind: 'direct' }
  | { kind: 'discard' }
  | { kind: 'error'; reply: OwnReply }

/** All conditions must hold; one that is null or empty always does. */
export interface RouteRuleSlice {
  /** `file:line:column` */
  place: string
  recipient: string[]
  /** Whole addresses; '' is the null reverse-path. */
  sender: string[]
  /** Logins or accounts; a number is a uid. */
  user: string[]
  /** Of hosts that take the domain's mail, or names of those who run them; null: no matter. */
  provider: string[] | null
  /** From this attempt on, the first being 1. */
  attempt: number | null
  /** Octets, at least. */
  size: number | null
  /** map: its value says the way; who is not in it is for the next rule. */
  way: RouteWay | { kind: 'map'; name: string }
  /** While the first one is suspended, or not to be found. */
  otherwise: RouteWay | null
}
