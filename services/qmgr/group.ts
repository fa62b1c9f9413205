/**
 * What all destinations of one provider have together: a pure state and what changes it.
 *
 * Connections start at `initial`, grow by one with each success while all of them are used, and are halved when the
 * provider itself says that it is too much (`braked`); that one of its customers' hosts is away is held against that
 * destination alone (`destination.ts`). A rate is a bucket of `count` tokens refilled evenly over `period`. While the
 * group is *suspended* nothing is started; a class of replies asks for that (`retry-policy.ts`).
 */
import type { Reply } from '../../shared/message/outcome.ts'
import type { Result } from './destination.ts'

export interface Limits {
  initial: number
  max: number
  rate: { count: number; period: number } | null
}

export interface Group {
  limits: Limits
  running: number
  limit: number
  tokens: number
  tokensAt: number
  suspended: Suspension | null
}

export interface Suspension {
  /** Milliseconds since 1970. */
  until: number
  /** What was said, and of which class that is. */
  reply: Reply
  retryClass: string
}

export function newGroup(limits: Limits, now: number): Group {
  return {
    limits,
    running: 0,
    limit: limits.initial,
    tokens: limits.rate?.count ?? 0,
    tokensAt: now,
    suspended: null,
  }
}

/** Another config: what was learnt of the provider stays, within the new limits. */
export function relimit(group: Group, limits: Limits, now: number): void {
  if (limits.rate) {
    const had = group.limits.rate ? refilled(group, group.limits.rate, now) : limits.rate.count
    group.tokens = Math.min(had, limits.rate.count)
    group.tokensAt = now
  }
  group.limits = limits
  group.limit = Math.min(Math.max(group.limit, 1), limits.max)
}

/** May one more attempt start? */
export function groupMayStart(group: Group, now: number): boolean {
  if (suspensionOf(group, now) || group.running >= group.limit) return false
  return group.limits.rate === null || refilled(group, group.limits.rate, now) >= 1
}

/** When it may by time alone; null when only a finished attempt can do that, or nothing has to be waited for. */
export function groupStartsAt(group: Group, now: number): number | null {
  const { rate } = group.limits
  if (rate === null || group.running >= group.limit) return null
  const missing = 1 - refilled(group, rate, now)
  return missing > 0 ? now + Math.ceil((missing * rate.period) / rate.count) : null
}

export function groupStarted(group: Group, now: number): void {
  group.running++
  const { rate } = group.limits
  if (rate === null) return
  group.tokens = refilled(group, rate, now) - 1
  group.tokensAt = now
}

export function groupFinished(group: Group, result: Result): void {
  const full = group.running >= group.limit
  group.running--
  if (result === 'braked') group.limit = Math.max(1, Math.floor(group.limit / 2))
  if (result === 'good' && full && group.limit < group.limits.max) group.limit++
}

/** A later end counts. */
export function suspend(group: Group, suspension: Suspension): void {
  if (suspension.until > (group.suspended?.until ?? 0)) group.suspended = suspension
}

export function suspensionOf({ suspended }: Group, now: number): Suspension | null {
  return suspended && suspended.until > now ? suspended : null
}

/** Nothing to remember: a new one would be the same. */
export function isPlain(group: Group, now: number): boolean {
  const { limits, limit, running } = group
  if (running > 0 || limit < limits.initial || suspensionOf(group, now)) return false
  return limits.rate === null || refilled(group, limits.rate, now) >= limits.rate.count
}

function refilled(group: Group, rate: { count: number; period: number }, now: number): number {
  const gained = ((now - group.tokensAt) * rate.count) / rate.period
  return Math.min(rate.count, group.tokens + gained)
}
