/**
 * What is said to a client: replies are gathered and leave together (RFC 2920 section 3.2), and who makes too many
 * mistakes waits for them (tarpitting).
 *
 * While replies are held nothing more is read from that client, so there is one timer for each client that waits and
 * none for all others. A tarpit has a bounded number of places: who finds none is answered at once, so that nobody
 * can fill this process with sessions that wait.
 */
import { renderReply, type SmtpReply } from '../../shared/smtp/reply.ts'

/** The places of one listener's clients that wait. */
export class Tarpit {
  readonly #places: () => number
  #taken = 0

  constructor(places: () => number) {
    this.#places = places
  }

  enter(): boolean {
    if (this.#taken >= this.#places()) return false
    this.#taken++
    return true
  }

  leave(): void {
    this.#taken--
  }
}

export class Output {
  readonly #tarpit: Tarpit
  #text = ''
  #timer: NodeJS.Timeout | null = null

  constructor(tarpit: Tarpit) {
    this.#tarpit = tarpit
  }

  add(reply: SmtpReply): void {
    this.#text += renderReply(reply)
  }

  /** Replies wait, and so does everything behind them. */
  get held(): boolean {
    return this.#timer !== null
  }

  /** What is to be written now. */
  take(): string {
    if (this.#text === '' || this.held) return ''
    const text = this.#text
    this.#text = ''
    return text
  }

  /** Holds what is to be said, at most for so many milliseconds from now; calls `over` unless `release` was first. */
  hold(milliseconds: number, over: () => void): void {
    if (this.held || !this.#tarpit.enter()) return
    this.#timer = setTimeout(() => {
      this.release()
      over()
    }, milliseconds)
  }

  release(): void {
    if (!this.#timer) return
    clearTimeout(this.#timer)
    this.#timer = null
    this.#tarpit.leave()
  }
}
