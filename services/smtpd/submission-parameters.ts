/**
 * Parameters of MAIL that only submission takes: FUTURERELEASE (RFC 4865), DELIVERBY (RFC 2852) and MT-PRIORITY
 * (RFC 6710). Pure: values in, facts with absolute times out, null for what is malformed.
 */

/** RFC 2852 section 4. `at`: milliseconds since 1970. */
export interface DeliverBy {
  at: number
  /** What happens when it is too late: the message comes back, or the sender is told and it goes on. */
  mode: 'return' | 'notify'
  /** Each host on the way that passes it on says so. */
  trace: boolean
}

/** RFC 4865 section 4: seconds, 1 to 999,999,999. */
const INTERVAL = /^[1-9][0-9]{0,8}$/
/** RFC 3339 section 5.6, as RFC 4865 section 4 has it. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i
/** RFC 2852 section 4. */
const BY = /^(-?[0-9]{1,9});([NR])(T?)$/i
/** RFC 6710 section 4: -9 to 9. */
const PRIORITY = /^(?:-?[1-9]|0)$/

/** The value of HOLDFOR as the time of release, milliseconds since 1970. */
export function readHoldFor(value: string, now: number): number | null {
  return INTERVAL.test(value) ? now + Number(value) * 1000 : null
}

/** The value of HOLDUNTIL, milliseconds since 1970. */
export function readHoldUntil(value: string): number | null {
  const time = DATE_TIME.test(value) ? Date.parse(value.toUpperCase()) : Number.NaN
  return Number.isNaN(time) ? null : time
}

export function readDeliverBy(value: string, now: number): DeliverBy | null {
  const [, seconds = '', letter = '', trace = ''] = BY.exec(value) ?? []
  if (letter === '') return null
  const mode = letter.toUpperCase() === 'R' ? 'return' : 'notify'
  // RFC 2852 section 4: what is to come back when it is late must have some time
  if (mode === 'return' && Number(seconds) <= 0) return null
  return { at: now + Number(seconds) * 1000, mode, trace: trace !== '' }
}

export function readPriority(value: string): number | null {
  return PRIORITY.test(value) ? Number(value) : null
}
