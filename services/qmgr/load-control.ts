/**
 * Load control put together: resources (`load.ts`), sessions (`sessions.ts`), destinations (`backlog.ts`), and how
 * smtpd and `posthorn status` hear of them. `qmgr.ts` makes one and tells the others of its parts.
 */
import type { Log } from '../../shared/base/log.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { ActiveQueue } from './active-queue.ts'
import { type Active, Backlog } from './backlog.ts'
import type { Health, Journal } from './journal.ts'
import { LoadWatch } from './load.ts'
import { Logins, type LoginTry } from './logins.ts'
import { Sessions } from './sessions.ts'
import { Spill } from './spill.ts'
import type { StorePort } from './store-port.ts'

export interface LoadControlOptions {
  slice: () => QmgrSlice
  queue: () => ActiveQueue
  journal: Journal
  port: Pick<StorePort, 'call'>
  /** Messages accepted so far. */
  accepted: () => number
  peers: () => Iterable<Peer>
  log: Log
  now: () => number
}

export type LoadStatus = Pick<
  Answer<'queue-status'>,
  | 'sessions'
  | 'localSessions'
  | 'waitingSessions'
  | 'limited'
  | 'logins'
  | 'failedLogins'
  | 'brakedLogins'
  | 'intake'
  | 'reason'
  | 'throttles'
  | 'fullDestinations'
>

/** For `posthorn status`. */
const MOST_NAMED = 100

export class LoadControl {
  readonly spill = new Spill()
  readonly backlog: Backlog
  readonly sessions: Sessions
  readonly logins: Logins
  readonly watch: LoadWatch
  readonly #options: LoadControlOptions
  #storeWasBroken = false

  constructor(options: LoadControlOptions) {
    this.#options = options
    const { accepted, journal, log, now, queue, slice } = options
    this.backlog = new Backlog({
      limit: () => slice().load.destinationBacklog,
      onChange: (full, relieved) => this.#tellBacklog(full, relieved),
    })
    this.logins = new Logins(() => slice().load.limits)
    this.sessions = new Sessions({ slice, load: () => this.watch.current, log, now })
    this.watch = new LoadWatch({
      slice,
      vitals: () => ({
        health: journal.health,
        entries: queue().entries.size,
        octets: queue().octets,
        sessions: this.sessions.total,
        accepted: accepted(),
      }),
      spill: this.spill,
      onChange: (load) => {
        for (const peer of this.#smtpds()) peer.send('load', load)
        this.sessions.look()
      },
      onLook: () => this.sessions.look(),
      log,
      now,
    })
  }

  /** Before anybody may join. */
  async start(): Promise<void> {
    await this.watch.look()
    await this.#recount()
  }

  stop(): void {
    this.watch.stop()
  }

  joined(peer: Peer): void {
    if (peer.identity?.role !== 'smtpd') return
    peer.send('load', this.watch.current)
    const { full } = this.backlog
    if (full.length > 0) peer.send('backlog', { full, relieved: [] })
  }

  reconfigured(): void {
    this.backlog.review()
    this.watch.refresh()
  }

  /** A commit that failed may have been done all the same, in part: what the store has is counted anew. */
  storeChanged(health: Health): void {
    this.watch.refresh()
    if (health === 'good' && this.#storeWasBroken) void this.#recount()
    this.#storeWasBroken = health === 'broken'
  }

  async #recount(): Promise<void> {
    const { journal, log, port, queue } = this.#options
    try {
      await this.backlog.recount(activeOf(queue()), () => journal.behind(() => port.call('destinations')))
    } catch (error) {
      log.warn({ err: error }, 'the backlog of destinations cannot be counted now')
    }
  }

  status(): LoadStatus {
    const { intake, reason } = this.watch.current
    return {
      sessions: this.sessions.total,
      localSessions: this.sessions.local,
      waitingSessions: this.sessions.waiting,
      limited: this.sessions.limited,
      logins: this.logins.passed,
      failedLogins: this.logins.failed,
      brakedLogins: this.logins.braked,
      intake,
      reason,
      throttles: this.watch.throttles().map(({ reading, state, since }) => {
        const { resource, value, unit, marks } = reading
        return { resource, state, since, value, unit, ...marks }
      }),
      fullDestinations: this.backlog.full.slice(0, MOST_NAMED),
    }
  }

  tryLogin(who: LoginTry): Answer<'login-try'> {
    const until = this.logins.begin(who, this.#options.now())
    return until === null ? { kind: 'go' } : { kind: 'braked', until }
  }

  loginOver({ passed, ...who }: LoginTry & { passed: boolean }): void {
    this.logins.over(who, passed, this.#options.now())
  }

  #tellBacklog(full: string[], relieved: string[]): void {
    const { log } = this.#options
    for (const destination of full) log.warn({ destination }, 'backlog full')
    for (const destination of relieved) log.warn({ destination }, 'backlog has room again')
    for (const peer of this.#smtpds()) peer.send('backlog', { full, relieved })
  }

  *#smtpds(): Iterable<Peer> {
    for (const peer of this.#options.peers()) if (peer.identity?.role === 'smtpd') yield peer
  }
}

function* activeOf({ entries }: ActiveQueue): Iterable<Active> {
  for (const { slots } of entries.values()) for (const slot of slots) if (slot.state !== 'done') yield slot
}
