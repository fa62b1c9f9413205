/** The attempts that an lda has in hand, so that it ends between them: see `life.ts`. */

/** What `life.ts` asks of whoever delivers. */
export interface Work {
  readonly inHand: InHand
  /** The bus is gone: attempts whose content is still coming end. */
  cancelAll: () => void
  figures: () => Record<string, number>
}

const NEVER = new Promise<never>(() => undefined)

export class InHand {
  readonly #now: () => number
  #count = 0
  #lastWork: number
  #closed = false
  #onDone: (() => void) | null = null

  constructor(now: () => number) {
    this.#now = now
    this.#lastWork = now()
  }

  get count(): number {
    return this.#count
  }

  /** When the last attempt was answered, milliseconds since 1970. */
  get lastWork(): number {
    return this.#lastWork
  }

  async run<T>(attempt: () => Promise<T>): Promise<T> {
    if (this.#closed) return NEVER // the connection ends in a moment, and qmgr finds another way at once
    this.#count++
    try {
      return await attempt()
    } finally {
      this.#count--
      this.#lastWork = this.#now()
      if (this.#count === 0) this.#onDone?.()
    }
  }

  /** From now on nothing is taken and nothing new answered; resolves when nothing is in hand. */
  close(): Promise<void> {
    this.#closed = true
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onDone = resolve
    })
  }
}
