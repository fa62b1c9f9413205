/**
 * The state of a resource: go, wait (new sessions wait before the greeting) or refuse (new mail gets 451 or 452).
 * Pure: (state, reading, now) to state.
 *
 * Each resource has three marks. It waits from `wait` on and refuses from `refuse` on; refusing ends when it is
 * better than `wait`, waiting when it is better than `relief`, so that it does not flap at a mark.
 * Next: `readings.ts` for what the resources are, `load.ts` for who looks and who is told.
 */
import type { Marks } from '../../shared/config/slices.ts'

export type ThrottleState = 'go' | 'wait' | 'refuse'

export interface Reading {
  resource: string
  value: number
  unit: 'count' | 'octets' | 'per-second' | 'milliseconds'
  marks: Marks
  /** Which way the resource gets better: a queue has less entries, a disk more space. */
  better: 'less' | 'more'
  /** Whatever the marks say, nobody needs to be held up: it gets better by itself. */
  recovering: boolean
  /** Room on the disk, so the refusal is 452 (RFC 5321 section 4.2.3) and not 451. */
  storage: boolean
}

export interface Throttle {
  reading: Reading
  state: ThrottleState
  /** Milliseconds since 1970. */
  since: number
}

export function nextState(reading: Reading, before: ThrottleState): ThrottleState {
  const { better, marks, recovering, value } = reading
  if (recovering) return 'go'
  const reaches = (mark: number) => (better === 'less' ? value >= mark : value <= mark)
  if (reaches(marks.refuse)) return 'refuse'
  if (reaches(marks.wait)) return before === 'refuse' ? 'refuse' : 'wait'
  return before !== 'go' && reaches(marks.relief) ? 'wait' : 'go'
}

/** Resources that are not read any more are forgotten; new ones begin with go. */
export function throttle(
  before: ReadonlyMap<string, Throttle>,
  readings: readonly Reading[],
  now: number,
): Map<string, Throttle> {
  return new Map(
    readings.map((reading) => {
      const last = before.get(reading.resource)
      const state = nextState(reading, last?.state ?? 'go')
      return [reading.resource, { reading, state, since: last?.state === state ? last.since : now }]
    }),
  )
}

const RANK: Readonly<Record<ThrottleState, number>> = { go: 0, wait: 1, refuse: 2 }

/** The first of those in the worst state; null when all go. */
export function worstOf(throttles: Iterable<Throttle>): Throttle | null {
  let worst: Throttle | null = null
  for (const one of throttles) {
    if (RANK[one.state] > (worst ? RANK[worst.state] : RANK.go)) worst = one
  }
  return worst
}
