/**
 * Large content that has just come in, kept in memory until it has gone out, so that it is not read back from the
 * disk in the usual case. It is always in its file as well: whatever is dropped here costs a read, nothing else.
 *
 * Bounded by octets over all messages. A message that does not fit is not kept; nobody is evicted for it, because
 * what is here is about to be used.
 */

/** One message's share while it comes in. */
export interface Memory {
  add: (data: Uint8Array) => void
  drop: () => void
}

export class RecentContent {
  readonly #most: number
  readonly #kept = new Map<number, Uint8Array[]>()
  #octets = 0

  constructor(most: number) {
    this.#most = most
  }

  begin(id: number): Memory {
    this.#kept.set(id, [])
    return { add: (data) => this.#add(id, data), drop: () => this.drop(id) }
  }

  /** Null when not all of it is here. */
  get(id: number): readonly Uint8Array[] | null {
    return this.#kept.get(id) ?? null
  }

  drop(id: number): void {
    for (const { length } of this.#kept.get(id) ?? []) this.#octets -= length
    this.#kept.delete(id)
  }

  #add(id: number, data: Uint8Array): void {
    const pieces = this.#kept.get(id)
    if (!pieces) return
    if (this.#octets + data.length > this.#most) return this.drop(id)
    pieces.push(data)
    this.#octets += data.length
  }
}
