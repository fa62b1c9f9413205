/**
 * Serials for ids (`shared/base/ids.ts`): taken from the store in blocks, given out one by one and never twice.
 * The block's end is written before any of it is used; what is left at the end of a life is lost, which is cheap.
 */
import type { StorePort } from './store-port.ts'

const BLOCK = 256

export class Serials {
  readonly #port: StorePort
  #next: number
  #end: number
  #spare: number | null = null

  private constructor(port: StorePort, first: number) {
    this.#port = port
    this.#next = first
    this.#end = first + BLOCK
  }

  static async open(port: StorePort): Promise<Serials> {
    return new Serials(port, await port.call('reserveSerials', BLOCK))
  }

  /** @throws RangeError when workers join faster than blocks can be fetched: something is very wrong. */
  next(): number {
    if (this.#next === this.#end) this.#switch()
    const serial = this.#next++
    if (this.#spare === null && this.#end - this.#next === BLOCK / 2) void this.#fetch()
    return serial
  }

  async #fetch(): Promise<void> {
    this.#spare = await this.#port.call('reserveSerials', BLOCK).catch(() => null)
  }

  #switch(): void {
    if (this.#spare === null) throw new RangeError('no serials are left')
    this.#next = this.#spare
    this.#end = this.#spare + BLOCK
    this.#spare = null
  }
}
