/**
 * On what terms mail goes to a destination: which group it shares limits with, how much that group gets, and what
 * `server` section speaks for it. Pure, with a memory of what was worked out since the config came into force.
 *
 * A *destination* is a list of hosts: what can share a connection, and what is alive or dead. A *group* is all
 * destinations of one provider: the `server` section that names one of their hosts, else the provider that the
 * resolver saw in the names of the mail exchangers, else the destination alone.
 */
import type { QmgrSlice, ScheduleSlice, ServerSlice } from '../../shared/config/slices.ts'
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'
import { serverFor } from '../../shared/message/next-hop.ts'
import type { Route } from '../../shared/message/route.ts'
import type { Limits } from './group.ts'

export interface Terms {
  group: string
  limits: Limits
  /** Connections that one destination may have where there are others in the group. */
  share: number
  /** Recipients of one transaction. */
  recipients: number
  /** What smtpc has to know, where it is not what it does anyway. */
  connections: ConnectionTerms | null
  /** The `server` section's. */
  schedule: ScheduleSlice | null
}

export type TermsSlice = Pick<
  QmgrSlice,
  'servers' | 'initialConcurrency' | 'maxConcurrency' | 'recipientsPerTransaction'
>

const MOST_REMEMBERED = 10_000

/** `of` is asked for every message: it looks up what it can. */
export class TermsTable {
  readonly #slice: () => TermsSlice
  readonly #known = new Map<string, Terms>()
  #for: TermsSlice | null = null

  constructor(slice: () => TermsSlice) {
    this.#slice = slice
  }

  of(route: Route): Terms {
    const slice = this.#slice()
    if (slice !== this.#for || this.#known.size >= MOST_REMEMBERED) this.#known.clear()
    this.#for = slice
    const known = this.#known.get(route.destination)
    if (known) return known
    const terms = termsFor(route, slice)
    this.#known.set(route.destination, terms)
    return terms
  }
}

export function termsFor(route: Route, slice: TermsSlice): Terms {
  const server = serverFor(route, slice.servers)
  const most = server?.maxConnections ?? slice.maxConcurrency
  const group = groupOf(route, server)
  const limits = { initial: Math.min(slice.initialConcurrency, most), max: most, rate: server?.rate ?? null }
  return {
    group,
    limits,
    // Hosts of one domain name are not always one provider's: a slow one must not take all there is.
    share: server || group === route.destination ? most : Math.ceil(most / 2),
    recipients: server?.recipientsPerTransaction ?? slice.recipientsPerTransaction,
    connections: server || group !== route.destination ? connectionTerms(group, most, server) : null,
    schedule: server?.schedule ?? null,
  }
}

/** No name of a host has a space. */
function groupOf(route: Route, server: ServerSlice | null): string {
  if (server) return `server ${server.name}`
  return route.kind === 'smtp' && route.provider !== undefined ? route.provider : route.destination
}

function connectionTerms(group: string, most: number, server: ServerSlice | null): ConnectionTerms {
  return {
    group,
    most,
    ...(server?.transactionsPerConnection && { transactions: server.transactionsPerConnection }),
    ...(server && server.connectionIdle !== null && { idle: server.connectionIdle }),
  }
}
