/**
 * Which retry policy holds for a recipient after a temporary reply: pure.
 *
 * Each part of it (waits, lifetime, bounce lifetime, delay warning) comes from the most particular place that says
 * anything of it: the first class of replies that fits, the `server` section of the destination, the recipient's
 * zone, `qmgr`. For a mailbox that cannot take mail `lda mailbox-lifetime` stands between the classes and the others.
 * Classes are asked in the order of the config. What is our own trouble is in no class.
 */
import type { QmgrSlice, RetryClassSlice, ScheduleSlice } from '../../shared/config/slices.ts'
import { fits, namesOne } from '../../shared/message/next-hop.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'
import type { Terms } from './terms.ts'
import type { RetryPolicy } from './verdict.ts'

export type PolicySlice = RetryPolicy &
  Pick<QmgrSlice, 'retryClasses' | 'zoneSchedules'> &
  Partial<Pick<QmgrSlice, 'mailboxLifetime'>>

/** @param route null where there was none yet. */
export function policyFor(
  slice: PolicySlice,
  terms: (route: Route) => Pick<Terms, 'schedule'>,
  route: Route | null,
  outcome: Outcome,
): RetryPolicy {
  if (outcome.kind !== 'later' || !route) return slice
  const found = classOf(slice.retryClasses, route, outcome)
  const schedules = [
    found?.schedule,
    mailboxSchedule(slice, route, outcome),
    terms(route).schedule,
    slice.zoneSchedules[route.zone],
  ]
  if (!found && schedules.every((one) => !one)) return slice
  // Where there is another way the message need not wait for this one.
  const waits = route.kind !== 'smtp' || !route.instead
  return { ...merge(slice, schedules), suspend: waits ? (found?.suspend ?? 0) : 0 }
}

/** A mailbox that is full or away is mended by a person, who may be away for longer than a server. */
function mailboxSchedule(
  { mailboxLifetime }: PolicySlice,
  route: Route,
  { blame }: Extract<Outcome, { kind: 'later' }>,
): ScheduleSlice | null {
  if (mailboxLifetime === undefined || route.kind !== 'local' || blame !== 'recipient') return null
  return { retry: null, lifetime: mailboxLifetime, bounceLifetime: null, delayWarning: null }
}

/**
 * A refusal for good that a class knows for a word on us, where routing names another way: it is tried that way. RFC 5321
 * section 4.2.1 has a 5xx mean that the same request is not repeated in the same way.
 */
export function withOtherWay(
  route: Route,
  outcome: Outcome,
  classify: (route: Route, outcome: Outcome) => RetryClassSlice | null,
): Outcome {
  if (outcome.kind !== 'never' || route.kind !== 'smtp' || !route.instead) return outcome
  const found = classify(route, outcome)
  return found && found.suspend !== null
    ? { kind: 'later', blame: 'destination', reply: outcome.reply }
    : outcome
}

/** The first class that an outcome belongs to: a temporary one, or one of those whose code a class names. */
export function classOf(
  classes: readonly RetryClassSlice[],
  route: Route,
  outcome: Outcome,
): RetryClassSlice | null {
  if (outcome.kind === 'sent') return null
  if (outcome.kind === 'later' && outcome.blame === 'ours' && !outcome.inDoubt) return null
  return classes.find((one) => isIn(one, route, outcome.reply)) ?? null
}

function isIn({ codes, match, text, zones }: RetryClassSlice, route: Route, reply: Reply): boolean {
  // what is refused for good is of a class only by its code
  if (codes.length === 0 ? reply.code >= 500 : !codes.some((code) => codeFits(code, reply))) return false
  if (zones.length > 0 && !zones.includes(route.zone)) return false
  if (match.length > 0 && (route.kind !== 'smtp' || !namesOne(match, route.hosts))) return false
  if (text.length === 0) return true
  const said = reply.text.toLowerCase()
  return text.some((one) => fits(`*${one}*`, said))
}

/** RFC 5321 section 4.2.1 and RFC 3463 section 2; `x` stands for a digit, or for a number between dots. */
function codeFits(pattern: string, { code, enhanced }: Reply): boolean {
  if (!pattern.includes('.')) return sameParts([...pattern], [...String(code)])
  return sameParts(pattern.split('.'), enhanced.split('.'))
}

function sameParts(pattern: readonly string[], parts: readonly string[]): boolean {
  return (
    pattern.length === parts.length && pattern.every((part, index) => part === 'x' || part === parts[index])
  )
}

function merge(slice: RetryPolicy, schedules: readonly (ScheduleSlice | null | undefined)[]): RetryPolicy {
  const first = <K extends keyof ScheduleSlice>(key: K): ScheduleSlice[K] => {
    for (const one of schedules) if (one && one[key] !== null) return one[key]
    return null
  }
  const lifetime = first('lifetime') ?? slice.lifetime
  return {
    retry: first('retry') ?? slice.retry,
    lifetime,
    bounceLifetime: first('bounceLifetime') ?? Math.min(slice.bounceLifetime, lifetime),
    delayWarning: first('delayWarning') ?? slice.delayWarning,
  }
}
