/**
 * The life of the unbound that validates for the resolver, as a function of what happened. Pure.
 *
 * It is `starting` until it answers, then `up`; when it leaves, or has not answered MOST_MISSES times running, it waits
 * (`resting`), twice as long each time, and is started again, for ever: without it mail goes on, and only what DNSSEC
 * would prove is unproven. One that was up for STEADY_MS begins anew. All times in milliseconds, `now` monotonic.
 */

export type Phase =
  | { kind: 'off' }
  | { kind: 'starting'; since: number }
  | { kind: 'up'; since: number; misses: number }
  | { kind: 'resting'; until: number }

export interface Life {
  phase: Phase
  /** Ends since it was steady. */
  ends: number
  restarts: number
}

export type Happening =
  | { kind: 'started' }
  | { kind: 'probed'; answered: boolean }
  | { kind: 'left' }
  | { kind: 'stopped' }

export const unborn: Life = { phase: { kind: 'off' }, ends: 0, restarts: -1 }

/** Recursion from nothing needs no more: it answers `localhost` by itself. */
const START_PATIENCE_MS = 60_000
const MOST_MISSES = 4
const FIRST_REST_MS = 500
const LONGEST_REST_MS = 60_000
const STEADY_MS = 300_000

export function live(life: Life, happening: Happening, now: number): Life {
  const { phase } = life
  switch (happening.kind) {
    case 'started':
      return { ...life, phase: { kind: 'starting', since: now }, restarts: life.restarts + 1 }
    case 'probed':
      return { ...life, phase: probed(phase, happening.answered, now) }
    case 'left': {
      const steady = phase.kind === 'up' && now - phase.since >= STEADY_MS
      const ends = steady ? 1 : life.ends + 1
      const rest = Math.min(FIRST_REST_MS * 2 ** (ends - 1), LONGEST_REST_MS)
      return { ...life, ends, phase: { kind: 'resting', until: now + rest } }
    }
    case 'stopped':
      return { ...life, phase: { kind: 'off' } }
    default:
      return happening satisfies never
  }
}

function probed(phase: Phase, answered: boolean, now: number): Phase {
  if (phase.kind === 'starting' && answered) return { kind: 'up', since: now, misses: 0 }
  if (phase.kind === 'up') return { ...phase, misses: answered ? 0 : phase.misses + 1 }
  return phase
}

/** It runs and is of no use: to be killed. */
export function isHung({ phase }: Life, now: number): boolean {
  if (phase.kind === 'starting') return now - phase.since >= START_PATIENCE_MS
  return phase.kind === 'up' && phase.misses >= MOST_MISSES
}
