/**
 * How many recipients are queued for each destination, in memory and on disk, so that one that is full is refused
 * at RCPT (452) before anything is spent on it. smtpd is told of destinations as they become full and as they
 * have room again, which is when a tenth of the limit is free.
 *
 * Each slot knows under which destination it counts; `move` is the only way that changes. What the administrator
 * does to waiting mail happens in the store alone, which says what that comes to (`acted`). `recount` asks the store
 * for everything: at the start, and when a commit has failed and nobody knows what became of it. Slots that move
 * while it asks are added to what it says; acts are not, for the store answers in order: one that it answered before
 * was done before.
 */
export interface Counted {
  /** The destination it counts for; '' for none. */
  destination: string
}

/** A slot that is being worked on, and what the store's row for it says, if there is one. */
export interface Active extends Counted {
  filedUnder: string | null
}

export interface StoredCount {
  destination: string
  recipients: number
}

export interface BacklogOptions {
  limit: () => number
  onChange: (full: string[], relieved: string[]) => void
}

const RELIEF = 0.9

export class Backlog {
  readonly #options: BacklogOptions
  #counts = new Map<string, number>()
  /** Becomes `#counts` when the store has answered. */
  #next: Map<string, number> | null = null
  readonly #full = new Set<string>()

  constructor(options: BacklogOptions) {
    this.#options = options
  }

  get full(): string[] {
    return [...this.#full]
  }

  count(destination: string): number {
    return this.#counts.get(destination) ?? 0
  }

  /** It goes to another destination, or ('') is done. */
  move(one: Counted, destination: string): void {
    if (one.destination === destination) return
    this.#shift(one.destination, -1)
    this.#shift(destination, 1)
    one.destination = destination
  }

  /** The store has changed rows that are in nobody's hands. */
  acted(touched: readonly StoredCount[]): void {
    const limit = this.#options.limit()
    const full: string[] = []
    const relieved: string[] = []
    for (const { destination, recipients } of touched) {
      const count = addTo(this.#counts, destination, recipients)
      if (count >= limit && !this.#full.has(destination)) full.push(destination)
      if (count <= limit * RELIEF && this.#full.delete(destination)) relieved.push(destination)
    }
    for (const destination of full) this.#full.add(destination)
    if (full.length > 0 || relieved.length > 0) this.#options.onChange(full, relieved)
  }

  /** @param stored sees everything that has been told to the store by now, and nothing later. */
  async recount(active: Iterable<Active>, stored: () => Promise<StoredCount[]>): Promise<void> {
    const next = new Map<string, number>()
    this.#next = next
    for (const { destination, filedUnder } of active) {
      if (filedUnder !== null) addTo(next, filedUnder, -1)
      addTo(next, destination, 1)
    }
    const counts = await stored()
    if (this.#next !== next) return // another recount has begun since
    for (const { destination, recipients } of counts) addTo(next, destination, recipients)
    this.#counts = next
    this.#next = null
    this.review()
  }

  /** The limit or the counts have changed as a whole. */
  review(): void {
    const limit = this.#options.limit()
    const relieved = this.full.filter((one) => this.count(one) <= limit * RELIEF)
    for (const one of relieved) this.#full.delete(one)
    const full = [...this.#counts].flatMap(([one, count]) =>
      count >= limit && !this.#full.has(one) ? [one] : [],
    )
    for (const one of full) this.#full.add(one)
    if (full.length > 0 || relieved.length > 0) this.#options.onChange(full, relieved)
  }

  #shift(destination: string, by: 1 | -1): void {
    if (destination === '') return
    if (this.#next) addTo(this.#next, destination, by)
    const count = addTo(this.#counts, destination, by)
    if (by > 0 ? count < this.#options.limit() : this.#full.size === 0) return
    if (by > 0) this.#fill(destination)
    else this.#relieve(destination, count)
  }

  #fill(destination: string): void {
    if (this.#full.has(destination)) return
    this.#full.add(destination)
    this.#options.onChange([destination], [])
  }

  #relieve(destination: string, count: number): void {
    if (count > this.#options.limit() * RELIEF || !this.#full.delete(destination)) return
    this.#options.onChange([], [destination])
  }
}

function addTo(counts: Map<string, number>, destination: string, by: number): number {
  if (destination === '') return 0
  const count = (counts.get(destination) ?? 0) + by
  if (count === 0) counts.delete(destination)
  else counts.set(destination, count)
  return count
}
