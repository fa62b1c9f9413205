/**
 * The addresses of one host raced (RFC 8305 section 5): the next connection is begun when the one before has failed or
 * has taken 250 ms, and the first that stands is taken; the others are dropped. Which family won is remembered for the
 * host, and tried first the next time.
 *
 * Fails: `lost`, once, when the last address has failed, with the last error. Time for all of it is the caller's affair.
 */
import { connect, isIPv6, type Socket } from 'node:net'
import { isSocketPath, type Target } from './hosts.ts'

/** RFC 8305 section 5: the recommended delay between attempts. */
export const STAGGER_MS = 250
/** Hosts whose family is remembered; the one that was reached longest ago is forgotten first. */
const MOST_REMEMBERED = 10_000

export interface Finish {
  /** `rest`: addresses that have not failed yet. */
  won: (socket: Socket, target: Target, rest: Target[]) => void
  lost: (error: Error) => void
}

export class Race {
  readonly #finish: Finish
  readonly #open: (target: Target) => Socket
  readonly #running = new Map<Socket, Target>()
  #waiting: Target[]
  #timer: NodeJS.Timeout | null = null

  constructor(targets: readonly Target[], finish: Finish, open: (target: Target) => Socket = openSocket) {
    this.#waiting = [...targets]
    this.#finish = finish
    this.#open = open
    this.#next()
  }

  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#waiting = []
    for (const socket of this.#running.keys()) drop(socket)
    this.#running.clear()
  }

  #next(): void {
    if (this.#timer) clearTimeout(this.#timer)
    const target = this.#waiting.shift()
    if (!target) return
    const socket = this.#open(target)
    this.#running.set(socket, target)
    socket.once('connect', () => this.#won(socket, target))
    socket.once('error', (error) => this.#failed(socket, error))
    if (this.#waiting.length > 0) this.#timer = setTimeout(() => this.#next(), STAGGER_MS)
  }

  #won(socket: Socket, target: Target): void {
    if (!this.#running.delete(socket)) return
    const rest = [...this.#running.values(), ...this.#waiting]
    this.cancel()
    socket.removeAllListeners('error')
    this.#finish.won(socket, target, rest)
  }

  #failed(socket: Socket, error: Error): void {
    if (!this.#running.delete(socket)) return
    drop(socket)
    if (this.#waiting.length > 0) this.#next()
    else if (this.#running.size === 0) this.#finish.lost(error)
  }
}

/** @param localAddress undefined: the system chooses. */
export function openSocket({ address, port }: Target, localAddress?: string): Socket {
  return connect(
    isSocketPath(address)
      ? { path: address }
      : { host: address, port, noDelay: true, ...(localAddress !== undefined && { localAddress }) },
  )
}

function drop(socket: Socket): void {
  socket.removeAllListeners()
  socket.on('error', () => undefined)
  socket.destroy()
}

/** By host name: whether an IPv6 address was the one that was reached. */
const reached = new Map<string, boolean>()

export function rememberFamily({ name, address }: Target): void {
  reached.delete(name)
  reached.set(name, isIPv6(address))
  if (reached.size > MOST_REMEMBERED) reached.delete(reached.keys().next().value ?? '')
}

/** Whether IPv6 comes first for this host; so it does where nothing is known (RFC 8305 section 4). */
export function prefersIPv6(name: string): boolean {
  return reached.get(name) ?? true
}
