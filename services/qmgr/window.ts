/**
 * How much of something there was in the last so many milliseconds, in two numbers: what came in the current
 * window, and what came in the one before, which counts less the older the current one is. Pure but for the state
 * that it is given.
 */
export interface Window {
  start: number
  current: number
  previous: number
}

export function newWindow(now: number): Window {
  return { start: now, current: 0, previous: 0 }
}

export function add(window: Window, period: number, amount: number, now: number): void {
  roll(window, period, now)
  window.current += amount
}

export function used(window: Window, period: number, now: number): number {
  roll(window, period, now)
  return window.current + window.previous * (1 - shareOver(window, period, now))
}

/** When less than `limit` will have been used if nothing is added; `now` when that is so already. */
export function freeAt(window: Window, period: number, limit: number, now: number): number {
  if (used(window, period, now) < limit) return now
  const { current, previous, start } = window
  // within this window what is left of the one before fades away, in the next one what came in this
  const at =
    current < limit
      ? start + period * (1 - (limit - current) / previous)
      : start + period * (2 - limit / current)
  return Math.floor(at) + 1
}

function shareOver({ start }: Window, period: number, now: number): number {
  return Math.min(Math.max((now - start) / period, 0), 1)
}

function roll(window: Window, period: number, now: number): void {
  const over = Math.floor((now - window.start) / period)
  if (over < 1) return
  window.previous = over === 1 ? window.current : 0
  window.current = 0
  window.start = over === 1 ? window.start + period : now
}
