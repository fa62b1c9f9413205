/**
 * What a person at a terminal hears after handing over a message to their agent: that other mail of theirs has failed
 * for good. Programs, whose standard error is no terminal, hear nothing, and the exit code does not change.
 */
import type { Places } from '../accounts/places.ts'

export async function failedBefore({ state }: Places): Promise<string[]> {
  const { listOutbox } = await import('../agent/outbox.ts')
  const { messages } = listOutbox(state)
  const failed = messages.filter((one) => one.state === 'failed' || one.refused.length > 0).length
  if (failed === 0) return []
  const what = failed === 1 ? '1 earlier message was' : `${failed} earlier messages were`
  return [`${what} not delivered to everybody; see "posthorn outbox list"`]
}
