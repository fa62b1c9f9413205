/**
 * One session with a host, kept over many transactions: the shell around `transaction.ts`.
 *
 * It feeds replies and socket events to the machine and carries out its effects; it decides nothing about mail.
 * At any time it is idle, in a transaction, or leaving. There is no timer here: `deadline` says until when the
 * present phase may last (RFC 5321 section 4.5.3.2) and the pool, which looks at all of them, calls `expire`.
 * Fails: whatever ends the connection reaches the machine as `lost` and so becomes outcomes; an idle one just
 * goes. A kept connection that turns out dead at the first reply of a transaction is `onStale`: nothing was
 * sent that counts, and the attempt takes a fresh one.
 */
import type { Socket } from 'node:net'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Blame, Outcome, Reply } from '../../shared/message/outcome.ts'
import { type Delivery, own } from './commands.ts'
import type { Content } from './content.ts'
import { ContentStream } from './content.ts'
import type { Session } from './dial.ts'
import { DotStuffer } from './dots.ts'
import type { Target } from './hosts.ts'
import { GARBAGE, ReplyReader } from './replies.ts'
import {
  advance,
  begin,
  type Effect,
  type Phase,
  type Transaction,
  type TransactionEvent,
} from './transaction.ts'

type Timeouts = SmtpcSlice['timeouts']

/** Which of the configured times bounds each phase. */
const PATIENCE: Readonly<Record<Phase, keyof Timeouts>> = {
  mail: 'mail', // RFC 5321 section 4.5.3.2.2
  rcpt: 'rcpt', // 4.5.3.2.3
  data: 'dataInitiation', // 4.5.3.2.4
  content: 'dataBlock', // 4.5.3.2.5
  dot: 'dataTermination', // 4.5.3.2.6
  empty: 'dataTermination',
  reset: 'mail',
  over: 'quit',
}

/** Content up to this many octets is joined with its end into one buffer, one write. */
const JOIN_LIMIT = 64 * 1024

/** Who has the connection for the time of one transaction. */
export interface Tenant {
  onSettled: (outcomes: Outcome[]) => void
  /** Nothing was sent that counts: try another connection. */
  onStale: () => void
}

/** Who keeps the connection. */
export interface Keeper {
  /** The session is ready for another transaction. */
  onFree: (connection: Connection) => void
  onClosed: (connection: Connection) => void
}

export class Connection {
  readonly key: string
  readonly target: Target
  readonly tls: string
  /** Transactions begun. */
  served = 0
  /** Milliseconds since 1970 until which the present phase may last. */
  deadline = Number.POSITIVE_INFINITY
  readonly #socket: Socket
  readonly #session: Session
  readonly #lmtp: boolean
  readonly #keeper: Keeper
  readonly #replies: ReplyReader
  #timeouts: Timeouts
  #transaction: Transaction | null = null
  #tenant: Tenant | null = null
  #content: Content | null = null
  #leaving = false
  #closed = false

  constructor(key: string, session: Session, lmtp: boolean, timeouts: Timeouts, keeper: Keeper) {
    this.key = key
    this.target = session.target
    this.tls = session.tls
    this.#session = session
    this.#socket = session.socket
    this.#lmtp = lmtp
    this.#timeouts = timeouts
    this.#keeper = keeper
    this.#replies = new ReplyReader(session.target.name)
    const { socket } = session
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('end', () => this.#lost(own(451, '4.4.2', this.#say('closed the connection')), 'destination'))
    socket.on('error', (error) => this.#lost(own(451, '4.4.2', this.#say(error.message)), 'destination'))
    socket.on('close', () => this.#lost(own(451, '4.4.2', this.#say('connection lost')), 'destination'))
  }

  /** Begins a transaction on an idle connection. */
  run(delivery: Delivery, content: Content, tenant: Tenant, timeouts: Timeouts): void {
    this.#timeouts = timeouts
    this.#tenant = tenant
    this.#content = content
    this.served++
    const { transaction, effects } = begin(delivery, this.#session.offers, this.#lmtp)
    this.#transaction = transaction
    this.#carryOut(effects)
  }

  /** Ends the transaction in hand, unless its content and dot are out already; says whether it did. */
  interrupt(reply: Reply): boolean {
    const phase = this.#transaction?.state.phase
    if (phase === 'dot' || phase === 'reset' || phase === 'over') return false
    this.#lost(reply, 'ours')
    return true
  }

  /** The deadline has passed. */
  expire(): void {
    if (this.#leaving) return this.#destroy()
    if (!this.#transaction) return this.quit()
    const { phase } = this.#transaction.state
    const starved =
      phase === 'content' && this.#socket.writableLength === 0 && this.#content instanceof ContentStream
    if (starved) this.#lost(own(451, '4.3.0', 'content did not arrive in time'), 'ours')
    else this.#lost(own(451, '4.4.2', this.#say(`no answer in time in phase ${phase}`)), 'destination')
  }

  /** Leaves politely; for an idle connection. */
  quit(): void {
    if (this.#closed || this.#leaving) return
    this.#leaving = true
    this.deadline = Date.now() + this.#timeouts.quit
    this.#socket.end('QUIT\r\n')
  }

  #read(chunk: Buffer): void {
    this.#replies.push(chunk, (reply) => this.#heard(reply))
  }

  #heard(reply: Reply | typeof GARBAGE): void {
    if (this.#closed) return
    if (reply === GARBAGE)
      return this.#lost(own(451, '4.5.0', this.#say('sent no SMTP reply')), 'destination')
    if (this.#leaving) return this.#destroy()
    if (!this.#transaction) return this.#destroy() // nothing was asked: mostly 421, on its way out
    if (reply.code === 421 && this.#isStale()) return this.#stale()
    this.#step({ kind: 'reply', reply })
  }

  /** A kept connection whose transaction has not had a single reply. */
  #isStale(): boolean {
    return this.served > 1 && this.#transaction?.state.phase === 'mail'
  }

  #stale(): void {
    const tenant = this.#tenant
    this.#destroy()
    tenant?.onStale()
  }

  #lost(reply: Reply, blame: Blame): void {
    if (this.#closed) return
    if (!this.#transaction) return this.#destroy()
    if (blame !== 'ours' && this.#isStale()) return this.#stale()
    this.#step({ kind: 'lost', reply, blame })
  }

  #step(event: TransactionEvent): void {
    if (this.#transaction) this.#carryOut(advance(this.#transaction, event))
  }

  #carryOut(effects: readonly Effect[]): void {
    this.#arm()
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'write':
        this.#socket.write(effect.text, this.#session.offers.smtputf8 ? 'utf8' : 'latin1')
        return
      case 'content':
        return this.#sendContent()
      case 'settle':
        return this.#settle(effect.outcomes)
      case 'free':
        return this.#free()
      case 'close':
        return this.#destroy()
    }
  }

  #arm(): void {
    const phase = this.#transaction?.state.phase
    if (phase) this.deadline = Date.now() + this.#timeouts[PATIENCE[phase]]
  }

  #settle(outcomes: Outcome[]): void {
    const tenant = this.#tenant
    this.#tenant = null
    tenant?.onSettled(outcomes)
  }

  #free(): void {
    this.#forget()
    this.deadline = Number.POSITIVE_INFINITY
    this.#keeper.onFree(this)
  }

  #forget(): void {
    if (this.#content instanceof ContentStream) this.#content.read(null)
    this.#content = null
    this.#transaction = null
    this.#tenant = null
  }

  #destroy(): void {
    if (this.#closed) return
    this.#closed = true
    this.#forget()
    this.deadline = Number.POSITIVE_INFINITY
    this.#socket.destroy()
    this.#keeper.onClosed(this)
  }

  #sendContent(): void {
    const content = this.#content
    if (content instanceof ContentStream) return this.#pump(content)
    const dots = new DotStuffer()
    const stuffed = dots.push(content ?? Buffer.alloc(0))
    const end = dots.end()
    const done = this.#flushed(this.#transaction)
    if (stuffed.length <= JOIN_LIMIT) this.#socket.write(Buffer.concat([stuffed, end]), done)
    else {
      this.#socket.cork()
      this.#socket.write(stuffed)
      this.#socket.write(end, done)
      this.#socket.uncork()
    }
    this.#step({ kind: 'handed' })
  }

  /** Called when the kernel has taken the dot of this transaction, and not of a later one. */
  #flushed(transaction: Transaction | null): (error?: Error | null) => void {
    return (error) => {
      if (!error && transaction && transaction === this.#transaction) this.#step({ kind: 'flushed' })
    }
  }

  #pump(content: ContentStream): void {
    const dots = new DotStuffer()
    const transaction = this.#transaction
    const more = () => {
      if (this.#closed || transaction !== this.#transaction) return
      for (let chunk = content.take(); chunk; chunk = content.take()) this.#writeChunk(dots, chunk, content)
      if (!content.done || transaction?.state.phase !== 'content') return
      content.read(null)
      this.#socket.write(dots.end(), this.#flushed(transaction))
      this.#step({ kind: 'handed' })
    }
    content.read(more)
    more()
  }

  #writeChunk(dots: DotStuffer, chunk: Buffer, content: ContentStream): void {
    this.#socket.write(dots.push(chunk), (error) => {
      if (error || this.#closed) return
      this.#arm() // progress
      content.sent(chunk.length)
    })
  }

  #say(what: string): string {
    return `${this.target.name}[${this.target.address}] ${what}`
  }
}
