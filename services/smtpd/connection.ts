/**
 * One client's connection: the shell around a session (`conversation.ts`), on top of smtp-server's connection.
 *
 * The engine keeps the socket, its closing, the idle timer and the switch to TLS; what comes in (`input.ts`), what is
 * decided and what is said are ours. Replies are written once per chunk of input (RFC 2920 section 3.2).
 *
 * Fails: a client that does not read its replies is read no further, until its time is over (`patience.ts`).
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js'
import { longestLine } from './auth.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { Conversation, type Wire } from './conversation.ts'
import { SessionFilters } from './filter/session-filters.ts'
import { Input } from './input.ts'
import { Pace } from './pace.ts'
import type { Limit } from './patience.ts'
import { tlsFacts } from './tls-facts.ts'

export class Connection extends SMTPConnection implements Wire {
  readonly #options: ConnectionOptions
  readonly #conversation: Conversation
  #input: Input
  #tlsSocket: Socket | null = null

  constructor(socket: Socket, options: ConnectionOptions) {
    super(options.listener, socket, { id: options.setting.session })
    this.#options = options
    const tls = this.secure ? tlsFacts(socket as TLSSocket) : null
    this.#conversation = new Conversation(this, options, tls, SessionFilters.of(options, socket))
    this.#input = this._parser as Input
    this.#input.attach(this.#conversation, longestLine(options.setting))
  }

  override init(): void {
    this._setListeners(() => this.#conversation.begin())
  }

  /** As the engine's, but without a pipe, which would cost more than all else here. */
  override _setListeners(callback: () => void): void {
    const socket = this._socket
    const input = this.#input
    const readOn = () => void (socket.isPaused() && socket.resume())
    socket.on('close', (hadError) => this._onCloseEvent(hadError))
    socket.on('error', (error) => this._onError(error))
    const { listen } = this.#options
    if (listen) this.#readPaced(listen, socket)
    else
      socket.on('data', (chunk: Buffer) => {
        input.take(chunk, readOn)
        if (input.stuck) socket.pause()
      })
    socket.on('end', () => this.#conversation.ended())
    this._armTimeout()
    callback()
  }

  /** What is read lies in memory that the next read of any session takes again. */
  #readPaced(listen: NonNullable<ConnectionOptions['listen']>, socket: Socket): void {
    const input = this.#input
    const pace = new Pace(socket)
    const mayGoOn = () => !input.stuck
    const readOn = () => void socket.resume()
    listen((octets) => {
      if (input.isClosed) return
      input.take(octets, readOn, true)
      if (input.stuck) socket.pause()
      else pace.took(octets, this.#conversation.receiving, mayGoOn)
    })
  }

  override _createParser(): Input {
    return new Input()
  }

  /** Listener's clock: the time for what the client is doing may be over. */
  checkDeadline(now: number): void {
    // who has said all without a word before the greeting does not wait for it
    if (this.#conversation.inputOver && this.#conversation.phase.at === 'connect') this.close()
    const limit = this.#conversation.overdue(now)
    if (limit) this.#overdue(limit)
  }

  drain(): void {
    this.#conversation.feed({ kind: 'drain' })
  }

  #overdue(limit: Limit): void {
    if (this._closing) return void this._socket.destroy()
    if (!this._upgrading) return this.#conversation.tooLate(limit)
    this.#conversation.log.overdue('handshake', 'securing')
    this.#cutOff()
  }

  /** In the middle of a TLS handshake nothing can be said, and only the upper socket may be closed. */
  #cutOff(): void {
    this.#conversation.feed({ kind: 'gone' })
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
    this.#overdue('command')
    if (!this._closing && !this._upgrading) this._armTimeout()
  }

  override _onError(error: Error): void {
    this.#conversation.log.socketFailed(error)
    if (!this._socket.destroyed) this._socket.destroy()
  }

  override _onClose(): void {
    super._onClose()
    this.#conversation.lost(() => this.#options.listener.forget(this))
  }

  // --- what the session does

  readonly readOn = (): void => this.#input.resume()

  get stuck(): boolean {
    return this.#input.stuck
  }

  get congested(): boolean {
    return this._socket.writableNeedDrain
  }

  write(text: string): boolean {
    const socket = this._socket
    if (this._upgrading || socket.destroyed || !socket.writable) return false
    if (!socket.write(text, 'latin1')) socket.once('drain', this.readOn)
    return true
  }

  beginTls(): void {
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
    this.#input.attach(this.#conversation, longestLine(this.#conversation.setting))
    this.#conversation.secured(tlsFacts(this._socket as TLSSocket))
  }
}
