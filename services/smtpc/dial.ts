/**
 * From a host's addresses to an SMTP session that is ready for MAIL: connect, greeting, EHLO or LHLO (HELO where EHLO is
 * not known), STARTTLS where it is offered. nodemailer's SMTPConnection drives the dialogue on a socket of ours;
 * once the session stands its listeners come off and the socket is handed over.
 *
 * The engine's own timers cover neither phase exactly, so there is one of ours, armed anew for each phase
 * (RFC 5321 section 4.5.3.2).
 *
 * Fails with a reply for the next host or for the log: what the server said, or our
 * words for what became of the connection. TLS is opportunistic (RFC 3207, RFC 7435): certificates are not
 * verified, a refused STARTTLS goes on in clear, a handshake that fails is tried once more in clear. Not so for a
 * message with REQUIRETLS (RFC 8689 section 4.2.1): never in clear, the certificate verified and for the host's name,
 * the host offering REQUIRETLS; any other host is refused with 5.7.30. Nor where the config gives us a certificate to show, nor where the sender demands TLS: see `demand.ts`.
 */
import { connect, isIP, type Socket } from 'node:net'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { GARBAGE, MAX_REPLY, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { NO_REQUIRETLS, own } from '../../shared/smtp-client/commands.ts'
import { NO_OFFERS, type Offers, readOffers } from '../../shared/smtp-client/offers.ts'
import { demandsTls, handshakeFailed, whyUnmet } from './demand.ts'
import { isSocketPath, type Target } from './hosts.ts'
import { type Login, logIn, staysHere } from './login.ts'
import { goThrough } from './proxy.ts'
import { Race, rememberFamily } from './race.ts'
import { contextFor, describeTls, isVerified, securedBy } from './trust.ts'
import type { Way } from './way.ts'

export interface Session {
  socket: Socket
  target: Target
  offers: Offers
  /** `TLSv1.3 TLS_AES_256_GCM_SHA384`, or '' in clear. */
  tls: string
}

export type Dialled =
  | { kind: 'up'; session: Session } /** `rest`: addresses of the host that have not been tried to the end. */
  | { kind: 'failed'; reply: Reply; rest: Target[] }

/** What nodemailer 10.6.0 keeps to itself and we need; pinned exactly, checked by a test. */
export interface EngineInside {
  _socket: Socket | false
  _remainder: string
  _responseQueue: string[]
  _ehloLines?: string[]
  _onSocketData: (chunk: Buffer) => void
  _onSocketError: (error: Error) => void
  _onSocketClose: () => void
  _onSocketEnd: () => void
  _onSocketTimeout: () => void
  _actionGreeting: (text: string) => void
  on: SMTPConnection['on']
  close: () => void
  connect: () => void
  upgrading?: boolean | undefined
}

/** The engine must never be the first to lose patience: `Dial` is. */
const ENGINE_PATIENCE_MS = 2 ** 31 - 1

/** What a session must be good for. */
export interface Demands {
  lmtp: boolean
  /** RFC 8689: TLS that is verified, and a host that offers REQUIRETLS. */
  requireTls: boolean
  /** The sender's demand. What else asks for TLS is not weakened by `none`. */
  tls: TlsDemand | null
  /** Null: none. A password is never said in clear, but to this machine, nor to whom cannot prove its name. */
  login: Login | null
  /** A certificate of ours is never passed over for a session in clear. */
  way: Way
}

/** Stands where there is always a target. */
const NOWHERE: Target = { name: '', address: '', port: 0 }

/** One attempt to reach one host; `cancel` ends it without an answer. */
export class Dial {
  /** Who was reached, or is tried first. */
  #target: Target
  #rest: Target[]
  #race: Race | null = null
  #reached = false
  readonly #slice: SmtpcSlice
  readonly #demands: Demands
  readonly #answer: (dialled: Dialled) => void
  #phase: keyof SmtpcSlice['timeouts'] = 'connect'
  #timer: NodeJS.Timeout | null = null
  #socket: Socket | null = null
  #engine: EngineInside | null = null
  #clear: boolean
  #over = false

  /** @param targets addresses of one host, at least one. */
  constructor(
    targets: readonly Target[],
    slice: SmtpcSlice,
    demands: Demands,
    answer: (dialled: Dialled) => void,
  ) {
    const [target = NOWHERE, ...rest] = targets
    this.#target = target
    this.#rest = rest
    this.#slice = slice
    this.#demands = demands
    this.#answer = answer
    this.#clear = (slice.tls === 'none' || demands.tls === 'none') && !this.#neverClear
    this.#connect()
  }

  cancel(): void {
    this.#over = true
    this.#drop()
  }

  get #neverClear(): boolean {
    const { requireTls, way } = this.#demands
    return requireTls || demandsTls(this.#tlsDemand) || way.identity !== null
  }

  get #tlsDemand(): TlsDemand | null {
    const { login, tls } = this.#demands
    return login && !staysHere(this.#target) ? 'verified' : tls
  }

  /** To a socket of this machine none leads. */
  get #proxy(): Way['proxy'] {
    return isSocketPath(this.#target.address) ? null : this.#demands.way.proxy
  }

  #connect(): void {
    this.#enter('connect')
    const proxy = this.#proxy
    if (!proxy) return this.#connectStraight()
    const { host, port } = proxy
    const socket = connect({ host, port, noDelay: true })
    this.#socket = socket
    socket.on('error', (error: NodeJS.ErrnoException) => this.#broken(error))
    const through = () => {
      if (this.#over) return
      this.#enter('greeting')
      this.#startEngine(socket)
    }
    const failed = (error: Error) => this.#broken(error)
    socket.once('connect', () => goThrough(proxy, socket, this.#target, { through, failed }))
  }

  #connectStraight(): void {
    // in clear after a handshake that failed: the same address again
    const others = this.#reached ? [] : this.#rest
    this.#race = new Race([this.#target, ...others], {
      won: (socket, target, rest) => {
        this.#race = null
        this.#target = target
        if (!this.#reached) this.#rest = rest
        this.#reached = true
        this.#socket = socket
        rememberFamily(target)
        socket.on('error', (error: NodeJS.ErrnoException) => this.#broken(error))
        this.#enter('greeting')
        this.#startEngine(socket)
      },
      lost: (error) => this.#broken(error),
    })
  }

  #startEngine(socket: Socket): void {
    const { name } = this.#target
    const { requireTls, way } = this.#demands
    const verified = requireTls || this.#tlsDemand === 'verified'
    const tls = this.#clear ? null : contextFor(way.identity, verified, this.#slice.caFile)
    if (tls instanceof Error) return this.#broken(tls)
    const engine = new SMTPConnection({
      connection: socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      port: this.#target.port,
      secure: false,
      name: this.#slice.hostname,
      lmtp: this.#demands.lmtp,
      ignoreTLS: this.#clear,
      opportunisticTLS: way.identity === null,
      requireTLS: way.identity !== null,
      logger: false,
      connectionTimeout: ENGINE_PATIENCE_MS,
      greetingTimeout: ENGINE_PATIENCE_MS,
      socketTimeout: ENGINE_PATIENCE_MS,
      maxResponseSize: MAX_REPLY,
      ...(tls ? { tls: { secureContext: tls, rejectUnauthorized: false } } : {}),
    }) as unknown as EngineInside
    this.#engine = engine
    const greeted = engine._actionGreeting
    engine._actionGreeting = (text) => {
      this.#enter('helo')
      greeted.call(engine, text)
    }
    engine.on('error', (error: Error & { response?: string }) => this.#broken(error))
    engine.on('end', () => this.#broken(new Error('connection closed')))
    engine.on('connect', () => this.#ready(engine))
    engine.connect()
  }

  #enter(phase: keyof SmtpcSlice['timeouts']): void {
    this.#phase = phase
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(
      () => this.#broken(new Error(`no progress in phase ${phase}`)),
      this.#slice.timeouts[phase],
    )
  }

  #ready(engine: EngineInside): void {
    if (this.#over) return
    const { _socket: socket } = engine
    if (!socket || engine._remainder !== '' || engine._responseQueue.length > 0)
      return this.#broken(new Error('the server spoke out of turn'))
    const offers = engine._ehloLines ? readOffers(engine._ehloLines) : NO_OFFERS
    if (this.#demands.requireTls && !(isVerified(socket) && offers.requireTls))
      return this.#unfit({ ...NO_REQUIRETLS, host: '' })
    const unmet = whyUnmet(this.#tlsDemand, securedBy(socket), this.#target.name, this.#who)
    if (unmet) return this.#unfit(unmet)
    detach(engine, socket)
    const { login } = this.#demands
    if (login) void this.#logIn(socket, offers, login, engine._ehloLines ?? [])
    else this.#up(socket, offers)
  }

  get #who(): string {
    return this.#demands.login ? 'our login' : 'the sender'
  }

  async #logIn(socket: Socket, offers: Offers, login: Login, words: readonly string[]): Promise<void> {
    this.#enter('helo')
    const refused = await logIn(socket, words, login, this.#target, this.#slice.timeouts.helo)
    if (this.#over) return
    if (refused) this.#unfit(refused)
    else this.#up(socket, offers)
  }

  #up(socket: Socket, offers: Offers): void {
    this.#over = true
    if (this.#timer) clearTimeout(this.#timer)
    const session = { socket, target: this.#target, offers, tls: describeTls(socket) }
    this.#answer({ kind: 'up', session })
  }

  #unfit(reply: Reply): void {
    this.#drop()
    this.#over = true
    this.#answer({ kind: 'failed', reply, rest: this.#rest })
  }

  #broken(error: NodeJS.ErrnoException & { response?: string }): void {
    if (this.#over) return
    const inHandshake = this.#engine?.upgrading === true
    if (inHandshake && demandsTls(this.#tlsDemand))
      return this.#unfit(handshakeFailed(this.#target.name, reasonOf(error), this.#who))
    this.#drop()
    if (inHandshake && !this.#clear && !this.#neverClear) {
      this.#clear = true
      return this.#connect()
    }
    this.#over = true
    // none of them was reached in time
    const rest = this.#reached || this.#proxy ? this.#rest : []
    this.#answer({ kind: 'failed', reply: this.#explain(error), rest })
  }

  /** The server's word where it said one, ours otherwise (RFC 3463 section 3.5: 4.4.1 no answer, 4.4.2 bad connection). */
  #explain(error: NodeJS.ErrnoException & { response?: string }): Reply {
    const { name, address, port } = this.#target
    const said = error.response ? parseReply(error.response, name) : null
    if (said && said.code >= 400) return said
    const where = `${name}[${address}]:${port}`
    const code = this.#phase === 'connect' ? '4.4.1' : '4.4.2'
    return own(451, code, `${where}: ${reasonOf(error)}`)
  }

  #drop(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#race?.cancel()
    this.#race = null
    const engine = this.#engine
    const plain = this.#socket
    this.#engine = null
    this.#socket = null
    // the engine lets go of its listeners and says `end`, which must not be taken for news
    const wasOver = this.#over
    this.#over = true
    const inner = engine?._socket
    engine?.close()
    if (inner) inner.destroy()
    plain?.destroy()
    this.#over = wasOver
  }
}

function reasonOf({ message }: Error): string {
  return message.split('\n')[0] ?? ''
}

/** A reply that is there as one text, as nodemailer reports it; null when it is none. */
function parseReply(text: string, host: string): Reply | null {
  let found: Reply | null = null
  new ReplyReader().push(Buffer.from(`${text.replace(/\r?\n$/, '')}\n`), (reply) => {
    if (reply !== GARBAGE) found = { ...reply, host }
  })
  return found
}

function detach(engine: EngineInside, socket: Socket): void {
  socket.removeListener('data', engine._onSocketData)
  socket.removeListener('timeout', engine._onSocketTimeout)
  socket.removeListener('close', engine._onSocketClose)
  socket.removeListener('end', engine._onSocketEnd)
  socket.setTimeout(0)
  socket.removeListener('error', engine._onSocketError)
}
