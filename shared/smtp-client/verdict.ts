/**
 * What a reply makes of recipients: by its first digit, and by the few codes that mean something else where they are
 * said. Pure; `transaction.ts` says which reply answers what.
 */
import type { Blame, Outcome, Reply } from '../message/outcome.ts'
import { own } from './commands.ts'

/** RFC 9422 section 4.2: they go with another transaction, soon, and nobody is to blame. */
export const TOO_MANY: Outcome = {
  kind: 'later',
  reply: own(452, '4.5.3', 'the next host takes no more recipients at a time'),
  blame: 'ours',
}

/** RFC 5321 section 4.5.3.1.10: 552 after recipients were taken says "too many of them": later, not never. */
export function rcptVerdict(reply: Reply, someTaken: boolean): Outcome {
  if (reply.code === 552 && reply.enhanced !== '5.2.2' && someTaken)
    return { kind: 'later', reply, blame: 'recipient' }
  return verdict(reply, 'recipient')
}

export function verdict(reply: Reply, blame: Blame): Outcome {
  if (isPositive(reply)) return { kind: 'sent', reply }
  if (reply.code >= 500) return { kind: 'never', reply }
  return { kind: 'later', reply, blame }
}

export function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300
}

export function isIntermediate(reply: Reply): boolean {
  return reply.code >= 300 && reply.code < 400
}
