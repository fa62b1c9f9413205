/**
 * A connection to a milter: packets out, packets in, each wait with its deadline.
 *
 * Fails: FilterTrouble from whatever is waited for, when the socket fails, closes, is silent too long or says what is
 * no packet. Behind MOST_WAITING packets that nobody has taken yet it is read no further.
 */
import { connect, type Socket } from 'node:net'
import type { FilterAddress } from '../../../shared/config/filter-slice.ts'
import { FilterTrouble } from './change.ts'
import { type Packet, PacketReader } from './milter-packet.ts'

const MOST_WAITING = 1000
const LAST_WORDS_MS = 5000

export class Line {
  readonly #socket: Socket
  readonly #reader = new PacketReader()
  readonly #packets: Packet[] = []
  #wake: (() => void) | null = null
  #trouble: FilterTrouble | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#fail(error.message))
    socket.on('close', () => this.#fail('it closed the connection'))
    socket.on('drain', () => this.#stir())
    socket.on('connect', () => this.#stir())
  }

  /** @param patience milliseconds. */
  static async open(address: FilterAddress, patience: number): Promise<Line> {
    const line = new Line(dial(address))
    try {
      await line.#until(() => !line.#socket.connecting, patience)
    } catch (error) {
      line.close()
      throw error
    }
    return line
  }

  get lost(): boolean {
    return this.#trouble !== null
  }

  write(packet: Buffer): void {
    if (!this.#trouble) this.#socket.write(packet)
  }

  async next(patience: number): Promise<Packet> {
    await this.#until(() => this.#packets.length > 0, patience)
    const packet = this.#packets.shift()
    if (!packet) throw new FilterTrouble('no answer')
    if (this.#packets.length === 0) this.#socket.resume()
    return packet
  }

  /** What was written has left, or fits into what may wait. */
  drained(patience: number): Promise<void> {
    return this.#until(() => !this.#socket.writableNeedDrain, patience)
  }

  /** What was written last still leaves. */
  close(): void {
    this.#trouble ??= new FilterTrouble('the connection was closed')
    this.#socket.setTimeout(LAST_WORDS_MS, () => this.#socket.destroy())
    this.#socket.destroySoon()
  }

  /** One thing is waited for at a time. */
  async #until(done: () => boolean, patience: number): Promise<void> {
    const end = setTimeout(() => this.#fail(`no answer in ${patience} ms`), patience)
    try {
      while (!done()) {
        if (this.#trouble) throw this.#trouble
        await new Promise<void>((wake) => {
          this.#wake = wake
        })
      }
    } finally {
      clearTimeout(end)
    }
  }

  #take(chunk: Buffer): void {
    try {
      this.#packets.push(...this.#reader.push(chunk))
    } catch (error) {
      return this.#fail(error instanceof FilterTrouble ? error.message : String(error))
    }
    // changes come in numbers; whoever says more is read no further until we are through
    if (this.#packets.length > MOST_WAITING) this.#socket.pause()
    this.#stir()
  }

  #fail(why: string): void {
    if (!this.#trouble) {
      this.#trouble = new FilterTrouble(why)
      this.#socket.destroy()
    }
    this.#stir()
  }

  #stir(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }
}

function dial(address: FilterAddress): Socket {
  return address.kind === 'unix' ? connect(address.path) : connect(address.port, address.host)
}
