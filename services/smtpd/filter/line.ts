/**
 * A connection to a filter: octets out, answers in, each wait with its deadline. What an answer is the reader knows:
 * packets of a milter, attributes of a policy server.
 *
 * Fails: FilterTrouble from whatever is waited for, when the socket fails, closes, is silent too long or says what the
 * reader does not take. Behind MOST_WAITING answers that nobody has taken yet it is read no further.
 */
import { connect, type Socket } from 'node:net'
import type { FilterAddress } from '../../../shared/config/filter-slice.ts'
import { FilterTrouble } from './change.ts'

/** Takes octets as they come, at any split; gives the answers that are whole by now. Fails: FilterTrouble. */
export interface Reader<Answer> {
  push(chunk: Buffer): Answer[]
}

const MOST_WAITING = 1000
const LAST_WORDS_MS = 5000

export class Line<Answer> {
  readonly #socket: Socket
  readonly #reader: Reader<Answer>
  readonly #answers: Answer[] = []
  #wake: (() => void) | null = null
  #trouble: FilterTrouble | null = null
  #hungUp = false

  private constructor(socket: Socket, reader: Reader<Answer>) {
    this.#socket = socket
    this.#reader = reader
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', (error) => this.#ended(error.message))
    socket.on('close', () => this.#ended('it closed the connection'))
    socket.on('drain', () => this.#stir())
    socket.on('connect', () => this.#stir())
  }

  /** @param patience milliseconds. */
  static async open<Answer>(
    address: FilterAddress,
    reader: Reader<Answer>,
    patience: number,
  ): Promise<Line<Answer>> {
    const line = new Line(dial(address), reader)
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

  /** The other side has ended it. */
  get hungUp(): boolean {
    return this.#hungUp
  }

  /** It has said something that nobody has asked for yet. */
  get ahead(): boolean {
    return this.#answers.length > 0
  }

  write(octets: Buffer): void {
    if (!this.#trouble) this.#socket.write(octets)
  }

  async next(patience: number): Promise<Answer> {
    await this.#until(() => this.#answers.length > 0, patience)
    const answer = this.#answers.shift()
    if (answer === undefined) throw new FilterTrouble('no answer')
    if (this.#answers.length === 0) this.#socket.resume()
    return answer
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
      this.#answers.push(...this.#reader.push(chunk))
    } catch (error) {
      return this.#fail(error instanceof FilterTrouble ? error.message : String(error))
    }
    // changes come in numbers; whoever says more is read no further until we are through
    if (this.#answers.length > MOST_WAITING) this.#socket.pause()
    this.#stir()
  }

  #ended(why: string): void {
    if (!this.#trouble) this.#hungUp = true
    this.#fail(why)
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
