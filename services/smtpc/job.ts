/**
 * A transaction from a connection's side: whose it is, what is sent, and how long each of its phases may last.
 */
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import type { Delivery } from '../../shared/smtp-client/commands.ts'
import type { Phase, State, Transaction } from '../../shared/smtp-client/states.ts'
import type { Content } from './content.ts'
import type { Mode } from './downgrade.ts'

export type Timeouts = SmtpcSlice['timeouts']

/** Which of the configured times bounds each phase. */
const PATIENCE: Readonly<Record<Phase, keyof Timeouts>> = {
  mail: 'mail', // RFC 5321 section 4.5.3.2.2
  rcpt: 'rcpt', // 4.5.3.2.3
  data: 'dataInitiation', // 4.5.3.2.4
  content: 'dataBlock', // 4.5.3.2.5
  dot: 'dataTermination', // 4.5.3.2.6
  empty: 'dataTermination',
  reset: 'mail',
  over: 'quit',
}

/** Content is on its way, as long as the kernel has not taken all of it with its dot. */
export function isWriting(state: State): boolean {
  return state.phase === 'content' || (state.phase === 'dot' && !state.flushed)
}

export function patienceFor(state: State): keyof Timeouts {
  return isWriting(state) ? PATIENCE.content : PATIENCE[state.phase]
}

/** Who has the connection for the time of one transaction. */
export interface Tenant {
  onSettled: (outcomes: Outcome[]) => void
  /** Nothing was sent that counts: try another connection. */
  onStale: () => void
}

/** One transaction to be: what, its content, for whom. */
export interface Job {
  delivery: Delivery
  content: Content
  tenant: Tenant
  /** What becomes of 8-bit content where the host does not take it. */
  eightBit: SmtpcSlice['eightBit']
  /** What is done to streamed content on its way. */
  changing?: Mode
}

/** A job whose transaction has begun. */
export interface Running {
  job: Job
  transaction: Transaction
  begunAt: number
}
