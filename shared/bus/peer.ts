/**
 * One connection of the bus: frames on a stream socket, turned into typed messages and back.
 *
 * A frame (`frames.ts`) holds `[name index, request id, body]`. Name index `ANSWER` marks an answer, whose request
 * id says to what. What is sent during one turn of the event loop leaves in one write. Everything that arrives is checked: size, name, direction, each field. A peer that
 * fails a check is closed and `onTrouble` says why; nothing it sent after that is looked at.
 *
 * Fails: `request` rejects with `BusLost` when the connection ends and with `BusTimeout` past the message's
 * deadline. Limits: frames up to MAX_FRAME; a peer that does not read MAX_UNREAD octets is closed.
 */
import type { Socket } from 'node:net'
import { type Shape, struct } from '../base/shape.ts'
import { FrameReader, FrameTrouble, LEAST_TAIL, packFrame, unpackHead } from './frames.ts'
import {
  type Answer,
  type BusName,
  busMessages,
  type EventName,
  type Payload,
  type RequestName,
  type Role,
  tailOf,
} from './messages.ts'
import type { OnOctets, ReadingSocket } from './reading.ts'

const MAX_UNREAD = 256 << 20
const ANSWER = 255
const FAILED = 254
const SWEEP_INTERVAL_MS = 1000

export class BusLost extends Error {
  override name = 'BusLost'
}
export class BusTimeout extends Error {
  override name = 'BusTimeout'
}

type EventHandlers = { [N in EventName]?: (payload: Payload<N>, peer: Peer) => void }
type RequestHandlers = {
  [N in RequestName]?: (payload: Payload<N>, peer: Peer) => Answer<N> | Promise<Answer<N>>
}
export type Handlers = EventHandlers & RequestHandlers

/** What the kernel says of a peer (SO_PEERCRED), or mcp when it made the connection. */
export interface Credentials {
  pid: number
  uid: number
  gid: number
}

/** What a worker says of itself in `hello`. */
export interface Identity {
  role: Role
  name: string
  pid: number
  build: string
  epoch: number
}

export interface PeerOptions {
  socket: Socket
  /** Where the socket reads in its own way; else its 'data' are listened to. */
  listen?: ReadingSocket['listen']
  self: Role
  handlers: Handlers
  /** Once, when the connection is over; `trouble` is '' for an ordinary end. */
  onEnd: (trouble: string) => void
  /** An exception in one of our own handlers: our bug, the connection lives on. */
  onPanic: (error: unknown, message: string) => void
}

interface Waiting {
  name: RequestName
  until: number
  resolve: (answer: never) => void
  reject: (error: Error) => void
}

type Handler = (payload: unknown, peer: Peer) => unknown
interface Entry {
  name: BusName
  from: readonly Role[]
  to: readonly Role[]
  shape: Shape<unknown>
  answer: Shape<unknown> | null
  deadline: number
}

const entries: readonly Entry[] = Object.entries(busMessages).map(([name, message]) => ({
  name: name as BusName,
  from: message.from,
  to: message.to,
  shape: struct(message.fields),
  answer: 'answer' in message ? (message.answer as Shape<unknown>) : null,
  deadline: 'deadline' in message ? message.deadline : 0,
}))
const indexOf = new Map<string, number>(entries.map((entry, index) => [entry.name, index]))

/** False where this message has none, or has its octets already. */
function putTail(entry: Entry, body: unknown, tail: Uint8Array): boolean {
  const field = tailOf[entry.name]
  if (field === undefined || typeof body !== 'object' || body === null) return false
  const fields = body as Record<string, unknown>
  if (fields[field] !== null) return false
  fields[field] = tail
  return true
}

export class Peer {
  /** Who is at the other end; null until its hello was accepted (or, for the dialling side, from the start). */
  identity: Identity | null = null
  /** Null where the kernel cannot tell. */
  credentials: Credentials | null = null
  readonly #options: PeerOptions
  readonly #waiting = new Map<number, Waiting>()
  #remoteRole: Role | null = null
  #lastRequest = 0
  #out: Uint8Array[] = []
  /** There is a tail in `#out`. */
  #tails = false
  readonly #reader = new FrameReader((head, tail) => this.#frame(head, tail))
  #sweeper: NodeJS.Timeout | null = null
  #ended = false

  constructor(options: PeerOptions) {
    this.#options = options
    const { socket, listen } = options
    const onOctets: OnOctets = (octets) => this.#heard(octets)
    if (listen) listen(onOctets)
    else socket.on('data', onOctets)
    socket.on('error', () => undefined) // 'close' follows and tells the rest
    socket.on('close', () => this.#finish(''))
  }

  /** From now on only messages that this role may send are accepted. */
  setRemoteRole(role: Role): void {
    this.#remoteRole = role
  }

  get remoteRole(): Role | null {
    return this.#remoteRole
  }

  get ended(): boolean {
    return this.#ended
  }

  send<N extends EventName>(name: N, payload: Payload<N>): void {
    this.#say(name, 0, payload)
  }

  request<N extends RequestName>(name: N, payload: Payload<N>): Promise<Answer<N>> {
    if (this.#ended) return Promise.reject(new BusLost(`${name}: no connection`))
    const deadline = busMessages[name].deadline
    const id = ++this.#lastRequest
    this.#say(name, id, payload)
    return new Promise<Answer<N>>((resolve, reject) => {
      const until = deadline === 0 ? Number.POSITIVE_INFINITY : Date.now() + deadline
      this.#waiting.set(id, { name, until, resolve: resolve as (answer: never) => void, reject })
      this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS).unref()
    })
  }

  #say(name: BusName, id: number, payload: Readonly<Record<string, unknown>>): void {
    const field = tailOf[name]
    const octets = field === undefined ? null : payload[field]
    if (field === undefined || !(octets instanceof Uint8Array) || octets.length < LEAST_TAIL)
      return this.#write([indexOf.get(name), id, payload])
    this.#write([indexOf.get(name), id, { ...payload, [field]: null }], octets)
  }

  /** Sends what is waiting, then ends the connection. */
  close(): void {
    this.#flush()
    this.#options.socket.end()
  }

  destroy(trouble: string): void {
    this.#options.socket.destroy()
    this.#finish(trouble)
  }

  #write(message: readonly unknown[], tail: Uint8Array | null = null): void {
    if (this.#ended) return
    if (this.#out.length === 0) setImmediate(() => this.#flush())
    this.#out.push(packFrame(message, tail))
    if (!tail) return
    this.#out.push(tail)
    this.#tails = true
  }

  #flush(): void {
    const { socket } = this.#options
    if (this.#out.length === 0 || this.#ended) return
    const batch = this.#out
    this.#out = []
    if (socket.writableLength > MAX_UNREAD) return this.destroy('the peer does not read')
    if (!this.#tails) {
      socket.write(batch.length === 1 ? (batch[0] as Uint8Array) : Buffer.concat(batch))
      return
    }
    this.#tails = false
    socket.cork()
    for (const part of batch) socket.write(part)
    socket.uncork()
  }

  #heard(octets: Buffer): void {
    if (this.#ended) return
    try {
      this.#reader.push(octets)
    } catch (error) {
      if (!(error instanceof FrameTrouble)) throw error
      this.destroy(error.message)
    }
  }

  #frame(head: Uint8Array, tail: Uint8Array | null): void {
    if (this.#ended) return
    let message: unknown
    try {
      message = unpackHead(head)
    } catch {
      return this.destroy('a frame that is not msgpack')
    }
    if (!Array.isArray(message) || message.length !== 3) return this.destroy('a frame of unknown form')
    const [index, id, body] = message as [unknown, unknown, unknown]
    if (typeof id !== 'number') return this.destroy('a frame of unknown form')
    if (index === ANSWER || index === FAILED) return this.#answered(index, id, body)
    const entry = typeof index === 'number' ? entries[index] : undefined
    if (!entry) return this.destroy(`a message of unknown name ${String(index)}`)
    if (tail && !putTail(entry, body, tail)) return this.destroy(`${entry.name} with octets behind it`)
    this.#dispatch(entry, id, body)
  }

  #dispatch(entry: Entry, id: number, body: unknown): void {
    const trouble = this.#whyRefused(entry, body)
    if (trouble) return this.destroy(trouble)
    const handler = this.#options.handlers[entry.name] as Handler | undefined
    if (!handler) return this.destroy(`${entry.name}: nobody here takes it`)
    try {
      const result = handler(body, this)
      if (!entry.answer) return
      if (result instanceof Promise) {
        result.then(
          (answer: unknown) => this.#write([ANSWER, id, answer]),
          (error: unknown) => this.#panicked(entry.name, id, error),
        )
      } else this.#write([ANSWER, id, result])
    } catch (error) {
      this.#panicked(entry.name, id, error)
    }
  }

  #panicked(name: BusName, id: number, error: unknown): void {
    this.#options.onPanic(error, name)
    if (id !== 0) this.#write([FAILED, id, String(error)])
  }

  #whyRefused(entry: Entry, body: unknown): string {
    const role = this.#remoteRole
    if (role === null && entry.name !== 'hello') return `${entry.name} before hello`
    if (role !== null && !entry.from.includes(role)) return `${entry.name} is not for ${role} to send`
    if (!entry.to.includes(this.#options.self)) return `${entry.name} is not for ${this.#options.self}`
    return entry.shape.accepts(body) ? '' : entry.shape.explain(body, entry.name)
  }

  #answered(index: number, id: number, body: unknown): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return // its deadline has passed
    this.#waiting.delete(id)
    if (index === FAILED) return waiting.reject(new BusLost(`${waiting.name}: failed there: ${String(body)}`))
    const shape = busMessages[waiting.name].answer as Shape<unknown>
    if (shape.accepts(body)) return waiting.resolve(body as never)
    const trouble = shape.explain(body, `${waiting.name} answer`)
    waiting.reject(new BusLost(trouble))
    this.destroy(trouble)
  }

  #sweep(): void {
    const now = Date.now()
    for (const [id, waiting] of this.#waiting) {
      if (waiting.until > now) continue
      this.#waiting.delete(id)
      waiting.reject(new BusTimeout(`${waiting.name}: no answer in time`))
    }
  }

  #finish(trouble: string): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#sweeper) clearInterval(this.#sweeper)
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new BusLost(`${waiting.name}: the connection ended${trouble ? `: ${trouble}` : ''}`))
    }
    this.#waiting.clear()
    this.#options.onEnd(trouble)
  }
}
