/**
 * The resources that load control looks at, with their marks from the configuration. Pure.
 *
 * A full active queue holds nobody up by itself: what has no room there goes to disk (`intake.ts`) and comes back
 * (`due.ts`). It counts together with what went to disk, and only while that becomes more: then mail comes in
 * faster than it goes out.
 */
import type { Marks, QmgrSlice } from '../../shared/config/slices.ts'
import type { Health } from './journal.ts'
import type { Reading } from './throttle.ts'

export interface Sample {
  health: Health
  /** In memory, and on disk for lack of room there. */
  activeEntries: number
  activeOctets: number
  /** The part on disk has grown lately. */
  spillGrows: boolean
  sessions: number
  /** Messages accepted in a second. */
  intakeRate: number
  /** Octets, resident. */
  memory: number
  /** Octets free for us on the spool's file system. */
  freeSpace: number
  freeInodes: number
  /** Milliseconds, by worker. */
  lags: Readonly<Record<string, number>>
}

export const SESSIONS = 'sessions'
const IN_TROUBLE: Marks = { wait: 1, refuse: 1, relief: 1 }

export function readingsOf(sample: Sample, slice: QmgrSlice): Reading[] {
  const { throttle } = slice.load
  const draining = { recovering: !sample.spillGrows }
  const onDisk = { better: 'more', storage: true } as const
  return [
    reading('queue-store', 'count', sample.health === 'good' ? 0 : 1, IN_TROUBLE, { storage: true }),
    reading('disk-space', 'octets', sample.freeSpace, times(throttle.diskSpace, slice.minFreeSpace), onDisk),
    reading('inodes', 'count', sample.freeInodes, throttle.inodes, onDisk),
    reading('memory', 'octets', sample.memory, throttle.memory),
    reading(
      'active-entries',
      'count',
      sample.activeEntries,
      times(throttle.activeEntries, slice.activeEntries),
      draining,
    ),
    reading(
      'active-size',
      'octets',
      sample.activeOctets,
      times(throttle.activeSize, slice.activeOctets),
      draining,
    ),
    reading(SESSIONS, 'count', sample.sessions, times(throttle.sessions, slice.sessionLimit)),
    reading('intake-rate', 'per-second', sample.intakeRate, throttle.intakeRate),
    ...Object.entries(sample.lags).map(([worker, lag]) =>
      reading(`lag ${worker}`, 'milliseconds', lag, throttle.lag),
    ),
  ]
}

function reading(
  resource: string,
  unit: Reading['unit'],
  value: number,
  marks: Marks,
  more: Partial<Reading> = {},
): Reading {
  return { resource, unit, value, marks, better: 'less', recovering: false, storage: false, ...more }
}

/** Shares of a limit, in whole units. */
export function times({ wait, refuse, relief }: Marks, limit: number): Marks {
  return {
    wait: Math.round(wait * limit),
    refuse: Math.round(refuse * limit),
    relief: Math.round(relief * limit),
  }
}
