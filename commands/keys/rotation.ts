/**
 * A key's life, for directories that `posthorn key` looks after: published before it signs, and after (RFC 6376
 * section 3.1, on selectors). Pure; `rotate` in `call.ts` carries it out, and may be called as often as one likes.
 *
 *     next, not in DNS -> next, seen there -> (WAIT_MS) active -> retired, when another is active -> (KEEP_MS) gone
 */
import type { KeptKey, KeyAlgorithm } from '../../shared/dkim/key-list.ts'

const DAY_MS = 86_400_000
/** Until every cache knows the record. */
const WAIT_MS = DAY_MS
/** Mail that is signed with it may be under way as long, or be looked at late. */
const KEEP_MS = 8 * DAY_MS
/** A key signs so long before it is time for the next one. */
const SIGN_MS = 90 * DAY_MS

export interface Moment {
  /** Milliseconds since 1970. */
  now: number
  /** Whether the record of this selector is in DNS for every domain, and right. */
  seen: (selector: string) => boolean
  /** Waits are over. */
  hurry: boolean
}

export interface Turn {
  keys: KeptKey[]
  /** To be made first. */
  made: KeptKey | null
  /** Its file is of no more use. */
  removed: string[]
  said: string[]
}

export function rotate(keys: readonly KeptKey[], algorithm: KeyAlgorithm, moment: Moment): Turn {
  const own = keys.filter((key) => key.algorithm === algorithm)
  const others = keys.filter((key) => key.algorithm !== algorithm)
  const turn = turnOf(own, algorithm, moment, keys)
  return { ...turn, keys: [...others, ...turn.keys] }
}

function turnOf(own: KeptKey[], algorithm: KeyAlgorithm, moment: Moment, all: readonly KeptKey[]): Turn {
  const { now, hurry } = moment
  const next = own.find(({ state }) => state === 'next')
  if (next) return moveOn(own, next, moment)
  const over = own.filter(({ state, since }) => state === 'retired' && (hurry || now >= since + KEEP_MS))
  if (over.length > 0) return retire(own, over)
  const waiting = own.find(({ state }) => state === 'retired')
  if (waiting)
    return still(
      own,
      `${waiting.selector}: signs no more; leave its record in DNS until ${dateOf(waiting.since + KEEP_MS)}`,
    )
  const active = own.find(({ state }) => state === 'active')
  if (active && !hurry && now < active.since + SIGN_MS)
    return still(own, `${active.selector}: signs until ${dateOf(active.since + SIGN_MS)}`)
  const made = newKey(all, algorithm, active ? 'next' : 'active', now)
  const said = active
    ? `${made.selector}: made; publish its record, and call this again`
    : `${made.selector}: made, and signs; publish its record`
  return { keys: [...own, made], made, removed: [], said: [said] }
}

function moveOn(own: KeptKey[], next: KeptKey, { now, seen, hurry }: Moment): Turn {
  if (!seen(next.selector)) {
    const lost = own.map((key) => (key === next ? { ...key, seen: null } : key))
    return still(lost, `${next.selector}: not in DNS yet`)
  }
  const since = next.seen ?? now
  if (!hurry && now < since + WAIT_MS) {
    const found = own.map((key) => (key === next ? { ...key, seen: since } : key))
    return still(found, `${next.selector}: in DNS; it signs from ${dateOf(since + WAIT_MS)} on`)
  }
  const keys = own.map((key): KeptKey => {
    if (key === next) return { ...key, state: 'active', since: now, seen: since }
    return key.state === 'active' ? { ...key, state: 'retired', since: now } : key
  })
  return still(keys, `${next.selector}: signs from now on`)
}

function retire(own: KeptKey[], over: readonly KeptKey[]): Turn {
  const removed = over.map(({ selector }) => selector)
  const said = removed.map((selector) => `${selector}: gone; take its record out of DNS`)
  return { keys: own.filter((key) => !over.includes(key)), made: null, removed, said }
}

function still(keys: KeptKey[], said: string): Turn {
  return { keys, made: null, removed: [], said: [said] }
}

/** Named after the day; a second one of that day is told apart. */
export function newKey(
  all: readonly KeptKey[],
  algorithm: KeyAlgorithm,
  state: 'next' | 'active',
  now: number,
): KeptKey {
  const day = dateOf(now).replaceAll('-', '')
  const base = `${algorithm === 'rsa' ? 'r' : 'e'}${day}`
  let selector = base
  for (let n = 2; all.some((key) => key.selector === selector); n++) selector = `${base}-${n}`
  return { selector, algorithm, state, since: now, seen: null }
}

function dateOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10)
}
