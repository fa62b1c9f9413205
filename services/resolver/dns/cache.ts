/**
 * Things to remember for a time, bounded: what was used longest ago goes first. Pure but for the caller's clock.
 */
export class Cache<T> {
  readonly #most: number
  readonly #entries = new Map<string, { value: T; until: number }>()

  constructor(most: number) {
    this.#most = Math.max(1, most)
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string, now: number): T | undefined {
    const entry = this.#entries.get(key)
    if (!entry) return undefined
    this.#entries.delete(key)
    if (entry.until <= now) return undefined
    this.#entries.set(key, entry)
    return entry.value
  }

  set(key: string, value: T, until: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, until })
    if (this.#entries.size <= this.#most) return
    const oldest = this.#entries.keys().next()
    if (!oldest.done) this.#entries.delete(oldest.value)
  }

  clear(): void {
    this.#entries.clear()
  }
}
