/**
 * The sessions of all smtpds: who may come in, who waits before the greeting, and on whose account it goes.
 *
 * Local programs and the network share `session-limit`, but a part of it is kept for each, so that neither shuts
 * the other out. While a resource is short new sessions wait, in the order they came, at most `longest-wait`;
 * local programs do not wait while they are within what is kept for them. Refuses with 421.
 * Next: `client-limits.ts`, `throttle.ts`.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer, Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { type Account, ClientLimits, NO_AMOUNTS, OF_MAIL, type Overrun, type Scope } from './client-limits.ts'
import type { Load } from './load.ts'
import { times } from './readings.ts'
import { type ReplyName, refusal } from './replies.ts'

export interface SessionsOptions {
  slice: () => Pick<QmgrSlice, 'sessionLimit' | 'load'>
  load: () => Load
  log: Log
  now: () => number
}

type Side = 'local' | 'remote'
const SIDES: readonly Side[] = ['local', 'remote']
type Opening = Answer<'session-open'>

interface Session {
  id: string
  side: Side
  /** The smtpd that has it. */
  peer: Peer
  accounts: readonly Account[]
  /** Who has logged in. */
  user: string | undefined
  /** Set while it waits. */
  waiting: { until: number; answer: (opening: Opening) => void } | null
}

/** What a message comes to: refused, or on the account; `brake` is when the next one may come, 0: at once. */
export interface Charge {
  refusal: Reply | null
  brake: number
}

/** When a shortage is over, not everybody comes in at once. */
const RELEASED_AT_ONCE = 100
/** One account fills no log. */
const TOLD_EVERY_MS = 60_000
const GO: Opening = { kind: 'go' }
const GONE = refused('clientGone')
const FREE: Charge = { refusal: null, brake: 0 }

export class Sessions {
  readonly #options: SessionsOptions
  readonly #limits: ClientLimits
  readonly #sessions = new Map<string, Session>()
  readonly #queue = new Set<Session>()
  /** Those that wait are not among them. */
  readonly #admitted: Record<Side, number> = { local: 0, remote: 0 }
  readonly #waiting: Record<Side, number> = { local: 0, remote: 0 }
  /** Sessions and messages that a client's limits have refused. */
  limited = 0

  constructor(options: SessionsOptions) {
    this.#options = options
    this.#limits = new ClientLimits(() => options.slice().load.limits)
  }

  get total(): number {
    return this.#sessions.size
  }

  get local(): number {
    return this.#admitted.local + this.#waiting.local
  }

  get waiting(): number {
    return this.#queue.size
  }

  open(asked: Payload<'session-open'>, peer: Peer): Opening | Promise<Opening> {
    const { now, slice } = this.#options
    const known = this.#sessions.get(asked.session)
    if (known) return this.#identify(known, asked)
    const side = asked.client === '' ? 'local' : 'remote'
    if (!this.#hasPlace(side)) return refused('tooManySessions')
    const accounts = this.#limits.accountsOf(asked, now())
    const over = this.#limits.open(accounts, now())
    if (over) return refused('tooManyConnections', ...this.#tell(over))
    const session: Session = { id: asked.session, side, peer, accounts, user: asked.user, waiting: null }
    this.#sessions.set(session.id, session)
    // behind those of its own kind
    if (this.#waiting[side] === 0 && this.#mayEnter(side)) {
      this.#admitted[side]++
      return GO
    }
    return new Promise((answer) => {
      session.waiting = { until: now() + slice().load.throttle.longestWait, answer }
      this.#waiting[side]++
      this.#queue.add(session)
    })
  }

  /** Its client has logged in: from now on it goes on the accounts of that user, too. */
  #identify(session: Session, asked: Payload<'session-open'>): Opening {
    const { now } = this.#options
    const before = session.accounts
    const accounts = this.#limits.accountsOf(asked, now())
    const over = this.#limits.open(
      accounts.filter((one) => !before.includes(one)),
      now(),
    )
    if (over) return refused('tooManyConnections', ...this.#tell(over))
    this.#limits.close(before.filter((one) => !accounts.includes(one)))
    session.accounts = accounts
    session.user = asked.user
    return GO
  }

  close({ session: id, refusals = 0 }: Payload<'session-close'>): void {
    const session = this.#sessions.get(id)
    if (!session) return
    if (refusals > 0) this.#limits.charge(session.accounts, { ...NO_AMOUNTS, refusals }, this.#options.now())
    this.#leave(session)
    this.#release()
  }

  /** An smtpd is gone, and its sessions with it. */
  peerLeft(peer: Peer): void {
    for (const session of this.#sessions.values()) if (session.peer === peer) this.#leave(session)
    this.#release()
  }

  /** Once a second, and at each change of load: lets in who may come in, sends away who has waited long enough. */
  look(): void {
    const { load, now } = this.#options
    const why = load().reason || 'sessions'
    for (const session of this.#queue) {
      if (session.waiting && session.waiting.until <= now()) this.#leave(session, refused('tooBusy', why))
    }
    this.#release()
  }

  /** A message has come in. Not more than a look at a few numbers: this is on every message's way. */
  charge(envelope: Envelope): Charge {
    const { origin, recipients, size } = envelope
    const accounts = this.#accountsFor(origin)
    if (accounts.length === 0) return FREE
    const now = this.#options.now()
    const before = this.#limits.overrun(accounts, OF_MAIL, now)
    if (before) {
      return { refusal: refusal('tooMuchMail', ...this.#tell(before)), brake: before.until ?? 0 }
    }
    const amounts = { connections: 0, messages: 1, recipients: recipients.length, octets: size, refusals: 0 }
    this.#limits.charge(accounts, amounts, now)
    return { refusal: null, brake: this.#limits.overrun(accounts, OF_MAIL, now)?.until ?? 0 }
  }

  #accountsFor(origin: Envelope['origin']): readonly Account[] {
    const session = this.#sessions.get(origin.session)
    // a session of before our last restart
    if (!session || origin.user !== session.user) return this.#limits.accountsOf(origin, this.#options.now())
    return session.accounts
  }

  #leave(session: Session, answer = GONE): void {
    this.#sessions.delete(session.id)
    this.#limits.close(session.accounts)
    if (!session.waiting) {
      this.#admitted[session.side]--
      return
    }
    this.#queue.delete(session)
    this.#waiting[session.side]--
    session.waiting.answer(answer)
  }

  #release(): void {
    let left = RELEASED_AT_ONCE
    const open = new Set(SIDES)
    for (const session of this.#queue) {
      if (left-- === 0 || open.size === 0) return
      if (open.has(session.side) && this.#mayEnter(session.side)) this.#admit(session)
      else open.delete(session.side)
    }
  }

  #admit(session: Session): void {
    this.#queue.delete(session)
    this.#waiting[session.side]--
    this.#admitted[session.side]++
    session.waiting?.answer(GO)
    session.waiting = null
  }

  /** Those that wait have a place, too. */
  #hasPlace(side: Side): boolean {
    const { refuse } = this.#marks()
    const other = side === 'local' ? 'remote' : 'local'
    const mine = this.#admitted[side] + this.#waiting[side]
    return this.total < refuse && mine < refuse - this.#reserve(other)
  }

  #mayEnter(side: Side): boolean {
    if (side === 'local' && this.#isKeptFor(side)) return true
    if (this.#options.load().intake === 'wait') return false
    const { local, remote } = this.#admitted
    return this.#isKeptFor(side) || local + remote < this.#marks().wait
  }

  #isKeptFor(side: Side): boolean {
    return this.#admitted[side] < this.#reserve(side)
  }

  #reserve(side: Side): number {
    const { load, sessionLimit } = this.#options.slice()
    return Math.floor(sessionLimit * (side === 'local' ? load.localReserve : load.remoteReserve))
  }

  #marks(): { wait: number; refuse: number } {
    const { load, sessionLimit } = this.#options.slice()
    return times(load.throttle.sessions, sessionLimit)
  }

  /** What there is too much of, and from whom. */
  #tell({ account, measure, until }: Overrun): [string, string] {
    const { log, now } = this.#options
    this.limited++
    if (now() - account.toldAt >= TOLD_EVERY_MS) {
      account.toldAt = now()
      const facts = { [account.scope]: account.name, measure, until: until && new Date(until).toISOString() }
      log.warn(facts, 'client above its limit')
    }
    return [measure, NAMES[account.scope]]
  }
}

const NAMES: Readonly<Record<Scope, string>> = {
  client: 'your address',
  network: 'your network',
  uid: 'you',
  policy: 'you',
  user: 'you',
}

function refused(name: ReplyName, ...words: readonly string[]): Opening {
  return { kind: 'refused', reply: refusal(name, ...words) }
}
