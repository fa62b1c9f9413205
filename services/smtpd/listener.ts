/**
 * One listener: accepts on the descriptor that mcp has bound, decides with whom a session is opened, and looks
 * after the sessions it has. smtp-server's server keeps the socket and the implicit TLS handshake.
 *
 * Several processes accept from the same descriptor; limits count per process. `drain` stops accepting (the
 * descriptor stays bound in mcp, so the backlog waits for another process, and the path of a unix socket stays)
 * and resolves when the last session is over or DRAIN_PATIENCE_MS have passed.
 */
import type { Socket } from 'node:net'
import { type SecureContext, TLSSocket } from 'node:tls'
import { SMTPServer } from 'smtp-server'
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js'
import { formatId } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import { type ReadingSocket, takeOver } from '../../shared/bus/reading.ts'
import type { ListenerSlice, SmtpdSlice } from '../../shared/config/slices.ts'
import { type Certified, type TlsSource, watchTls } from '../../shared/runtime/tls.ts'
import { renderReply, type SmtpReply } from '../../shared/smtp/reply.ts'
import { OVERFLOW_UID, type PeerCredentials, peerCredentials } from '../../shared/system/credentials.ts'
import { type AccessRule, compileAccess } from './access.ts'
import { whyNotAdmitted } from './admission.ts'
import { Authenticator } from './authenticator.ts'
import { Connection } from './connection.ts'
import { type FilterMaker, filtersOf } from './filter/makers.ts'
import { asLogin } from './identity.ts'
import { Tarpit } from './output.ts'
import { takeProxyHeader } from './proxy-socket.ts'
import type { QueueBus } from './queue-bus.ts'
import { replies } from './replies.ts'
import { maySendByMap, SenderLogins } from './sender-logins.ts'
import { type Ground, type Matches, matchesOf, plainAddress, settingFor, starttlsOf } from './setting.ts'
import type { Sign } from './signing/signer.ts'
import type { AuthSetting, Setting } from './state.ts'

const DEADLINE_CHECK_MS = 1000
const DRAIN_PATIENCE_MS = 30_000

export class Listener extends SMTPServer {
  readonly #bus: QueueBus
  readonly #log: Log
  /** Its keys are those of the process; which ones there are changes with the config. */
  readonly #sign: Sign | null
  readonly #sessions = new Set<Connection>()
  /** Sockets from which a PROXY header was taken, and maybe more. */
  readonly #readFrom = new WeakSet<Socket>()
  #site: SmtpdSlice
  #slice: ListenerSlice
  #matches: Matches
  #access: readonly AccessRule[]
  #filters: readonly FilterMaker[]
  #tls: TlsSource[] = []
  /** By the name of its section, for clients that ask for a name. */
  readonly #named = new Map<string, Certified>()
  #authenticator: Authenticator | null = null
  #senders: SenderLogins | null = null
  readonly #tarpit = new Tarpit(() => this.#slice.tarpit.sessions)
  /** Clients whose TLS handshake comes before the session: since when. */
  readonly #shakingHands = new Map<Socket, number>()
  #clock: NodeJS.Timeout | null = null
  /** Clients for whom there was no place since the clock went last. */
  #tooMany = 0
  #empty: (() => void) | null = null

  constructor(site: SmtpdSlice, slice: ListenerSlice, bus: QueueBus, log: Log, sign: Sign | null = null) {
    super({
      name: site.hostname,
      secure: slice.tls.mode === 'implicit',
      hideSTARTTLS: true, // only silences the warning about the key that we never use
      disableReverseLookup: true,
      socketTimeout: slice.commandTimeout,
      logger: false,
      // a client may close its side behind its last command; in a TLS handshake that means it is gone
      ...{ allowHalfOpen: slice.tls.mode !== 'implicit', noDelay: true },
    })
    this.#bus = bus
    this.#log = log
    this.#sign = sign
    this.#site = site
    this.#slice = slice
    this.#matches = matchesOf(slice)
    this.#access = compileAccess(slice.access)
    this.#filters = filtersOf(slice.filters, log)
    this.on('error', (error) =>
      this.#log.debug({ listener: slice.name, why: String(error) }, 'socket failed'),
    )
    this.#watchTls()
    this.#watchLogins()
  }

  get name(): string {
    return this.#slice.name
  }

  get open(): number {
    return this.#sessions.size
  }

  /** Resolves when clients can connect. */
  accept(fd: number): Promise<void> {
    this.#clock = setInterval(() => this.#checkDeadlines(), DEADLINE_CHECK_MS).unref()
    return new Promise((resolve, reject) => {
      this.server.once('error', reject)
      this.server.listen({ fd }, () => resolve())
    })
  }

  /** New limits and rights; they hold for sessions that begin from now on. */
  reconfigure(site: SmtpdSlice, slice: ListenerSlice): void {
    this.#site = site
    this.#slice = slice
    this.#matches = matchesOf(slice)
    this.#access = compileAccess(slice.access)
    this.#filters = filtersOf(slice.filters, this.#log)
    this.options.socketTimeout = slice.commandTimeout
    this.#watchTls()
    this.#watchLogins()
  }

  drain(): Promise<void> {
    this.server.close()
    for (const socket of this._pendingSockets.values()) socket.destroy()
    for (const session of this.#sessions) session.drain()
    if (this.#sessions.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const patience = setTimeout(resolve, DRAIN_PATIENCE_MS)
      this.#empty = () => {
        clearTimeout(patience)
        resolve()
      }
    })
  }

  stop(): void {
    if (this.#clock) clearInterval(this.#clock)
    for (const source of this.#tls) source.close()
    this.#authenticator?.close()
    for (const session of this.#sessions) session._socket.destroy()
  }

  /** A session is over. */
  forget(session: Connection): void {
    if (!this.#sessions.delete(session)) return
    if (this.#sessions.size === 0) this.#empty?.()
  }

  override connect(socket: Socket, proxied?: { remoteAddress?: string }): void {
    const local = this.#slice.endpoint.kind === 'unix'
    // a client that is gone already has no address, and must not pass for a local one
    if (!local && !socket.remoteAddress) return void socket.destroy()
    const id = this.#bus.takeId()
    if (id === null) return turnAway(socket, replies.notWorking)
    const client = local ? '' : plainAddress(proxied?.remoteAddress ?? socket.remoteAddress ?? '')
    const door = { slice: this.#slice, matches: this.#matches, access: this.#access }
    const barred = whyNotAdmitted(door, client, this.#sessions.size)
    if (barred) return this.#bar(socket, client, barred)
    const secure = () => connection.secure
    const peer = local ? peerCredentials(socket) : null
    const { socket: own, listen } = this.#readerOf(socket)
    const connection = new Connection(own, {
      listener: this,
      listen,
      bus: this.#bus,
      log: this.#log,
      setting: this.#settingFor(peer, client, formatId('S', id)),
      site: this.#site,
      peer,
      commandTimeout: this.#slice.commandTimeout,
      patience: this.#slice.patience,
      tarpit: this.#tarpit,
      bareNewline: this.#slice.bareNewline,
      inlineLimit: this.#site.inlineLimit,
      filters: this.#filters,
      sign: this.#sign,
      logins: this.#authenticator?.begin(client, secure, this.#bus) ?? null,
    })
    this.connections.add(connection)
    this.#sessions.add(connection)
    this.#log.debug({ session: connection.id, listener: this.name, client }, 'session opened')
    connection.init()
  }

  /** Fewer octets than a chunk at once: see `content.ts`. A socket that somebody has read from stays as it is. */
  #readerOf(socket: Socket): { socket: Socket; listen: ReadingSocket['listen'] | null } {
    if (socket instanceof TLSSocket || this.#readFrom.has(socket)) return { socket, listen: null }
    return takeOver(socket, { octets: CONTENT_CHUNK, allowHalfOpen: true })
  }

  #bar(
    socket: Socket,
    client: string,
    { place, reply }: NonNullable<ReturnType<typeof whyNotAdmitted>>,
  ): void {
    const { code, enhanced, text } = reply
    const rule = place === null ? {} : { rule: place }
    if (reply === replies.tooManySessions) this.#tooMany++
    else this.#log.info({ listener: this.name, client, ...rule, code, enhanced, text }, 'client refused')
    turnAway(socket, reply)
  }

  #settingFor(peer: PeerCredentials | null, client: string, session: string): Setting {
    const slice = this.#slice
    const { hostname, qualifyDomain } = this.#site
    const ground: Ground = {
      slice,
      matches: this.#matches,
      hostname,
      qualifyDomain,
      starttls: starttlsOf(slice.tls.mode, this.secureContext.has('*')),
      auth: this.#authSetting(),
      session,
      access: this.#access,
      rules: this.#site.rules,
      signs: slice.sign ? (this.#site.signing?.bodies ?? []) : [],
    }
    // a server in front of us is not the user whose mail it brings
    const uid = slice.kind === 'local' && peer?.uid !== OVERFLOW_UID ? peer?.uid : undefined
    return settingFor(ground, client, uid)
  }

  /** Only those who must begin with a PROXY header cost a wait. */
  override _handleProxy(
    socket: Socket,
    callback: (err: Error | null, options?: SMTPConnectionOptions & { id: string }) => void,
  ): void {
    const balancer = plainAddress(socket.remoteAddress ?? '')
    if (this.#slice.proxy.length === 0 || this.#matches.proxy(balancer, '') !== 'yes')
      return callback(null, { id: '' })
    this.#readFrom.add(socket)
    takeProxyHeader(socket, (header) => {
      if (!header) {
        this.#log.info({ listener: this.name, balancer }, 'no PROXY header')
        return callback(new Error('no PROXY header'))
      }
      const { source } = header
      const from = source && { remoteAddress: plainAddress(source.address), remotePort: source.port }
      this.#log.debug({ listener: this.name, balancer, ...from }, 'PROXY header')
      callback(null, { id: '', ...from })
    })
  }

  /** The engine would put its own, public key here. */
  override updateSecureContext(): void {
    this.secureContext ??= new Map()
  }

  #watchTls(): void {
    for (const source of this.#tls.splice(0)) source.close()
    this.#named.clear()
    const { context, sni } = this.#slice.tls
    if (!context) return this.secureContext.clear()
    // the engine reads these when it makes a TLS socket
    Object.assign(this.options, {
      requestCert: context.clientCa !== null,
      rejectUnauthorized: context.clientCertificate === 'required',
    })
    this.#tls.push(watchTls(context, this.#log, (made) => void this.secureContext.set('*', made.context)))
    for (const one of sni)
      this.#tls.push(watchTls(one, this.#log, (made) => void this.#named.set(one.name, made)))
  }

  /** RFC 6066 section 3: the first section whose certificate is for that name, else the usual one. */
  override _resolveSNI(name: string, answer: (error: Error | null, context?: SecureContext) => void): void {
    for (const { certificate, context } of this.#named.values())
      if (certificate.checkHost(name) !== undefined) return answer(null, context)
    answer(null, this.secureContext.get('*'))
  }

  /** Sessions that are open keep whom they have begun to log in with. */
  #watchLogins(): void {
    const { auth, senderLogin } = this.#slice
    this.#authenticator?.close()
    this.#authenticator = auth && new Authenticator(auth.use, this.#log)
    this.#senders = senderLogin?.kind === 'file' ? new SenderLogins(senderLogin.path, this.#log) : null
  }

  #authSetting(): AuthSetting | null {
    const { auth } = this.#slice
    const authenticator = this.#authenticator
    if (!auth || !authenticator) return null
    const { mechanisms, relays } = authenticator
    const maySend = this.#maySend()
    // for the header what was said last will do: it only decides about a Sender
    const owned = (user: string, address: string) => maySend(user, address, this.#bus.lastLookUp) === true
    const asUser: AuthSetting['asUser'] = (setting, user) => asLogin(setting, user, owned, this.#site)
    return { required: auth.required, withoutTls: auth.withoutTls, mechanisms, relays, maySend, asUser }
  }

  #maySend(): AuthSetting['maySend'] {
    const { senderLogin } = this.#slice
    if (senderLogin?.kind !== 'map') return this.#senders?.maySend ?? (() => true)
    return (user, sender, look) => maySendByMap(senderLogin.name, user, sender, look)
  }

  #checkDeadlines(): void {
    const now = this.#bus.time
    if (this.#tooMany > 0) this.#tellOfTooMany()
    for (const session of this.#sessions) session.checkDeadline(now)
    for (const [socket, since] of this.#shakingHands)
      if (now > since + this.#slice.patience.handshake) this.#cutOff(socket)
  }

  /** A line for each of them would make it worse. */
  #tellOfTooMany(): void {
    const limit = this.#slice.sessionLimit
    this.#log.warn({ listener: this.name, clients: this.#tooMany, limit }, 'too many sessions')
    this.#tooMany = 0
  }

  /** Only what sits on top of a socket in a handshake may be destroyed. */
  #cutOff(socket: Socket): void {
    const client = plainAddress(socket.remoteAddress ?? '')
    this.#log.info({ listener: this.name, client, deadline: 'handshake-deadline' }, 'client too slow')
    this.#shakingHands.delete(socket)
    this._pendingSockets.get(socket)?.destroy()
  }

  /** Who has not finished the handshake holds a place like everybody else. */
  override _acceptSocket(socket: Socket, handshake: boolean): false | (() => void) {
    if (handshake && this._pendingSockets.size + this.#sessions.size >= this.#slice.sessionLimit) {
      this.#tooMany++
      socket.destroy()
      return false
    }
    const release = super._acceptSocket(socket, handshake)
    if (!handshake || !release) return release
    this.#shakingHands.set(socket, this.#bus.time)
    return () => {
      this.#shakingHands.delete(socket)
      release()
    }
  }
}

function turnAway(socket: Socket, reply: SmtpReply): void {
  socket.on('error', () => undefined)
  socket.end(renderReply(reply))
  socket.resume()
  socket.setTimeout(1000, () => socket.destroy())
}
