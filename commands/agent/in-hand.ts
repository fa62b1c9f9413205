/** Messages in hand: whoever has one is the only one who sends or changes it. */
export class InHand {
  readonly #ids = new Set<string>()

  get size(): number {
    return this.#ids.size
  }

  has(id: string): boolean {
    return this.#ids.has(id)
  }

  async alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#ids.add(id)
    try {
      return await work()
    } finally {
      this.#ids.delete(id)
    }
  }
}
