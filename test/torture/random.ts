/**
 * Chance that can be repeated: a run names its seed, and the same seed makes the same choices.
 *
 * Mulberry32: 32 bits of state, good enough to choose victims and sectors, not for secrets.
 */

export interface Random {
  /** 0 to below 1. */
  next: () => number
  /** A whole number from 0 to below `most`. */
  below: (most: number) => number
  /** True with this probability. */
  chance: (probability: number) => boolean
  pick: <T>(items: readonly [T, ...T[]]) => T
}

export function seeded(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (most: number) => Math.floor(next() * most)
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (items) => items[below(items.length)] ?? items[0],
  }
}
