/**
 * One transaction over a connected socket, and QUIT: the shell around `transaction.ts` for a session that takes a
 * single message. smtpc, which keeps its connections, has a shell of its own.
 *
 * Gives one outcome for each recipient and never rejects. Content is asked for when the server wants it, at the pace
 * of the socket; when it cannot be read to its end the connection is broken off before the dot, so that nobody gets
 * half a message.
 */
import type { Socket } from 'node:net'
import type { Blame, Outcome } from '../message/outcome.ts'
import { DotStuffer } from '../smtp/dot-stuffer.ts'
import type { SmtpReply } from '../smtp/reply.ts'
import { GARBAGE, ReplyReader } from '../smtp/reply-reader.ts'
import { type Delivery, own } from './commands.ts'
import type { Offers } from './offers.ts'
import type { Effect, Transaction, TransactionEvent } from './states.ts'
import { advance, begin } from './transaction.ts'

export interface ExchangeOptions {
  /** Greeted, with EHLO or LHLO behind it; nobody else reads it. */
  socket: Socket
  offers: Offers
  /** For replies and logs. */
  host: string
  lmtp: boolean
  /** See `Transaction.together`. */
  together: boolean
  /** Milliseconds to wait for each answer or for progress, and for a reply to the dot. */
  timeout: number
  dotTimeout: number
  content: () => AsyncIterable<Uint8Array>
}

export function exchange(options: ExchangeOptions, delivery: Delivery): Promise<Outcome[]> {
  return new Exchange(options).run(delivery)
}

class Exchange {
  readonly #options: ExchangeOptions
  readonly #socket: Socket
  readonly #replies = new ReplyReader()
  #transaction: Transaction | null = null
  #timer: NodeJS.Timeout | null = null
  #settled: (outcomes: Outcome[]) => void = () => undefined

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#socket = options.socket
  }

  run(delivery: Delivery): Promise<Outcome[]> {
    const { host, lmtp, offers, together } = this.#options
    const outcomes = new Promise<Outcome[]>((resolve) => {
      this.#settled = resolve
    })
    this.#socket.on('data', (chunk: Buffer) => this.#replies.push(chunk, (reply) => this.#heard(reply)))
    this.#socket.on('error', () => undefined) // 'close' follows
    this.#socket.on('close', () => this.#lost('the connection was lost'))
    this.#socket.resume()
    const { transaction, effects } = begin(delivery, offers, lmtp, Date.now(), together)
    this.#transaction = transaction
    this.#carryOut(effects)
    if (this.#socket.destroyed) this.#lost(`the connection to ${host} was lost`)
    return outcomes
  }

  #heard(reply: SmtpReply | typeof GARBAGE): void {
    if (reply === GARBAGE) return this.#lost('what answers does not speak SMTP')
    this.#step({ kind: 'reply', reply: { ...reply, host: this.#options.host } })
  }

  #lost(text: string, blame: Blame = 'destination'): void {
    this.#step({ kind: 'lost', reply: own(451, '4.4.2', `${this.#options.host}: ${text}`), blame })
  }

  #step(event: TransactionEvent): void {
    const transaction = this.#transaction
    if (transaction && transaction.state.phase !== 'over') this.#carryOut(advance(transaction, event))
  }

  #carryOut(effects: readonly Effect[]): void {
    this.#arm()
    for (const effect of effects) {
      if (effect.kind === 'write') this.#socket.write(effect.text)
      else if (effect.kind === 'content') void this.#sendContent()
      else if (effect.kind === 'settle') this.#settled(effect.outcomes)
      else this.#leave(effect.kind)
    }
  }

  async #sendContent(): Promise<void> {
    const dots = new DotStuffer()
    const inContent = () => this.#transaction?.state.phase === 'content'
    try {
      for await (const piece of this.#options.content()) {
        if (!inContent()) return
        this.#arm()
        if (!this.#socket.write(dots.push(asBuffer(piece)))) await this.#drained()
      }
    } catch (error) {
      // without the dot nothing was delivered
      return this.#lost(`the message cannot be read: ${String(error)}`, 'ours')
    }
    if (!inContent()) return
    this.#step({ kind: 'handed' })
    this.#socket.write(dots.end(), (error) => {
      if (!error) this.#step({ kind: 'flushed' })
    })
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off('drain', done).off('close', done)
        resolve()
      }
      this.#socket.once('drain', done).once('close', done)
    })
  }

  #leave(how: 'free' | 'close'): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    if (how === 'close') this.#socket.destroy()
    else this.#socket.end('QUIT\r\n', () => this.#socket.destroySoon())
  }

  /** RFC 5321 section 4.5.3.2 asks for more patience after the dot. */
  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#transaction?.state.phase === 'over') return
    const { timeout, dotTimeout } = this.#options
    const patience = this.#transaction?.state.phase === 'dot' ? dotTimeout : timeout
    this.#timer = setTimeout(() => this.#lost('no answer in time'), patience)
  }
}

function asBuffer(octets: Uint8Array): Buffer {
  return Buffer.isBuffer(octets) ? octets : Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
}
