/**
 * Questions that are being answered, so that a drain can wait for their answers. Answers that are there at once cost
 * nothing.
 */
import { setImmediate, setTimeout } from 'node:timers/promises'

export class InHand {
  readonly #promises = new Set<Promise<unknown>>()

  hold<T>(answer: T | Promise<T>): T | Promise<T> {
    if (!(answer instanceof Promise)) return answer
    const held = answer.finally(() => this.#promises.delete(held))
    this.#promises.add(held)
    return held
  }

  /** All are answered, or the patience (milliseconds) is over; and the answers have left. */
  async done(patience: number): Promise<void> {
    await Promise.race([Promise.allSettled(this.#promises), setTimeout(patience)])
    await setImmediate() // the answers leave at the end of this turn
  }
}
