/**
 * What a client's transaction may be in, hear and want done; `transaction.ts` leads from one to the other.
 */
import type { Blame, Outcome, Reply } from '../message/outcome.ts'
import type { Delivery } from './commands.ts'
import type { Offers } from './offers.ts'

export type State =
  | { phase: 'mail' }
  | { phase: 'rcpt'; at: number }
  | { phase: 'data' }
  | { phase: 'content' }
  /** `at` counts LMTP's replies; `flushed`: the kernel has the dot, so a missing reply means doubt. */
  | { phase: 'dot'; at: number; flushed: boolean }
  | { phase: 'empty' }
  | { phase: 'reset' }
  | { phase: 'over' }
export type Phase = State['phase']

export interface Transaction {
  readonly delivery: Delivery
  readonly offers: Offers
  readonly lmtp: boolean
  /** When somebody is put off before DATA, nobody gets it: the caller tries all of it again. */
  readonly together: boolean
  /** By position in `delivery.recipients`; null while open. */
  readonly outcomes: (Outcome | null)[]
  /** Positions that RCPT was sent for, in order. */
  readonly asked: number[]
  /** Positions that RCPT was accepted for, in order. */
  readonly accepted: number[]
  state: State
  settled: boolean
  /** The reply that settled the most; for the log. */
  last: Reply | null
}

export type TransactionEvent =
  | { kind: 'reply'; reply: Reply }
  /** All content and the final dot were handed to the socket, and later: the kernel took them. */
  | { kind: 'handed' }
  | { kind: 'flushed' }
  /** What is left of the content cannot be given to this host; the dot is not sent. */
  | { kind: 'unfit'; reply: Reply }
  /** The connection is of no use any more: closed, reset, garbage, a timeout. */
  | { kind: 'lost'; reply: Reply; blame: Blame }

export type Effect =
  | { kind: 'write'; text: string }
  | { kind: 'content' }
  | { kind: 'settle'; outcomes: Outcome[] }
  | { kind: 'free' }
  | { kind: 'close' }
