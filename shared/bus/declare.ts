/**
 * What a bus message is made of, for the table in `messages.ts`: who may send it to whom, its fields, and for a
 * request the answer and how long the sender waits for it.
 */
import type { Shape } from '../base/shape.ts'

export type Role = 'mcp' | 'qmgr' | 'smtpd' | 'smtpc' | 'resolver' | 'lda' | 'web' | 'command'

export type Fields = Record<string, Shape<unknown>>

export interface EventMessage<F extends Fields> {
  from: readonly Role[]
  to: readonly Role[]
  fields: F
}
export interface RequestMessage<F extends Fields, A> extends EventMessage<F> {
  answer: Shape<A>
  /** Milliseconds until the sender gives up; 0: as long as the connection lives. */
  deadline: number
}

export function event<F extends Fields>(
  from: readonly Role[],
  to: readonly Role[],
  fields: F,
): EventMessage<F> {
  return { from, to, fields }
}
export function request<F extends Fields, A>(
  from: readonly Role[],
  to: readonly Role[],
  fields: F,
  answer: Shape<A>,
  deadline: number,
): RequestMessage<F, A> {
  return { from, to, fields, answer, deadline }
}
