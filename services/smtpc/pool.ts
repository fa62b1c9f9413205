/**
 * All connections of this process: which are idle, for whom, and whose time is up.
 *
 * qmgr bounds how many transactions run to a destination, so the pool only reuses. A place behind a transaction
 * that has just begun with a fast host comes first (`Connection.mayQueue`), then the idle connection that was used
 * last; what is not needed any more grows old and is told QUIT. One timer looks at all
 * deadlines, as often as the shortest configured time asks for, and only while there are connections.
 */
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Host } from '../../shared/message/route.ts'
import { Companies, type Place, type Terms } from './company.ts'
import { Connection, type Keeper } from './connection.ts'
import type { Session } from './dial.ts'
import { leadsTo } from './hosts.ts'
import type { SessionCounts } from './session-counts.ts'
import { Tickets } from './tickets.ts'

const LONGEST_SWEEP_MS = 1000

export class Pool implements Keeper {
  readonly tickets = new Tickets()
  readonly counts: SessionCounts
  readonly #all = new Set<Connection>()
  readonly #companies = new Companies((connection) => {
    remove(this.#idle, connection)
    connection.quit()
  })
  readonly #idle = new Map<string, Connection[]>()
  readonly #busy = new Map<string, Connection[]>()
  #slice: SmtpcSlice
  #sweeper: NodeJS.Timeout | null = null
  #draining = false

  /** @param counts sessions, for reports */
  constructor(slice: SmtpcSlice, counts: SessionCounts) {
    this.#slice = slice
    this.counts = counts
    this.counts.settings = slice.tlsReports
  }

  get slice(): SmtpcSlice {
    return this.#slice
  }

  set slice(slice: SmtpcSlice) {
    this.#slice = slice
    this.counts.settings = slice.tlsReports
  }

  get size(): number {
    return this.#all.size
  }

  get idle(): number {
    let count = 0
    for (const connections of this.#idle.values()) count += connections.length
    return count
  }

  /** A connection to one of `hosts` that is idle or where a job may wait, or null. */
  take(key: string, hosts: readonly Host[]): Connection | null {
    return (
      takeLast(this.#busy, key, (connection) => connection.mayQueue && leadsTo(hosts, connection.target)) ??
      takeLast(this.#idle, key, (connection) => {
        const fits = leadsTo(hosts, connection.target)
        if (!fits) connection.quit()
        return fits
      })
    )
  }

  /** For a connection that is about to be dialled: an idle one of its group leaves, where there are too many. */
  reserve(terms: Terms): Place | null {
    return this.#companies.reserve(terms)
  }

  /** Makes a fresh session a connection; it is not idle, the caller uses it. */
  adopt(key: string, session: Session, lmtp: boolean, terms: Terms): Connection {
    const connection = new Connection(key, session, lmtp, this.#slice.timeouts, this)
    connection.terms = terms
    this.#companies.joined(connection)
    this.#all.add(connection)
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#sweepInterval())
    return connection
  }

  onFree(connection: Connection): void {
    if (this.#draining || this.#isSpent(connection) || this.#companies.isCrowded(connection)) {
      return connection.quit()
    }
    connection.deadline = Date.now() + (connection.terms?.idle ?? this.#slice.connectionIdle)
    add(this.#idle, connection)
  }

  onBusy(connection: Connection): void {
    if (!this.#isSpent(connection)) add(this.#busy, connection)
  }

  onClosed(connection: Connection): void {
    this.#all.delete(connection)
    this.#companies.left(connection)
    remove(this.#idle, connection)
    remove(this.#busy, connection)
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

  #isSpent({ served, terms, mostTransactions }: Connection): boolean {
    return served >= Math.min(terms?.transactions ?? this.#slice.transactionsPerConnection, mostTransactions)
  }

  #sweepInterval(): number {
    const shortest = Math.min(this.#slice.connectionIdle, ...Object.values(this.#slice.timeouts))
    return Math.max(10, Math.min(LONGEST_SWEEP_MS, shortest / 2))
  }

  #sweep(): void {
    const now = Date.now()
    for (const connection of this.#all) {
      if (connection.deadline > now) continue
      remove(this.#idle, connection)
      connection.expire()
    }
  }
}

function add(lists: Map<string, Connection[]>, connection: Connection): void {
  const list = lists.get(connection.key)
  if (list) list.push(connection)
  else lists.set(connection.key, [connection])
}

function remove(lists: Map<string, Connection[]>, connection: Connection): void {
  const list = lists.get(connection.key)?.filter((one) => one !== connection)
  if (list && list.length > 0) lists.set(connection.key, list)
  else lists.delete(connection.key)
}

/** The last that `fits`; those after it are dropped from the list. */
function takeLast(
  lists: Map<string, Connection[]>,
  key: string,
  fits: (connection: Connection) => boolean,
): Connection | null {
  const list = lists.get(key)
  let found: Connection | null = null
  while (list && !found && list.length > 0) {
    const last = list.pop()
    if (last && fits(last)) found = last
  }
  if (list?.length === 0) lists.delete(key)
  return found
}
