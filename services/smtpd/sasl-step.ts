/**
 * What a SASL mechanism is made of: steps, claims and verdicts; the mechanisms are in `sasl.ts` and `scram.ts`.
 */
import type { ScramKeys } from '../../shared/smtp/scram.ts'

/** What is to be found out before the client is believed. */
export type Claim =
  | { kind: 'password'; login: string; password: string }
  | { kind: 'keys'; login: string }
  | { kind: 'token'; login: string; token: string }
  | { kind: 'certificate'; login: string }
  /** Another server's to judge: Dovecot's, over its own mechanisms. */
  | { kind: 'relayed'; mechanism: string; initial: Buffer | null; login: string }
  | { kind: 'relayed-response'; data: Buffer }

export type Verdict =
  /** The login, as the one who checked it writes it. */
  | { kind: 'true'; login: string }
  | { kind: 'keys'; keys: ScramKeys; known: boolean }
  | { kind: 'challenge'; data: Buffer }
  | { kind: 'false' }
  /** Our trouble: nobody can tell now. */
  | { kind: 'unknown' }
  /** Too many have failed. */
  | { kind: 'braked' }

export type Failure = 'wrong' | 'malformed' | 'unknown' | 'braked'

export interface Challenge {
  kind: 'challenge'
  data: Buffer
  answer: (response: Buffer) => SaslStep
}
export interface Check {
  kind: 'check'
  claim: Claim
  answer: (verdict: Verdict) => SaslStep
}
export type SaslStep =
  | Challenge
  | Check
  | { kind: 'done'; login: string }
  | { kind: 'failed'; why: Failure; login: string }

/** What a mechanism knows of the connection. */
export interface Channel {
  /** Octets for `tls-exporter`; null where the connection has none. */
  exporter: Buffer | null
  /** The server offers a mechanism with channel binding here. */
  bindingOffered: boolean
  /** Names that the client's certificate proves; empty: none. */
  certificateNames: readonly string[]
  /** For nonces. */
  random: (octets: number) => Buffer
}

const LONGEST_LOGIN = 255

export function malformed(name = ''): SaslStep {
  return { kind: 'failed', why: 'malformed', login: name }
}

export function wrong(name: string): SaslStep {
  return { kind: 'failed', why: 'wrong', login: name }
}

export function isLogin(name: string): boolean {
  return name !== '' && name.length <= LONGEST_LOGIN && !/[\p{Cc}\ufffd]/u.test(name)
}
