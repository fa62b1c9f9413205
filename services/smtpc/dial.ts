/**
 * From a host's addresses to an SMTP session that is ready for MAIL: connect, greeting, EHLO or LHLO (HELO where EHLO is
 * not known), STARTTLS where it is offered. nodemailer's SMTPConnection drives the dialogue on a socket of ours;
 * once the session stands its listeners come off and the socket is handed over.
 *
 * The engine's own timers cover neither phase exactly, so there is one of ours, armed anew for each phase
 * (RFC 5321 section 4.5.3.2).
 *
 * Fails with a reply for the next host or for the log: what the server said, or our words for what became of the
 * connection. Where the policy (`tls-policy.ts`) allows clear text, a refused STARTTLS goes on in clear, a handshake
 * that fails is tried once more in clear (RFC 3207, RFC 7435). Otherwise the host has to show what the policy demands,
 * and for a message with REQUIRETLS (RFC 8689 section 4.2.1) to offer that; any other host is refused with 5.7.30.
 */
import { connect, isIP, type Socket } from 'node:net'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { MAX_REPLY } from '../../shared/smtp/reply-reader.ts'
import { NO_REQUIRETLS, own } from '../../shared/smtp-client/commands.ts'
import { NO_OFFERS, type Offers, readOffers } from '../../shared/smtp-client/offers.ts'
import { detach, ENGINE_PATIENCE_MS, type EngineInside, parseReply } from './engine.ts'
import { isSocketPath, type Target } from './hosts.ts'
import { type Bad, type Good, handshakeRefusal, judge, refusal, type Verdict } from './judgement.ts'
import { type Login, logIn } from './login.ts'
import { goThrough } from './proxy.ts'
import { openSocket, Race, rememberFamily } from './race.ts'
import { notOurs, sourceFor } from './source.ts'
import type { Ticket, Tickets } from './tickets.ts'
import type { Policy } from './tls-policy.ts'
import { contextFor, describeTls, shownBy } from './trust.ts'
import type { Way } from './way.ts'

export interface Session {
  socket: Socket
  target: Target
  offers: Offers
  /** `TLSv1.3 TLS_AES_256_GCM_SHA384`, or '' in clear. */
  tls: string
  /** `dane DANE-EE`: by which policy, and how the host has shown who it is. */
  policy: string
}

/**
 * bad: where TLS was the trouble, or would have been if the policy were not lenient. between: the address that was reached
 * last and, where it is known, ours.
 */
export type Dialled = { bad: Bad | null; between: { address: string; local: string } } & (
  | { kind: 'up'; session: Session }
  /** `rest`: addresses of the host that have not been tried to the end. */
  | { kind: 'failed'; reply: Reply; rest: Target[] }
)

/** What a session must be good for. */
export interface Demands {
  lmtp: boolean
  /** RFC 8689: a host that offers REQUIRETLS. */
  requireTls: boolean
  policy: Policy
  /** Sessions that may be resumed, and which of them fit this policy. */
  tickets: { store: Tickets; key: string }
  /** Null: none. The policy sees to it that no password is said to whom cannot prove its name. */
  login: Login | null
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
  /** The session that the host is offered to resume. */
  #offered: Ticket | null = null
  /** What the host gave to resume this one. */
  #sessions: Buffer[] = []
  /** Our address, as long as it has not been seen ''. */
  #local = ''
  /** What the handshake has failed by, where it goes on in clear. */
  #broke: Bad | null = null
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
    this.#clear = demands.policy.clear === 'always'
    this.#connect()
  }

  cancel(): void {
    this.#over = true
    this.#drop()
  }

  /** To a socket of this machine none leads. */
  get #proxy(): Way['proxy'] {
    return isSocketPath(this.#target.address) ? null : this.#demands.way.proxy
  }

  get #between(): Dialled['between'] {
    return { address: this.#target.address, local: this.#local }
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
    this.#race = new Race(
      [this.#target, ...others],
      {
        won: (socket, target, rest) => {
          this.#race = null
          this.#target = target
          if (!this.#reached) this.#rest = rest
          this.#reached = true
          this.#socket = socket
          this.#local = socket.localAddress ?? ''
          rememberFamily(target)
          socket.on('error', (error: NodeJS.ErrnoException) => this.#broken(error))
          this.#enter('greeting')
          this.#startEngine(socket)
        },
        lost: (error) => this.#broken(error),
      },
      (target) => openSocket(target, sourceFor(this.#demands.way.source, target)),
    )
  }

  #startEngine(socket: Socket): void {
    const { policy, way } = this.#demands
    const name = policy.serverName ?? this.#target.name
    const verified = policy.check.kind === 'authority'
    const tls = this.#clear ? null : contextFor(way.identity, verified, way.caFile)
    if (tls instanceof Error) return this.#broken(tls)
    this.#offered = tls ? this.#demands.tickets.store.take(this.#demands.tickets.key, Date.now()) : null
    const engine = new SMTPConnection({
      connection: socket,
      host: name,
      ...(isIP(name) === 0 ? { servername: name } : {}),
      port: this.#target.port,
      secure: false,
      name: way.helo ?? this.#slice.hostname,
      lmtp: this.#demands.lmtp,
      ignoreTLS: this.#clear,
      opportunisticTLS: true, // what became of it is looked at when it is over
      logger: false,
      connectionTimeout: ENGINE_PATIENCE_MS,
      greetingTimeout: ENGINE_PATIENCE_MS,
      socketTimeout: ENGINE_PATIENCE_MS,
      maxResponseSize: MAX_REPLY,
      ...(tls ? { tls: this.#tlsOptions(tls) } : {}),
    }) as unknown as EngineInside
    this.#engine = engine
    const upgrade = engine._upgradeConnection
    engine._upgradeConnection = (callback) => {
      upgrade.call(engine, callback)
      if (engine._socket) engine._socket.on('session', (session: Buffer) => this.#sessions.push(session))
    }
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

  #tlsOptions(secureContext: SecureContext): ConnectionOptions {
    return {
      secureContext,
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined, // names are for `judgement.ts`
      ...(this.#offered && { session: this.#offered.session }),
    }
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
    const { login, policy, requireTls } = this.#demands
    const shown = shownBy(socket, this.#offered?.verdict ?? null)
    const verdict = judge(policy, shown, Date.now())
    const bad = this.#broke ?? (verdict.kind === 'bad' ? verdict : null)
    if (requireTls && (verdict.kind === 'bad' || !offers.requireTls)) return this.#unfit(NO_REQUIRETLS, bad)
    if (verdict.kind === 'bad' && !policy.lenient)
      return this.#unfit(refusal(policy, this.#target.name, verdict), bad)
    if (verdict.kind === 'good' && shown.encrypted) this.#keepTickets(socket, verdict, shown.earlier !== null)
    detach(engine, socket)
    const session = {
      socket,
      target: this.#target,
      offers,
      tls: describeTls(socket),
      policy: describe(policy, verdict),
    }
    if (login) void this.#logIn(session, bad, login, engine._ehloLines ?? [])
    else this.#up(session, bad)
  }

  async #logIn(session: Session, bad: Bad | null, login: Login, words: readonly string[]): Promise<void> {
    this.#enter('helo')
    const refused = await logIn(session.socket, words, login, this.#target, this.#slice.timeouts.helo)
    if (this.#over) return
    if (refused) this.#unfit(refused, bad)
    else this.#up(session, bad)
  }

  #up(session: Session, bad: Bad | null): void {
    this.#over = true
    if (this.#timer) clearTimeout(this.#timer)
    this.#answer({ kind: 'up', session, bad, between: this.#between })
  }

  /** Those that came already, and those to come. */
  #keepTickets(socket: Socket, verdict: Good, resumed: boolean): void {
    const { key, store } = this.#demands.tickets
    const provenAt = resumed ? (this.#offered?.provenAt ?? 0) : Date.now()
    const keep = (session: Buffer) => store.keep(key, { session, verdict, provenAt })
    socket.removeAllListeners('session')
    for (const session of this.#sessions) keep(session)
    socket.on('session', keep)
  }

  #unfit(reply: Reply, bad: Bad | null): void {
    this.#drop()
    this.#over = true
    this.#answer({ kind: 'failed', reply, rest: this.#rest, bad, between: this.#between })
  }

  #broken(error: NodeJS.ErrnoException & { response?: string }): void {
    if (this.#over) return
    const inHandshake = this.#engine?.upgrading === true
    const { policy } = this.#demands
    const bad = { kind: 'bad', failure: 'validation-failure', why: reasonOf(error) } as const
    if (inHandshake && policy.clear === 'never') {
      return this.#unfit(handshakeRefusal(policy, this.#target.name, bad.why), bad)
    }
    this.#drop()
    if (inHandshake && !this.#clear) {
      this.#clear = true
      this.#broke = bad
      return this.#connect()
    }
    this.#over = true
    // none of them was reached in time
    const rest = this.#reached || this.#proxy ? this.#rest : []
    const reply = this.#explain(error)
    this.#answer({ kind: 'failed', reply, rest, bad: this.#broke, between: this.#between })
  }

  /** The server's word where it said one, ours otherwise (RFC 3463 section 3.5: 4.4.1 no answer, 4.4.2 bad connection). */
  #explain(error: NodeJS.ErrnoException & { response?: string }): Reply {
    const { name, address, port } = this.#target
    const said = error.response ? parseReply(error.response, name) : null
    if (said && said.code >= 400) return said
    if (error.syscall === 'bind') return notOurs(String((error as { address?: unknown }).address))
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

function describe({ name }: Policy, verdict: Verdict): string {
  if (verdict.kind === 'bad') return `${name} ${verdict.failure}`
  return verdict.proof === '' ? name : `${name} ${verdict.proof}`
}

function reasonOf({ message }: Error): string {
  return message.split('\n')[0] ?? ''
}
