/**
 * One client: the shell around the session's state machine, on top of smtp-server's connection.
 *
 * The engine keeps the socket, its closing, the idle timer and the switch to TLS; input (`input.ts`), decisions
 * (`session.ts`) and replies are ours. Events go in, effects come out and are carried out here: replies are written
 * once per chunk of input (RFC 2920 section 3.2), content goes through `content.ts`.
 *
 * Fails: whatever the client does ends in a reply or a close; a client that vanishes has its content abandoned.
 * A client that does not read its replies is read no further.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import type { Line } from '../../shared/smtp/line-reader.ts'
import { renderReply } from '../../shared/smtp/reply.ts'
import { longestLine } from './auth.ts'
import type { ConnectionOptions } from './connection-options.ts'
import type { Framing } from './content-plan.ts'
import { planOf } from './content-plan.ts'
import { SessionFilters } from './filter/session-filters.ts'
import { identify } from './identity.ts'
import { Input, type Owner } from './input.ts'
import { inquire } from './inquiries.ts'
import type { QueueBus, Submission } from './queue-bus.ts'
import { Reception } from './reception.ts'
import { replies } from './replies.ts'
import { awaitsUs, endsGroup, mayTake, openSession, step } from './session.ts'
import { SessionLog } from './session-log.ts'
import type { Effect, Event, Hello, Setting, State, Transaction } from './state.ts'
import { tlsFacts } from './tls-facts.ts'
import { whoOf } from './transaction.ts'

export class Connection extends SMTPConnection implements Owner {
  readonly #options: ConnectionOptions
  #setting: Setting
  readonly #bus: QueueBus
  readonly #log: SessionLog
  #state: State
  #input: Input
  readonly #reception: Reception
  readonly #filters: SessionFilters | null
  #out = ''
  /** qmgr counts this session. */
  #opened = false
  #inputOver = false
  #gone = false
  #delay: NodeJS.Timeout | null = null
  /** When the client's time for what it is doing is over. */
  #deadline: number
  #tlsSocket: Socket | null = null

  constructor(socket: Socket, options: ConnectionOptions) {
    super(options.listener, socket, { id: options.setting.session })
    this.#options = options
    this.#setting = options.setting
    this.#bus = options.bus
    this.#log = new SessionLog(options.log, options.setting)
    this.#state = openSession(this.secure ? tlsFacts(socket as TLSSocket) : null)
    this.#deadline = options.bus.time + options.commandTimeout
    this.#input = this._parser as Input
    this.#input.attach(this, longestLine(this.#setting))
    this.#filters = SessionFilters.of(options, socket)
    this.#reception = new Reception(
      options.bus,
      () => this.#input.resume(),
      (event) => this.#take(event),
    )
  }

  override init(): void {
    this._setListeners(() => (this.#setting.kind === 'local' ? this.#identify() : this.#open()))
  }

  /** As the engine's, but without a pipe, which would cost more than all else here. */
  override _setListeners(callback: () => void): void {
    const socket = this._socket
    const input = this.#input
    const readOn = () => void (socket.isPaused() && socket.resume())
    socket.on('close', (hadError) => this._onCloseEvent(hadError))
    socket.on('error', (error) => this._onError(error))
    socket.on('data', (chunk: Buffer) => {
      input.take(chunk, readOn)
      if (input.stuck) socket.pause()
    })
    socket.on('end', () => this.ended())
    this._armTimeout()
    callback()
  }

  override _createParser(): Input {
    return new Input()
  }

  #identify(): void {
    const { peer, site } = this.#options
    identify(this.#bus, this.#setting, peer, site, (setting) => {
      this.#setting = setting
      if (!this.#gone) this.#open()
    })
  }

  #open(): void {
    const { session, listener, client } = this.#setting
    const question = { session, listener, client, ...whoOf(this.#setting) }
    // it may have to wait for its place in a queue, which it leaves when the client goes
    this.#opened = true
    this.#bus.openSession(question, (answer) => {
      if (this.#gone) return
      this.#opened = answer?.kind === 'go'
      this.#feed(answer ? { kind: 'opened', answer } : { kind: 'unavailable' })
    })
  }

  /** Who spoke until now is another client: it comes in anew. */
  #assume({ setting, allowed, told }: Extract<Effect, { kind: 'assume' }>): void {
    if (this.#opened) this.#bus.closeSession(this.#setting.session, this.#log.takeRefusals())
    this.#setting = setting
    this.#log.assume(setting, told)
    if (allowed) return this.#open()
    this.#opened = false
    this.#take({ kind: 'opened', answer: { kind: 'refused', reply: { ...replies.clientRefused, host: '' } } })
  }

  readonly #feed = (event: Event): void => {
    this.#take(event)
    this.#flush()
    this.#input.resume()
    if (this.#inputOver) this.ended()
  }

  #take(event: Event): void {
    const before = this.#state
    const { state, effects } = step(this.#setting, before, event, this.#bus)
    this.#state = state
    if (state.phase.at !== before.phase.at) this.#log.moved(before.phase.at, state.phase.at)
    for (const effect of effects) this.#carryOut(effect)
  }

  /** Listener's clock: the time for what the client is doing may be over. */
  checkDeadline(now: number): void {
    // who has said all without a word before the greeting does not wait for it
    if (this.#inputOver && this.#state.phase.at === 'connect') this.close()
    if (now > this.#deadline) this.#overdue()
  }

  drain(): void {
    this.#feed({ kind: 'drain' })
  }

  #overdue(): void {
    if (this._upgrading) return this.#cutOff()
    if (this._closing) return void this._socket.destroy()
    this.#feed({ kind: 'timeout' })
    if (this.#state.phase.at !== 'closed') this._armTimeout()
  }

  /** In the middle of a TLS handshake nothing can be said, and only the upper socket may be closed. */
  #cutOff(): void {
    this.#take({ kind: 'gone' })
    ;(this.#tlsSocket ?? this._socket).destroy()
  }

  override _armTimeout(socket: Socket = this._socket): void {
    if (socket !== this._socket) this.#watchHandshake(socket)
    super._armTimeout(socket)
  }

  /** The engine does not see a client that closes its side in the middle of the handshake. */
  #watchHandshake(socket: Socket): void {
    this.#tlsSocket = socket
    socket.once('end', () => {
      if (this._upgrading) this.#cutOff()
    })
  }

  override _onTimeout(): void {
    this.#overdue()
  }

  override _onError(error: Error): void {
    this.#log.socketFailed(error)
    if (!this._socket.destroyed) this._socket.destroy()
  }

  override _onClose(): void {
    if (this.#gone) return
    this.#gone = true
    this.#deadline = Number.POSITIVE_INFINITY
    super._onClose()
    if (this.#delay) clearTimeout(this.#delay)
    this.#reception.drop()
    this.#take({ kind: 'gone' })
    // while qmgr is committing, the log still wants to know how it ended
    if (this.#state.phase.at === 'closed') this.#leave()
  }

  #leave(): void {
    this.#filters?.close()
    this.#log.closed(this.#state.tls)
    if (this.#opened) this.#bus.closeSession(this.#setting.session, this.#log.takeRefusals())
    this.#options.listener.forget(this)
  }

  // --- what the input asks

  get receiving(): boolean {
    return this.#reception.receiving
  }

  get blocked(): boolean {
    return this.#reception.blocked || this._socket.writableNeedDrain
  }

  arrived(): void {
    const { at } = this.#state.phase
    if (at === 'connect' || at === 'delay') this.#take({ kind: 'early' })
  }

  mayTake(line: Line): boolean {
    return mayTake(this.#setting, this.#state, line.kind === 'line' ? line.text : '')
  }

  takeLine(line: Line): void {
    this.#take(line)
    if (line.kind === 'line' && endsGroup(line.text)) this.#flush()
  }

  takeContent(chunk: Buffer, from: number): number {
    return this.#reception.take(chunk, from)
  }

  idle(): void {
    this.#flush()
    if (this.#inputOver) this.ended()
  }

  ended(): void {
    this.#inputOver = true
    // the end may be seen before all that came before it could be looked at
    if (!this.#input.stuck && !awaitsUs(this.#state.phase)) this.close()
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'reply':
        this.#out += renderReply(effect.reply)
        return
      case 'resolve':
      case 'screen':
      case 'greylist':
        return inquire(effect, this.#bus, this.#state.login?.setting ?? this.#setting, this.#feed)
      case 'receive':
        return this.#receive(effect.hello, effect.transaction, effect.framing)
      case 'expect':
      case 'skip':
      case 'hold':
      case 'drop':
        this.#reception.carryOut(effect, this.#bus.time)
        if (this.#reception.receiving) this.#deadline = this.#reception.until
        return
      case 'turn':
        return this.#bus.turn(effect, (recipients) => this.#feed({ kind: 'turned', recipients }))
      case 'assume':
        return this.#assume(effect)
      case 'check':
        return this.#reception.check(effect.transaction, this.#bus, this.#log, this.#feed)
      case 'submit':
        return this.#submit(effect)
      case 'ended':
        this.#filters?.over()
        return this.#log.note(effect)
      case 'consult':
      case 'admit':
        return this.#filters?.consult(effect, this.#setting, this.#state, this.#feed)
      case 'ruled':
      case 'judged':
      case 'turned-away':
        return this.#log.note(effect)
      case 'verify':
        return this.#options.logins?.check(effect.claim, (verdict) =>
          this.#feed({ kind: 'verified', verdict }),
        )
      case 'logged-in':
      case 'not-logged-in':
        this.#options.logins?.over(effect)
        return this.#log.login(effect)
      case 'delay':
        this.#delay = setTimeout(() => this.#feed({ kind: 'delay-over' }), this.#setting.greetingDelay)
        return
      case 'secure':
        return this.#secure()
      case 'close':
        this.#flush()
        return this.close()
      default:
        return effect satisfies never
    }
  }

  #flush(): void {
    if (this.#out === '') return
    const text = this.#out
    this.#out = ''
    const socket = this._socket
    if (this._upgrading || socket.destroyed || !socket.writable) return
    if (!this.#reception.receiving) this.#deadline = this.#bus.time + this.#options.commandTimeout
    if (!socket.write(text, 'latin1')) socket.once('drain', this.#input.resume)
  }

  #receive(hello: Hello, transaction: Transaction, framing: Framing): void {
    const filters =
      this.#filters?.examine(hello, transaction, this.#setting, this.#state, this.#input.resume) ?? null
    const plan = planOf(this.#options, this.#setting, hello, transaction, this.#state, filters)
    this.#reception.open({ ...plan, framing }, this.#bus.time)
    this.#deadline = this.#reception.until
  }

  #submit(asked: Submission): void {
    if (this.#reception.lost) return this.#feed({ kind: 'settled', answer: null })
    this.#reception.putOnTop(asked.front)
    this.#bus.submit(asked, this.#reception, (answer) => {
      this.#feed({ kind: 'settled', answer })
      if (!this.#gone) return
      this.#take({ kind: 'gone' })
      this.#leave()
    })
    this.#reception.letGo()
  }

  #secure(): void {
    this.#flush()
    this._socket.pause()
    this.upgrade(
      () => undefined,
      () => this.#secured(),
    )
    // RFC 3207 section 4.2: the old input is closed with all that is in it
    this.#input = this._parser as Input
  }

  #secured(): void {
    this.#tlsSocket = null
    this.#input.attach(this, longestLine(this.#setting))
    this.#deadline = this.#bus.time + this.#options.commandTimeout
    this.#feed({ kind: 'secured', tls: tlsFacts(this._socket as TLSSocket) })
  }
}
