/**
 * Content that comes in pieces on the bus, as something to read from. At most what qmgr has credit for is held:
 * credit goes back when a piece has been taken. `off` makes a reader fail, since what it has is not whole.
 */
export class Pieces {
  readonly #credit: (octets: number) => void
  #held: Uint8Array[] = []
  #end: 'whole' | 'off' | null = null
  #wake: () => void = () => undefined

  constructor(credit: (octets: number) => void) {
    this.#credit = credit
  }

  push(data: Uint8Array, last: boolean): void {
    if (this.#end) return
    if (data.length > 0) this.#held.push(data)
    if (last) this.#end = 'whole'
    this.#wake()
  }

  /** Nobody reads any more, or nothing more will come. */
  off(): void {
    this.#end = 'off'
    this.#held = []
    this.#wake()
  }

  async *read(): AsyncIterable<Uint8Array> {
    for (;;) {
      if (this.#end === 'off') throw new Error('the attempt was called off')
      const piece = this.#held.shift()
      if (piece) {
        if (!this.#end) this.#credit(piece.length)
        yield piece
      } else if (this.#end === 'whole') return
      else await this.#more()
    }
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
