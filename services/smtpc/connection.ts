/**
 * One session with a host, kept over many transactions: the shell around `transaction.ts`.
 *
 * It feeds replies and socket events to the machine and carries out its effects; it decides nothing about mail.
 * At any time it is idle, in a transaction, or leaving. There is no timer here: `deadline` says until when the
 * present phase may last (RFC 5321 section 4.5.3.2) and the pool, which looks at all of them, calls `expire`.
 *
 * One job may wait behind the one in hand. Its MAIL, RCPT and DATA leave in the same write as the content before
 * it (RFC 2920 section 3.1 allows that), which halves the writes and reads of a message.
 *
 * Fails: whatever ends the connection reaches the machine as `lost` and so becomes outcomes; an idle one just
 * goes. A kept connection that turns out dead before the first reply of a transaction is `onStale`: nothing was
 * sent that counts, and the attempt takes a fresh one.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type ReadingSocket, takeOver } from '../../shared/bus/reading.ts'
import type { Blame, Reply } from '../../shared/message/outcome.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { type Delivery, own } from '../../shared/smtp-client/commands.ts'
import type { Effect, TransactionEvent } from '../../shared/smtp-client/states.ts'
import { advance, begin, refuse } from '../../shared/smtp-client/transaction.ts'
import { ContentStream } from './content.ts'
import type { Session } from './dial.ts'
import { Downgrade } from './downgrade.ts'
import { fit } from './fitting.ts'
import type { Target } from './hosts.ts'
import { isWriting, type Job, patienceFor, type Running, type Tenant, type Timeouts } from './job.ts'
import { changed, JOIN_LIMIT, wrappingFor, writeStream, writeWhole } from './writing.ts'

/** Who keeps the connection. */
export interface Keeper {
  /** The session is ready for another transaction. */
  onFree: (connection: Connection) => void
  /** A transaction begins; from now on a job may be queued behind it, if `mayQueue`. */
  onBusy: (connection: Connection) => void
  onClosed: (connection: Connection) => void
}

/**
 * A host that settles a transaction within this time is fast: waiting for its connection beats opening another.
 * A slow one is better served in parallel.
 */
const FAST_MS = 10
const REPLY_OCTETS = 16 << 10

export class Connection {
  readonly key: string
  readonly target: Target
  readonly tls: string
  /** For the log. */
  readonly policy: string
  /** Transactions that the host takes in one session (RFC 9422). */
  readonly mostTransactions: number
  /** Transactions taken on. */
  served = 0
  /** Milliseconds since 1970 until which the present phase may last. */
  deadline = Number.POSITIVE_INFINITY
  /** As the last delivery over it has them. */
  terms: Delivery['terms']
  readonly #socket: Socket
  readonly #session: Session
  readonly #lmtp: boolean
  readonly #keeper: Keeper
  readonly #replies: ReplyReader
  readonly #flushed = (error?: Error | null) => {
    if (!error) this.#step({ kind: 'flushed' })
  }
  #timeouts: Timeouts
  #running: Running | null = null
  #waiting: Job | null = null
  /** The waiting job, when its commands are out already. */
  #ahead: Running | null = null
  #lastTook = Number.POSITIVE_INFINITY
  #fresh = true
  #leaving = false
  /** Commands are out whose job is gone: the session ends with the transaction in hand. */
  #doomed = false
  #closed = false

  constructor(key: string, session: Session, lmtp: boolean, timeouts: Timeouts, keeper: Keeper) {
    this.key = key
    this.target = session.target
    this.tls = session.tls
    this.policy = session.policy
    this.mostTransactions = session.offers.mostTransactions
    this.#session = session
    const reading = readingOf(session.socket)
    this.#socket = reading.socket
    this.#lmtp = lmtp
    this.#timeouts = timeouts
    this.#keeper = keeper
    this.#replies = new ReplyReader()
    const { socket } = reading
    const heard = (reply: SmtpReply | typeof GARBAGE) => this.#heard(reply)
    reading.listen((chunk) => this.#replies.push(chunk, heard))
    socket.on('end', () => this.#lost('4.4.2', 'closed the connection'))
    socket.on('error', (error) => this.#lost('4.4.2', error.message))
    socket.on('close', () => this.#lost('4.4.2', 'connection lost'))
  }

  /** Begins a transaction on an idle connection. */
  run(job: Job, timeouts: Timeouts): void {
    this.#timeouts = timeouts
    this.served++
    const { running, effects } = this.#begin(job)
    this.#running = running
    this.#keeper.onBusy(this)
    this.#carryOut(effects)
  }

  /** Nothing to do, and not on its way out. */
  get idle(): boolean {
    return !this.#running && !this.#leaving && !this.#closed
  }

  /** Whether a job may wait here: the host is fast, and the envelope in hand is not answered yet. */
  get mayQueue(): boolean {
    const phase = this.#running?.transaction.state.phase
    return (
      this.#lastTook <= FAST_MS &&
      this.#waiting === null &&
      this.#session.offers.pipelining &&
      (phase === 'mail' || phase === 'rcpt' || phase === 'data')
    )
  }

  /** Takes a job for after the present one; only where `mayQueue`. */
  queue(job: Job): void {
    this.served++
    this.#waiting = job
  }

  /** Ends the tenant's transaction, unless its content and dot are out already. */
  interrupt(tenant: Tenant, reply: Reply): void {
    if (this.#waiting?.tenant === tenant) return this.#drop(this.#waiting, reply)
    const phase = this.#running?.transaction.state.phase
    if (this.#running?.job.tenant !== tenant || phase === 'dot' || phase === 'reset') return
    this.#end(reply, 'ours')
  }

  /** The deadline has passed. */
  expire(): void {
    if (this.#leaving) return this.#destroy()
    if (!this.#running) return this.quit()
    const { job, transaction } = this.#running
    const { state } = transaction
    const phase = isWriting(state) ? 'content' : state.phase
    const starved =
      phase === 'content' && this.#socket.writableLength === 0 && job.content instanceof ContentStream
    if (starved) this.#end(own(451, '4.3.0', 'content did not arrive in time'), 'ours')
    else this.#lost('4.4.2', `no answer in time in phase ${phase}`)
  }

  /** Leaves politely; for an idle connection. */
  quit(): void {
    if (this.#closed || this.#leaving) return
    this.#leaving = true
    this.deadline = Date.now() + this.#timeouts.quit
    this.#socket.end('QUIT\r\n')
  }

  #heard(said: SmtpReply | typeof GARBAGE): void {
    if (this.#closed) return
    if (said === GARBAGE) return this.#lost('4.5.0', 'sent no SMTP reply')
    if (this.#leaving || !this.#running) return this.#destroy() // nothing was asked: mostly 421, on its way out
    if (said.code === 421 && this.#isStale(this.#running)) return this.#destroy()
    const { code, enhanced, text } = said
    this.#step({ kind: 'reply', reply: { code, enhanced, text, host: this.target.name } })
  }

  #lost(enhanced: string, what: string): void {
    const { name, address } = this.target
    this.#end(own(451, enhanced, `${name}[${address}] ${what}`), 'destination')
  }

  #end(reply: Reply, blame: Blame): void {
    if (this.#closed) return
    if (!this.#running || (blame !== 'ours' && this.#isStale(this.#running))) return this.#destroy()
    this.#step({ kind: 'lost', reply, blame })
  }

  /** A kept connection whose transaction has not had a single reply. */
  #isStale({ transaction }: Running): boolean {
    return !this.#fresh && transaction.state.phase === 'mail'
  }

  #step(event: TransactionEvent): void {
    if (this.#running) this.#carryOut(advance(this.#running.transaction, event))
  }

  #carryOut(effects: readonly Effect[]): void {
    this.#arm()
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'write':
        this.#socket.write(effect.text)
        return
      case 'content':
        return this.#sendContent()
      case 'settle':
        return this.#running?.job.tenant.onSettled(effect.outcomes)
      case 'free':
        return this.#free()
      case 'close':
        return this.#destroy()
    }
  }

  #arm(): void {
    if (!this.#running) return
    this.deadline = Date.now() + this.#timeouts[patienceFor(this.#running.transaction.state)]
  }

  /** The present job is over and the session lives: the waiting one's turn, or nobody's. */
  #free(): void {
    this.#lastTook = Date.now() - (this.#running?.begunAt ?? 0)
    this.#fresh = false
    this.#forget()
    if (this.#doomed) return this.#destroy()
    const job = this.#waiting
    const ahead = this.#ahead
    this.#waiting = null
    this.#ahead = null
    if (!job) {
      this.deadline = Number.POSITIVE_INFINITY
      return this.#keeper.onFree(this)
    }
    if (!ahead) {
      this.served--
      return this.run(job, this.#timeouts)
    }
    this.#running = { ...ahead, begunAt: Date.now() }
    this.#arm()
    this.#keeper.onBusy(this)
  }

  /** The waiting job is not wanted any more; if its commands are out, the session cannot go on after this one. */
  #drop(job: Job, reply: Reply): void {
    this.#waiting = null
    this.#doomed = this.#ahead !== null
    this.#ahead = null
    job.tenant.onSettled(job.delivery.recipients.map(() => ({ kind: 'later', reply, blame: 'ours' })))
  }

  #forget(): void {
    const content = this.#running?.job.content
    if (content instanceof ContentStream) content.read(null)
    this.#running = null
  }

  /** Who was not settled by now has lost nothing: it takes another connection. */
  #destroy(): void {
    if (this.#closed) return
    this.#closed = true
    const unsettled = [this.#running?.transaction.settled ? null : this.#running?.job, this.#waiting]
    this.#forget()
    this.#waiting = null
    this.deadline = Number.POSITIVE_INFINITY
    this.#socket.destroy()
    this.#keeper.onClosed(this)
    for (const job of unsettled) job?.tenant.onStale()
  }

  #sendContent(): void {
    const running = this.#running
    if (!running) return
    const { content, delivery, changing } = running.job
    const wrapping = changing
      ? changed(new Downgrade(changing))
      : wrappingFor(delivery.body === 'binarymime' ? 'chunk' : 'dots')
    if (content instanceof ContentStream) {
      return writeStream(this.#socket, content, wrapping, {
        wanted: () => running === this.#running && running.transaction.state.phase === 'content',
        progress: () => {
          if (running === this.#running) this.#arm()
        },
        handed: () => this.#step({ kind: 'handed' }),
        flushed: this.#flushed,
        unfit: (reply) => this.#step({ kind: 'unfit', reply }),
      })
    }
    const follow = content.length <= JOIN_LIMIT ? this.#beginAhead() : ''
    writeWhole(this.#socket, content, wrapping, follow, this.#flushed)
    this.#step({ kind: 'handed' })
  }

  #begin(job: Job): { running: Running; effects: Effect[] } {
    const now = Date.now()
    const { offers } = this.#session
    const fitting = fit(job, offers)
    if ('code' in fitting) {
      const { transaction, effects } = refuse(job.delivery, offers, this.#lmtp, fitting)
      return { running: { job, transaction, begunAt: now }, effects }
    }
    const { transaction, effects } = begin(fitting.delivery, offers, this.#lmtp, now)
    return { running: { job: fitting, transaction, begunAt: now }, effects }
  }

  /** The waiting job's commands, to follow the content in hand; '' when there is none or it cannot be sent. */
  #beginAhead(): string {
    if (!this.#waiting) return ''
    const { running, effects } = this.#begin(this.#waiting)
    const first = effects[0]
    if (first?.kind !== 'write') return '' // refused before it is sent; that is done again in its turn
    this.#ahead = running
    return first.text
  }
}

/** Replies are short: in the clear, one buffer does for all sessions. */
function readingOf(socket: Socket): ReadingSocket {
  if (!(socket instanceof TLSSocket)) return takeOver(socket, { octets: REPLY_OCTETS })
  return { socket, listen: (onOctets) => void socket.on('data', onOctets) }
}
