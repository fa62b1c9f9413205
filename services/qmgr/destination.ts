/**
 * How much one destination gets: a pure state and what changes it.
 *
 * Concurrency starts at `initial`, grows by one with each success while all of it is used, is halved by trouble
 * of the destination, and after DEAD_AFTER such troubles in a row with no success the destination is *dead*:
 * nothing is tried until `probeAt`, then one attempt decides. A rate, where one is configured, is a bucket of
 * `count` tokens refilled evenly over `period`.
 */

export interface Limits {
  initial: number
  max: number
  rate: { count: number; period: number } | null
}

export interface Destination {
  readonly limits: Limits
  running: number
  limit: number
  /** Troubles in a row. */
  troubles: number
  /** Set while dead: when the next probe may go. */
  probeAt: number | null
  /** How long it stays dead after the next failed probe. */
  penalty: number
  tokens: number
  tokensAt: number
}

/** good: sent or a refusal of recipients, so the host is well; bad: its trouble; neutral: says nothing of it. */
export type Result = 'good' | 'bad' | 'neutral'

const DEAD_AFTER = 5
const FIRST_PENALTY_MS = 30_000
const LONGEST_PENALTY_MS = 600_000

export function newDestination(limits: Limits, now: number): Destination {
  return {
    limits,
    running: 0,
    limit: Math.min(limits.initial, limits.max),
    troubles: 0,
    probeAt: null,
    penalty: FIRST_PENALTY_MS,
    tokens: limits.rate?.count ?? 0,
    tokensAt: now,
  }
}

/** May one more attempt start? */
export function mayStart(destination: Destination, now: number): boolean {
  if (destination.probeAt !== null) return now >= destination.probeAt && destination.running === 0
  if (destination.running >= destination.limit) return false
  return destination.limits.rate === null || refilled(destination, destination.limits.rate, now) >= 1
}

/** When `mayStart` may turn true by time alone; null when only a finished attempt can do that. */
export function startsAt(destination: Destination, now: number): number | null {
  if (destination.probeAt !== null) return destination.probeAt > now ? destination.probeAt : null
  const { rate } = destination.limits
  if (rate === null || destination.running >= destination.limit) return null
  const missing = 1 - refilled(destination, rate, now)
  return missing > 0 ? now + Math.ceil((missing * rate.period) / rate.count) : null
}

export function started(destination: Destination, now: number): void {
  destination.running++
  const { rate } = destination.limits
  if (rate === null) return
  destination.tokens = refilled(destination, rate, now) - 1
  destination.tokensAt = now
}

export function finished(destination: Destination, result: Result, now: number): void {
  const full = destination.running >= destination.limit
  destination.running--
  switch (result) {
    case 'good':
      destination.troubles = 0
      destination.probeAt = null
      destination.penalty = FIRST_PENALTY_MS
      if (full && destination.limit < destination.limits.max) destination.limit++
      return
    case 'bad':
      return suffered(destination, now)
    case 'neutral':
      return
    default: {
      const never: never = result
      throw new Error(`unknown result ${String(never)}`)
    }
  }
}

function suffered(destination: Destination, now: number): void {
  destination.troubles++
  destination.limit = Math.max(1, Math.floor(destination.limit / 2))
  if (destination.probeAt === null && destination.troubles < DEAD_AFTER) return
  destination.probeAt = now + destination.penalty
  destination.penalty = Math.min(destination.penalty * 2, LONGEST_PENALTY_MS)
}

/** An administrator's flush: dead or not, try again now. */
export function revive(destination: Destination): void {
  destination.probeAt = null
  destination.troubles = 0
  destination.penalty = FIRST_PENALTY_MS
}

function refilled(destination: Destination, rate: { count: number; period: number }, now: number): number {
  const gained = ((now - destination.tokensAt) * rate.count) / rate.period
  return Math.min(rate.count, destination.tokens + gained)
}
