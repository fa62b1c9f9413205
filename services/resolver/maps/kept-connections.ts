/**
 * Connections to the server of a map, one question at a time on each: kept for the next question; one that the other
 * end has closed in the meantime costs a second try.
 *
 * Fails: `ask` rejects when there is no connection, when it is lost, when `signal` says so, or with what `read` throws;
 * the connection is then gone. How many there are at most is the matter of `gate.ts`.
 */
import { connect, type Socket } from 'node:net'
import type { MapServer } from '../../../shared/config/map-slices.ts'

/** What has come since the question: the answer, or null: it is not all there. Throws: it is none. */
export type ReadAnswer = (read: Buffer) => string | null

export class KeptConnections {
  readonly #server: MapServer
  /** What is said first on each, with the first question. */
  readonly #opening: string
  readonly #idle: Socket[] = []
  #closed = false

  constructor(server: MapServer, opening = '') {
    this.#server = server
    this.#opening = opening
  }

  async ask(question: Buffer, read: ReadAnswer, signal: AbortSignal): Promise<string> {
    for (;;) {
      const kept = this.#takeIdle()
      try {
        const socket = kept ?? (await this.#dial(signal))
        const answer = await exchange(socket, question, read, signal)
        this.#give(socket)
        return answer
      } catch (error) {
        if (!kept || signal.aborted) throw error
      }
    }
  }

  close(): void {
    this.#closed = true
    for (const socket of this.#idle.splice(0)) socket.destroy()
  }

  #give(socket: Socket): void {
    if (this.#closed || socket.destroyed) socket.destroy()
    else this.#idle.push(socket)
  }

  #takeIdle(): Socket | null {
    for (let socket = this.#idle.pop(); socket; socket = this.#idle.pop())
      if (!socket.destroyed) return socket
    return null
  }

  async #dial(signal: AbortSignal): Promise<Socket> {
    const socket = await dial(this.#server, signal)
    if (this.#opening !== '') socket.write(this.#opening)
    return socket
  }
}

function dial(server: MapServer, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const where = server.kind === 'unix' ? { path: server.path } : { host: server.host, port: server.port }
    const socket = connect(where)
    // not its own signal, which would end it with the first question
    const giveUp = () => void socket.destroy(new Error('no connection in time'))
    signal.addEventListener('abort', giveUp, { once: true })
    socket.once('connect', () => {
      signal.removeEventListener('abort', giveUp)
      socket.setNoDelay(true).unref()
      resolve(socket)
    })
    // for as long as it lives: one that fails while nobody asks is found destroyed
    socket.on('error', reject)
  })
}

function exchange(socket: Socket, question: Buffer, read: ReadAnswer, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0)
    const over = (end: () => void) => {
      socket.off('data', take).off('close', lost)
      signal.removeEventListener('abort', lost)
      end()
    }
    const fail = (error: unknown) =>
      over(() => {
        socket.destroy()
        reject(error)
      })
    const lost = () => fail(new Error('the connection was lost'))
    const take = (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk])
      try {
        const answer = read(heard)
        if (answer !== null) over(() => resolve(answer))
      } catch (error) {
        fail(error)
      }
    }
    socket.on('data', take).on('close', lost)
    signal.addEventListener('abort', lost, { once: true })
    socket.write(question)
  })
}
