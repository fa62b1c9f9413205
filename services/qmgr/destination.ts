/**
 * How one destination, a list of hosts, is doing: a pure state and what changes it.
 *
 * Concurrency starts at `initial`, grows by one with each success while all of it is used, is halved by trouble
 * of the destination, and after DEAD_AFTER such troubles in a row with no success the destination is *dead*:
 * nothing is tried until `probeAt`, then one attempt decides. What it shares with others of its provider, rate and
 * connections, is in `group.ts`.
 */

export interface Range {
  initial: number
  max: number
}

export interface Destination {
  limits: Range
  running: number
  limit: number
  /** Troubles in a row. */
  troubles: number
  /** Set while dead: when the next probe may go. */
  probeAt: number | null
  /** How long it stays dead after the next failed probe. */
  penalty: number
  /** When something last became of it. */
  changedAt: number
}

/**
 * good: sent or a refusal of recipients, so the host is well; bad: its trouble; braked: the same, in the words of a
 * host that is there; neutral: says nothing of it.
 */
export type Result = 'good' | 'bad' | 'braked' | 'neutral'

const DEAD_AFTER = 5
const FIRST_PENALTY_MS = 30_000
const LONGEST_PENALTY_MS = 600_000

export function newDestination(limits: Range, now: number): Destination {
  return {
    limits,
    running: 0,
    limit: limits.initial,
    troubles: 0,
    probeAt: null,
    penalty: FIRST_PENALTY_MS,
    changedAt: now,
  }
}

/** Another config. */
export function relimitDestination(destination: Destination, limits: Range): void {
  destination.limits = limits
  destination.limit = Math.min(destination.limit, limits.max)
}

/** How many more attempts may start: for the dead none, and one when the time of a probe has come. */
export function room(destination: Destination, now: number): number {
  const { limit, probeAt, running } = destination
  if (probeAt === null) return Math.max(0, limit - running)
  return now >= probeAt && running === 0 ? 1 : 0
}

export function isDead({ probeAt }: Destination, now: number): boolean {
  return probeAt !== null && probeAt > now
}

export function started(destination: Destination): void {
  destination.running++
}

export function finished(destination: Destination, result: Result, now: number): void {
  const full = destination.running >= destination.limit
  destination.running--
  destination.changedAt = now
  switch (result) {
    case 'good':
      destination.troubles = 0
      destination.probeAt = null
      destination.penalty = FIRST_PENALTY_MS
      if (full && destination.limit < destination.limits.max) destination.limit++
      return
    case 'bad':
    case 'braked':
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

/** Nothing to remember, or it was so long ago that it says nothing of today. */
export function isForgettable(
  { changedAt, limit, limits, probeAt, running }: Destination,
  now: number,
): boolean {
  if (running > 0) return false
  if (probeAt === null && limit >= limits.initial) return true
  return Math.max(probeAt ?? 0, changedAt) + LONGEST_PENALTY_MS < now
}
