/**
 * `posthorn agent`: the user's own process that owns the accounts and talks to the providers.
 *
 * It listens on its socket (or on the one that systemd hands over), keeps the outbox, and tries again what waits. One
 * at a time for each state directory, by a lock. Started on demand it leaves when it has had nothing to do for a
 * while; what is held needs no agent. SIGTERM, SIGINT and SIGHUP end it between messages: what is under way is finished, and
 * a message that had no answer yet is the caller's still.
 */
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { refuseCoreDumps } from '../../shared/system/core-dumps.ts'
import { lockFile } from '../../shared/system/lock.ts'
import type { AgentSettings } from '../accounts/account.ts'
import type { Places } from '../accounts/places.ts'
import { Desk } from './desk.ts'
import { Outbox } from './outbox.ts'
import { receive } from './reception.ts'

export class AgentTrouble extends Error {
  override name = 'AgentTrouble'
}

export interface AgentOptions {
  places: Places
  settings: AgentSettings
  onDemand: boolean
  log: (text: string) => void
}

/** Longest wait of one timer; a suspended machine must not sleep through what is due. */
const LONGEST_TIMER_MS = 60_000
const MOST_CONNECTIONS = 64

/** Resolves when the agent has ended. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { places, log } = options
  if (!refuseCoreDumps()) log('core files cannot be forbidden here')
  makePrivate(places.state)
  const lock = takeLock(places.state)
  try {
    await new Agent(options, await Outbox.open(places.state)).run()
  } finally {
    closeSync(lock)
  }
}

function makePrivate(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const { uid, mode } = statSync(directory)
  if (uid !== process.getuid?.()) throw new AgentTrouble(`${directory} belongs to uid ${uid}, not to you`)
  if ((mode & 0o077) !== 0) chmodSync(directory, 0o700)
}

function takeLock(state: string): number {
  const fd = openSync(join(state, 'agent.lock'), 'a', 0o600)
  if (lockFile(fd) === 'locked') {
    ftruncateSync(fd)
    writeSync(fd, `${process.pid}\n`)
    return fd
  }
  closeSync(fd)
  throw new AgentTrouble('another agent runs already')
}

class Agent {
  readonly #options: AgentOptions
  readonly #outbox: Outbox
  readonly #desk: Desk
  readonly #server: Server
  readonly #connections = new Set<Promise<void>>()
  readonly #sockets = new Set<Socket>()
  readonly #working = new Set<Socket>()
  #leaving = false
  #timer: NodeJS.Timeout | null = null
  #lastWork = Date.now()
  #stop: () => void = () => undefined

  constructor(options: AgentOptions, outbox: Outbox) {
    const { places, log } = options
    this.#options = options
    this.#outbox = outbox
    this.#desk = new Desk({
      config: places.config,
      state: places.state,
      outbox,
      log,
      now: Date.now,
      onChange: () => this.#arm(),
    })
    this.#server = createServer({ pauseOnConnect: false }, (socket) => this.#serve(socket))
    this.#server.maxConnections = MOST_CONNECTIONS
  }

  async run(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#stop = resolve
    })
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, this.#stop)
    await this.#listen()
    this.#options.log('ready')
    this.#arm()
    await stopped
    await this.#drain()
  }

  async #listen(): Promise<void> {
    const handed = handedSocket(process.env, process.pid)
    const { socket } = this.#options.places
    if (handed === null) prepareSocket(socket)
    const place = handed === null ? { path: socket } : { fd: handed }
    await new Promise<void>((done, fail) => {
      this.#server.once('error', fail)
      this.#server.listen(place, done)
    })
    if (handed === null) chmodSync(socket, 0o600)
  }

  #serve(socket: Socket): void {
    const { settings, log } = this.#options
    const served = receive(socket, {
      desk: this.#desk,
      outbox: this.#outbox,
      sizeLimit: settings.sizeLimit,
      uid: process.getuid?.() ?? -1,
      now: Date.now,
      log,
      onWork: (one, working) => this.#working[working ? 'add' : 'delete'](one),
      leaving: () => this.#leaving,
    }).finally(() => {
      this.#connections.delete(served)
      this.#sockets.delete(socket)
      this.#working.delete(socket)
      this.#lastWork = Date.now()
      this.#arm()
    })
    this.#connections.add(served)
    this.#sockets.add(socket)
  }

  /** The next look at what is due, or at whether there is anything to do. */
  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    const due = this.#desk.work.nextDue()
    const wait = due === null ? LONGEST_TIMER_MS : Math.max(0, due - Date.now())
    const idle = this.#options.onDemand ? this.#options.settings.idle : LONGEST_TIMER_MS
    this.#timer = setTimeout(() => this.#look(), Math.min(wait, idle, LONGEST_TIMER_MS))
  }

  #look(): void {
    this.#desk.work.startDue()
    if (this.#isIdle()) this.#stop()
    else this.#arm()
  }

  #isIdle(): boolean {
    const { onDemand, settings } = this.#options
    const quiet = this.#connections.size === 0 && this.#desk.busy === 0 && this.#desk.work.nextDue() === null
    return onDemand && quiet && Date.now() - this.#lastWork >= settings.idle
  }

  async #drain(): Promise<void> {
    this.#leaving = true
    this.#server.close()
    for (const socket of this.#sockets) if (!this.#working.has(socket)) socket.destroy()
    await Promise.all(this.#connections)
    await this.#desk.work.stop()
    if (this.#timer) clearTimeout(this.#timer)
  }
}

const FIRST_HANDED = 3

/** The socket of a systemd socket unit, sd_listen_fds(3); null: there is none. */
export function handedSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | null {
  return env['LISTEN_PID'] === String(pid) && Number(env['LISTEN_FDS']) >= 1 ? FIRST_HANDED : null
}

/** The lock is ours, so a socket that is there is an old agent's. */
function prepareSocket(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const { uid, mode } = statSync(dirname(path))
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0)
    throw new AgentTrouble(`${dirname(path)} must be yours, and nobody else may write to it`)
  rmSync(path, { force: true })
}
