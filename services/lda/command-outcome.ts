/**
 * What the exit of a command says of the mail (sysexits(3)). Pure.
 *
 * Only what speaks of the message or its recipient is `never`: wrong data, no such user or host, not wanted, not permitted.
 * A program that is missing, dies, is killed, leaves with a code that means nothing, or with 1 as every script does that
 * falls over its own mistake, is for a person to mend, and the mail waits.
 */
import type { Outcome } from '../../shared/message/outcome.ts'

/** Of a command that did not take the message; its message has what the command said. */
export class CommandFailed extends Error {
  override name = 'CommandFailed'
  readonly outcome: Outcome

  constructor(message: string, outcome: Outcome) {
    super(message)
    this.outcome = outcome
  }
}

/** sysexits(3), and 100 of qmail-command(8), with RFC 3463. */
const refusals: Readonly<Record<number, { enhanced: string; text: string }>> = {
  65: { enhanced: '5.6.0', text: 'data format error' },
  66: { enhanced: '5.3.0', text: 'input cannot be opened' },
  67: { enhanced: '5.1.1', text: 'user unknown' },
  68: { enhanced: '5.1.2', text: 'host name unknown' },
  69: { enhanced: '5.3.0', text: 'service unavailable' },
  76: { enhanced: '5.5.0', text: 'protocol error' },
  77: { enhanced: '5.7.0', text: 'permission denied' },
  100: { enhanced: '5.3.0', text: 'refused' },
}

/** Null: it took the message. */
export function outcomeOf(code: number | null, signal: string | null): Outcome | null {
  if (code === 0) return null
  const refusal = code === null || !Object.hasOwn(refusals, code) ? undefined : refusals[code]
  if (refusal) return { kind: 'never', reply: { code: 550, host: '', ...refusal } }
  return commandLater(
    code === 75 ? 'the command asks to try later' : `the command left with ${code ?? signal}`,
  )
}

export function commandLater(text: string): Outcome {
  return { kind: 'later', reply: { code: 451, enhanced: '4.3.0', text, host: '' }, blame: 'recipient' }
}
