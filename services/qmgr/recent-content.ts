/**
 * Large content that has just come in, kept in memory until it has gone out, so that it is not read back from the
 * disk in the usual case. It is always in its file as well: whatever is dropped here costs a read, nothing else.
 *
 * Bounded by octets over all messages, and by MOST_OF_ONE for each: no process ever holds a whole large message. One
 * that does not fit is not kept; nobody is evicted for it, because what is here is about to be used.
 */

/** From here on reading back costs little beside sending. */
const MOST_OF_ONE = 4 << 20

/** One message's share while it comes in. */
export interface Memory {
  add: (data: Uint8Array) => void
  /** In place of the first octets. */
  replaceHead: (head: Uint8Array) => void
  drop: () => void
}

interface Kept {
  pieces: Uint8Array[]
  octets: number
}

export class RecentContent {
  readonly #most: number
  readonly #kept = new Map<number, Kept>()
  #octets = 0

  constructor(most: number) {
    this.#most = most
  }

  begin(id: number): Memory {
    this.#kept.set(id, { pieces: [], octets: 0 })
    const replaceHead = (head: Uint8Array) => this.#replaceHead(id, head)
    return { add: (data) => this.#add(id, data), replaceHead, drop: () => this.drop(id) }
  }

  /** Null when not all of it is here. */
  get(id: number): readonly Uint8Array[] | null {
    return this.#kept.get(id)?.pieces ?? null
  }

  drop(id: number): void {
    this.#octets -= this.#kept.get(id)?.octets ?? 0
    this.#kept.delete(id)
  }

  #replaceHead(id: number, head: Uint8Array): void {
    let at = 0
    for (const piece of this.#kept.get(id)?.pieces ?? []) {
      if (at >= head.length) return
      const part = head.subarray(at, at + piece.length)
      piece.set(part)
      at += part.length
    }
  }

  #add(id: number, data: Uint8Array): void {
    const kept = this.#kept.get(id)
    if (!kept) return
    const { length } = data
    if (this.#octets + length > this.#most || kept.octets + length > MOST_OF_ONE) return this.drop(id)
    kept.pieces.push(data)
    kept.octets += length
    this.#octets += length
  }
}
