/**
 * Question and answer over a socket, one at a time: what goes before the first transaction.
 *
 * Fails: `DialogueTrouble` for silence, a lost connection, or what is no reply. Octets that come unasked before TLS
 * begins are an injection (RFC 3207 section 6) and end it. `release` hands the socket on, without listeners.
 */
import type { Socket } from 'node:net'
import type { SmtpReply } from '../smtp/reply.ts'
import { GARBAGE, ReplyReader } from '../smtp/reply-reader.ts'

export class DialogueTrouble extends Error {
  override name = 'DialogueTrouble'
}

type Heard = SmtpReply | DialogueTrouble

export class Dialogue {
  readonly socket: Socket
  readonly #timeout: number
  readonly #replies = new ReplyReader()
  readonly #heard: Heard[] = []
  #waiter: ((heard: Heard) => void) | null = null
  readonly #onData = (chunk: Buffer) =>
    this.#replies.push(chunk, (reply) =>
      this.#take(reply === GARBAGE ? new DialogueTrouble('the server does not speak SMTP') : reply),
    )
  readonly #onClose = () => this.#take(new DialogueTrouble('the connection was lost'))
  readonly #onError = (error: Error) => this.#take(new DialogueTrouble(error.message))

  /** @param timeout milliseconds for each answer. */
  constructor(socket: Socket, timeout: number) {
    this.socket = socket
    this.#timeout = timeout
    socket.on('data', this.#onData)
    socket.on('close', this.#onClose)
    socket.on('error', this.#onError)
    socket.resume() // whoever had it before has stopped it, so that nothing is lost
  }

  /** The next reply, whatever it says. */
  async answer(): Promise<SmtpReply> {
    const heard = this.#heard.shift() ?? (await this.#wait())
    if (heard instanceof DialogueTrouble) throw heard
    return heard
  }

  ask(line: string): Promise<SmtpReply> {
    if (this.#heard.length > 0) throw new DialogueTrouble('the server spoke out of turn')
    this.socket.write(`${line}\r\n`)
    return this.answer()
  }

  /** @returns the socket, for whoever goes on with it. */
  release(): Socket {
    this.socket.off('data', this.#onData)
    this.socket.off('close', this.#onClose)
    this.socket.pause()
    // an error before the next owner listens must not end the process; 'close' follows it
    this.socket.on('error', () => undefined)
    this.socket.off('error', this.#onError)
    if (this.#heard.length > 0 || this.#replies.pending)
      throw new DialogueTrouble('the server spoke out of turn')
    return this.socket
  }

  #wait(): Promise<Heard> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#take(new DialogueTrouble('no answer in time')), this.#timeout)
      this.#waiter = (heard) => {
        clearTimeout(timer)
        resolve(heard)
      }
    })
  }

  #take(heard: Heard): void {
    const waiter = this.#waiter
    this.#waiter = null
    if (waiter) waiter(heard)
    else this.#heard.push(heard)
  }
}
