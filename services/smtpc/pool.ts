/**
 * All connections of this process: which are idle, for whom, and whose time is up.
 *
 * qmgr bounds how many transactions run to a destination, so the pool only reuses: the connection that was used
 * last is taken first, and what is not needed any more grows old and is told QUIT. One timer looks at all
 * deadlines, as often as the shortest configured time asks for, and only while there are connections.
 */
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Host } from '../../shared/message/route.ts'
import { Connection, type Keeper } from './connection.ts'
import type { Session } from './dial.ts'
import { leadsTo } from './hosts.ts'

const LONGEST_SWEEP_MS = 1000

export class Pool implements Keeper {
  readonly #all = new Set<Connection>()
  readonly #idle = new Map<string, Connection[]>()
  #slice: SmtpcSlice
  #sweeper: NodeJS.Timeout | null = null
  #draining = false

  constructor(slice: SmtpcSlice) {
    this.#slice = slice
  }

  get slice(): SmtpcSlice {
    return this.#slice
  }

  set slice(slice: SmtpcSlice) {
    this.#slice = slice
  }

  get size(): number {
    return this.#all.size
  }

  get idle(): number {
    let count = 0
    for (const connections of this.#idle.values()) count += connections.length
    return count
  }

  /** An idle connection to one of `hosts`, or null. */
  take(key: string, hosts: readonly Host[]): Connection | null {
    const connections = this.#idle.get(key)
    if (!connections) return null
    let found: Connection | null = null
    while (!found && connections.length > 0) {
      const candidate = connections.pop()
      if (candidate && leadsTo(hosts, candidate.target)) found = candidate
      else candidate?.quit()
    }
    if (connections.length === 0) this.#idle.delete(key)
    return found
  }

  /** Makes a fresh session a connection; it is not idle, the caller uses it. */
  adopt(key: string, session: Session, lmtp: boolean): Connection {
    const connection = new Connection(key, session, lmtp, this.#slice.timeouts, this)
    this.#all.add(connection)
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#sweepInterval())
    return connection
  }

  onFree(connection: Connection): void {
    if (this.#draining || connection.served >= this.#slice.transactionsPerConnection) return connection.quit()
    connection.deadline = Date.now() + this.#slice.connectionIdle
    const connections = this.#idle.get(connection.key)
    if (connections) connections.push(connection)
    else this.#idle.set(connection.key, [connection])
  }

  onClosed(connection: Connection): void {
    this.#all.delete(connection)
    this.#forgetIdle(connection)
    if (this.#all.size > 0 || !this.#sweeper) return
    clearInterval(this.#sweeper)
    this.#sweeper = null
  }

  /** From now on nothing is kept: idle connections leave, the others when they are done. */
  drain(): void {
    this.#draining = true
    const idle = [...this.#idle.values()].flat()
    this.#idle.clear()
    for (const connection of idle) connection.quit()
  }

  #forgetIdle(connection: Connection): void {
    const connections = this.#idle.get(connection.key)
    const at = connections?.indexOf(connection) ?? -1
    if (!connections || at < 0) return
    connections.splice(at, 1)
    if (connections.length === 0) this.#idle.delete(connection.key)
  }

  #sweepInterval(): number {
    const shortest = Math.min(this.#slice.connectionIdle, ...Object.values(this.#slice.timeouts))
    return Math.max(10, Math.min(LONGEST_SWEEP_MS, shortest / 2))
  }

  #sweep(): void {
    const now = Date.now()
    for (const connection of this.#all) {
      if (connection.deadline > now) continue
      this.#forgetIdle(connection)
      connection.expire()
    }
  }
}
