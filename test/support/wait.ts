/**
 * Waiting in tests: for a state of the world that nobody announces (a file, another process), asked for again
 * and again in short steps, and never for a fixed time. What does announce itself is awaited as an event.
 *
 * Fails: `until` rejects with what it waited for when the patience is over.
 */
import { setTimeout as pause } from 'node:timers/promises'

const STEP_MS = 20
const PATIENCE_MS = 30_000

/** Resolves with the first answer of `probe` that is neither null, undefined nor false; a throw counts as null. */
export async function until<T>(
  what: string,
  probe: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  patience = PATIENCE_MS,
): Promise<T> {
  const end = performance.now() + patience
  let trouble: unknown = null
  for (;;) {
    try {
      const answer = await probe()
      if (answer !== null && answer !== undefined && answer !== false) return answer
    } catch (error) {
      trouble = error
    }
    if (performance.now() > end) throw new Error(`waited in vain for ${what}${trouble ? `: ${trouble}` : ''}`)
    await pause(STEP_MS)
  }
}

/** `work`, or a rejection that says what took too long. */
export async function within<T>(what: string, patience: number, work: Promise<T>): Promise<T> {
  const stop = new AbortController()
  const late = pause(patience, undefined, { signal: stop.signal, ref: false }).then(() => {
    throw new Error(`${what} took more than ${patience} ms`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    late.catch(() => undefined)
    stop.abort()
  }
}
