/**
 * What a person at a terminal hears after handing over a message to their agent: that other mail of theirs has failed
 * for good. Programs, whose standard error is no terminal, hear nothing, and the exit code does not change.
 *
 * Looks into the outbox by itself and at two facts only: what reads it properly would make every sendmail larger.
 * What cannot be read counts for nothing here; `mailq` names it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Places } from '../accounts/places.ts'

export function failedBefore({ state }: Places): string[] {
  const directory = join(state, 'outbox')
  const failed = namesIn(directory).filter((name) => hasFailed(join(directory, name))).length
  if (failed === 0) return []
  const what = failed === 1 ? '1 earlier message was' : `${failed} earlier messages were`
  return [`${what} not delivered to everybody; see "posthorn outbox list"`]
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith('.json'))
  } catch {
    return [] // nobody has an outbox before its first message
  }
}

function hasFailed(path: string): boolean {
  try {
    const found = JSON.parse(readFileSync(path, 'utf8')) as { state?: unknown; refused?: unknown } | null
    return found?.state === 'failed' || (Array.isArray(found?.refused) && found.refused.length > 0)
  } catch {
    return false
  }
}
