/**
 * Where an attempt's content comes from: whole, in the request, or in chunks that follow it on the bus.
 *
 * A stream holds at most what the sender has credit for (CONTENT_WINDOW); credit goes back as octets reach the
 * next host's socket, so a slow host slows qmgr's reading and nothing else. `release` of a stream that nobody
 * reads any more drops what is held and everything that still comes.
 * Fails: a sender that exceeds its credit throws, which is a bug of ours.
 */
import { CONTENT_WINDOW } from '../../shared/bus/messages.ts'

export class ContentStream {
  readonly #giveCredit: (octets: number) => void
  #chunks: Buffer[] = []
  #held = 0
  #ended = false
  #onMore: (() => void) | null = null

  constructor(giveCredit: (octets: number) => void) {
    this.#giveCredit = giveCredit
  }

  /** Everything was taken. */
  get done(): boolean {
    return this.#ended && this.#chunks.length === 0
  }

  push(data: Uint8Array, last: boolean): void {
    if (this.#ended) return
    this.#held += data.length
    if (this.#held > CONTENT_WINDOW * 2) throw new RangeError('content beyond its credit')
    if (data.length > 0) this.#chunks.push(asBuffer(data))
    this.#ended = last
    this.#onMore?.()
  }

  take(): Buffer | null {
    return this.#chunks.shift() ?? null
  }

  /** The host's socket has taken this much of what `take` gave. */
  sent(octets: number): void {
    this.#held -= octets
    if (!this.#ended) this.#giveCredit(octets)
  }

  /** `onMore` is called whenever a chunk has come; null: nobody reads for now. */
  read(onMore: (() => void) | null): void {
    this.#onMore = onMore
  }

  release(): void {
    this.#chunks = []
    this.#held = 0
    this.#ended = true
    this.#onMore = null
  }
}

export type Content = Buffer | ContentStream

/** The same octets as a Buffer; not a copy. */
export function asBuffer(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}
