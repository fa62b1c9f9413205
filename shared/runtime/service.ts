/**
 * The skeleton that every worker stands on: `main.ts` of a service is one call of `runService`.
 *
 * Life: mcp forks the worker with a private channel; `configure` brings name, slice, descriptors and bus paths;
 * `start` builds the service and resolves when it can work; `ready` goes out. Heartbeats are answered with the
 * service's figures and the event loop's lag. `reconfigure` hands over a new slice. `drain` finishes what is in
 * hand, then the process leaves with 0. When mcp goes away (the channel closes) the worker drains and leaves too.
 *
 * Fails: an environment that is wrong (`Fatal`) leaves with 78; anything uncaught is our bug, is logged as
 * fatal and leaves with 70; mcp restarts.
 */

import type { Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type Log, openLog } from '../base/log.ts'
import { residentMemory } from '../base/memory.ts'
import { struct } from '../base/shape.ts'
import {
  type Configure,
  type LdaWanted,
  type LifeName,
  type LifePayload,
  lifeMessages,
  type Role,
} from '../bus/messages.ts'
import type { Identity } from '../bus/peer.ts'
import { systemAccounts } from '../config/accounts.ts'
import type { Slices } from '../config/slices.ts'

export type WorkerRole = Exclude<Role, 'mcp' | 'command'>

/** The environment is wrong (no permission, no such directory): leave, let mcp decide. */
export class Fatal extends Error {
  override name = 'Fatal'
}

export const EXIT_PANIC = 70
export const EXIT_FATAL = 78

export interface Context<R extends WorkerRole> {
  name: string
  slice: Slices[R]
  log: Log
  build: string
  /** The config epoch in force; changes with `reconfigure`. */
  epoch: () => number
  /** For hello. */
  identity: () => Identity
  descriptor: (what: string) => number | undefined
  buses: Configure['buses']
  tellMcp: <N extends 'lda-wanted'>(name: N, payload: LifePayload<N>) => void
  /** qmgr only: what mcp sends of lda processes; the socket is the new lda's bus connection. */
  onLda: (
    handler: (name: 'lda-started' | 'lda-refused', payload: LdaNews, socket: Socket | null) => void,
  ) => void
  /** qmgr only: the event-loop lag of every worker, as mcp has heard it last. */
  onLags: (handler: (lags: Record<string, number>) => void) => void
  /** resolver only: whether the unbound of mcp answers. */
  onValidator: (handler: (up: boolean) => void) => void
}
export interface LdaNews {
  wanted: LdaWanted
  name?: string
  reason?: string
  final?: boolean
}

export interface Running<R extends WorkerRole> {
  /** Finishes what is in hand; takes nothing new. */
  drain: () => Promise<void>
  reconfigure?: (slice: Slices[R]) => void
  /** Whole numbers or measures for `posthorn status`. */
  figures?: () => Record<string, number>
}

/**
 * Runs before the worker gives up root: loads what is loaded late otherwise (native code, threads), from an
 * installation that its user perhaps cannot read.
 */
export type Prepare<R extends WorkerRole> = (slice: Slices[R]) => void | Promise<void>

export function runService<R extends WorkerRole>(
  role: R,
  start: (context: Context<R>) => Promise<Running<R>>,
  prepare: Prepare<R> = () => undefined,
): void {
  if (!process.send) {
    process.stderr.write(`${role}: started by mcp, not by hand; see "posthorn start"\n`)
    process.exit(64)
  }
  process.on('SIGINT', () => undefined) // a terminal's ^C reaches the whole group; mcp drains us
  process.on('SIGHUP', () => undefined)
  new Worker(role, start, prepare)
}

class Worker<R extends WorkerRole> {
  readonly #role: R
  readonly #start: (context: Context<R>) => Promise<Running<R>>
  readonly #prepare: Prepare<R>
  readonly #lag = monitorEventLoopDelay({ resolution: 10 })
  #log: Log | null = null
  #epoch = 0
  #running: Running<R> | null = null
  #draining = false
  #onLda: Parameters<Context<R>['onLda']>[0] = () => undefined
  #onLags: Parameters<Context<R>['onLags']>[0] = () => undefined
  #onValidator: Parameters<Context<R>['onValidator']>[0] = () => undefined

  constructor(role: R, start: (context: Context<R>) => Promise<Running<R>>, prepare: Prepare<R>) {
    this.#role = role
    this.#start = start
    this.#prepare = prepare
    process.on('uncaughtException', (error) => this.#leave(error))
    process.on('unhandledRejection', (error) => this.#leave(error))
    process.on('SIGTERM', () => this.#drain())
    process.on('disconnect', () => this.#drain())
    process.on('message', (message, handle) => this.#heard(message, handle as Socket | undefined))
    this.#lag.enable()
  }

  #heard(message: unknown, handle: Socket | undefined): void {
    const { name, payload } = checkLife(message, this.#role)
    switch (name) {
      case 'configure':
        return void this.#configure(payload as Configure).catch((error: unknown) => this.#leave(error))
      case 'reconfigure': {
        const news = payload as LifePayload<'reconfigure'>
        this.#epoch = news.epoch
        this.#log?.setSeverity(news.severity)
        this.#running?.reconfigure?.(news.slice as Slices[R])
        return
      }
      case 'ping':
        return this.#tell('pong', { n: (payload as LifePayload<'ping'>).n, figures: this.#figures() })
      case 'drain':
        return this.#drain()
      case 'lda-started':
      case 'lda-refused':
        return this.#onLda(name, payload as LdaNews, handle ?? null)
      case 'worker-lags':
        return this.#onLags((payload as LifePayload<'worker-lags'>).lags)
      case 'validator':
        return this.#onValidator((payload as LifePayload<'validator'>).up)
      default:
        throw new Error(`${name} is not for a worker`)
    }
  }

  async #configure(told: Configure): Promise<void> {
    await this.#prepare(told.slice as Slices[R])
    if (told.become) become(told.become)
    process.umask(0o077)
    process.title = `posthorn: ${told.name}`
    this.#epoch = told.epoch
    this.#log = openLog(told.name, told.severity)
    this.#running = await this.#start({
      name: told.name,
      slice: told.slice as Slices[R],
      log: this.#log,
      build: told.build,
      epoch: () => this.#epoch,
      identity: () => ({
        role: this.#role,
        name: told.name,
        pid: process.pid,
        build: told.build,
        epoch: this.#epoch,
      }),
      descriptor: (what) => told.descriptors[what],
      buses: told.buses,
      tellMcp: (name, payload) => this.#tell(name, payload),
      onLda: (handler) => {
        this.#onLda = handler
      },
      onLags: (handler) => {
        this.#onLags = handler
      },
      onValidator: (handler) => {
        this.#onValidator = handler
      },
    })
    this.#tell('ready', {})
  }

  #figures(): Record<string, number> {
    const memory = residentMemory()
    const lag = this.#lag.percentile(99) / 1e6
    this.#lag.reset()
    return { rss: memory, lagMs: Number.isFinite(lag) ? lag : 0, ...this.#running?.figures?.() }
  }

  #tell<N extends LifeName>(name: N, payload: LifePayload<N>): void {
    if (process.connected) process.send?.({ name, payload })
  }

  #drain(): void {
    if (this.#draining) return
    this.#draining = true
    const done = this.#running?.drain() ?? Promise.resolve()
    done.then(
      () => {
        this.#log?.flush()
        process.exit(0)
      },
      (error: unknown) => this.#leave(error),
    )
  }

  #leave(error: unknown): never {
    const fatal = error instanceof Fatal
    const log = this.#log ?? openLog(this.#role)
    log.fatal(
      { err: error instanceof Error ? error : new Error(String(error)) },
      fatal ? 'cannot work here' : 'panic',
    )
    log.flush()
    process.exit(fatal ? EXIT_FATAL : EXIT_PANIC)
  }
}

/**
 * Gives up root for good: supplementary groups, gid, uid, in this order; the kernel then clears every
 * capability and makes the process undumpable. All code is loaded by now (see `Prepare`), so an installation that
 * the worker's user cannot read still works. The C library does this for every thread.
 */
function become(whom: { user: string; uid: number; gid: number }): void {
  if (whom.uid === 0) throw new Fatal('no worker runs as root')
  // @types/node does not know it
  // its own group too: a file of root may be readable for it alone
  const own = systemAccounts().user(whom.user)?.gid ?? whom.gid
  ;(process as { initgroups?: (user: string, group: number) => void }).initgroups?.(whom.user, own)
  process.setgid?.(whom.gid)
  process.setuid?.(whom.uid)
  if (process.getuid?.() !== whom.uid || process.geteuid?.() !== whom.uid)
    throw new Fatal(`cannot become ${whom.user}`)
}

/** @throws Error when mcp and worker disagree about a message, which is a bug of ours. */
export function checkLife(message: unknown, receiver: Role): { name: LifeName; payload: unknown } {
  const { name, payload } = (message ?? {}) as { name?: string; payload?: unknown }
  const entry =
    name !== undefined && Object.hasOwn(lifeMessages, name) ? lifeMessages[name as LifeName] : undefined
  if (!entry || !(entry.to as readonly Role[]).includes(receiver))
    throw new Error(`life message ${String(name)}`)
  const shape = struct(entry.fields)
  if (!shape.accepts(payload)) throw new Error(shape.explain(payload, String(name)))
  return { name: name as LifeName, payload }
}
