/**
 * The dialling side of the bus: a connection that comes back by itself.
 *
 * `openLink` dials, says hello, and after each loss dials again (50 ms, doubling to 1 s). What was under way on
 * the lost connection is rejected with `BusLost`; who asked decides whether to ask again. A hello that is
 * refused (another build, wrong credentials) is reported by `onRefused` and tried again at the slow pace: mcp
 * may be in the middle of replacing one side.
 */
import type { Log } from '../base/log.ts'
import type { Answer, EventName, Payload, RequestName, Role } from './messages.ts'
import { BusLost, type Handlers, type Identity, Peer } from './peer.ts'
import { dial, type ReadingSocket } from './reading.ts'

const FIRST_WAIT_MS = 50
const LONGEST_WAIT_MS = 1000

export interface Welcome {
  epoch: number
  serial: number
}

export interface LinkOptions {
  /** The path to dial, or a socket that is connected already (then there is no second try). */
  target: string | ReadingSocket
  remote: Role
  identity: () => Identity
  handlers: Handlers
  log: Log
  onUp?: (welcome: Welcome) => void
  onDown?: () => void
}

export interface Link {
  readonly up: boolean
  send<N extends EventName>(name: N, payload: Payload<N>): void
  request<N extends RequestName>(name: N, payload: Payload<N>): Promise<Answer<N>>
  /** Resolves at the first welcome. */
  ready(): Promise<Welcome>
  close(): void
}

export function openLink(options: LinkOptions): Link {
  return new Dialler(options)
}

class Dialler implements Link {
  readonly #options: LinkOptions
  #peer: Peer | null = null
  #up = false
  #closed = false
  #wait = FIRST_WAIT_MS
  #timer: NodeJS.Timeout | null = null
  #ready: Promise<Welcome>
  #setReady: (welcome: Welcome) => void = () => undefined

  constructor(options: LinkOptions) {
    this.#options = options
    this.#ready = new Promise((resolve) => {
      this.#setReady = resolve
    })
    this.#dial()
  }

  get up(): boolean {
    return this.#up
  }

  ready(): Promise<Welcome> {
    return this.#ready
  }

  send<N extends EventName>(name: N, payload: Payload<N>): void {
    if (this.#up) this.#peer?.send(name, payload)
  }

  request<N extends RequestName>(name: N, payload: Payload<N>): Promise<Answer<N>> {
    if (!this.#up || !this.#peer) return Promise.reject(new BusLost(`${name}: no connection`))
    return this.#peer.request(name, payload)
  }

  close(): void {
    this.#closed = true
    if (this.#timer) clearTimeout(this.#timer)
    this.#peer?.close()
  }

  #dial(): void {
    const { target, remote, identity, handlers, log } = this.#options
    const self = identity()
    const peer = new Peer({
      ...(typeof target === 'string' ? dial(target) : target),
      self: self.role,
      handlers,
      onEnd: (trouble) => this.#lost(trouble),
      onPanic: (error, message) => log.error({ err: error, message }, 'bus handler failed'),
    })
    peer.setRemoteRole(remote)
    this.#peer = peer
    peer.request('hello', { ...self }).then(
      (answer) => {
        if (answer.kind === 'welcome') return this.#welcomed(answer)
        log.warn({ remote, reason: answer.reason }, 'bus refused us')
        peer.destroy('refused')
      },
      () => undefined, // `onEnd` redials
    )
  }

  #welcomed(welcome: Welcome): void {
    this.#up = true
    this.#wait = FIRST_WAIT_MS
    this.#setReady(welcome)
    this.#options.onUp?.(welcome)
  }

  #lost(trouble: string): void {
    const wasUp = this.#up
    this.#up = false
    if (trouble && trouble !== 'refused')
      this.#options.log.error({ remote: this.#options.remote, trouble }, 'bus broken')
    if (wasUp) this.#options.onDown?.()
    if (this.#closed || typeof this.#options.target !== 'string') return
    this.#timer = setTimeout(() => this.#dial(), this.#wait)
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT_MS)
  }
}
