/** How many connections and what rate a destination gets: the `qmgr` options, and the `server` block that matches it. */
import type { QmgrSlice, ServerSlice } from '../../shared/config/slices.ts'
import type { Route } from '../../shared/message/route.ts'
import type { Limits } from './destination.ts'

export function limitsFor(route: Route, slice: QmgrSlice): Limits {
  const server = route.kind === 'smtp' ? matching(route, slice.servers) : undefined
  const max = server?.maxConnections ?? slice.maxConcurrency
  return { initial: Math.min(slice.initialConcurrency, max), max, rate: server?.rate ?? null }
}

/** The first block that names one of the next hops, or the destination itself. */
function matching(
  route: Extract<Route, { kind: 'smtp' }>,
  servers: readonly ServerSlice[],
): ServerSlice | undefined {
  const names = [...route.hosts.map((host) => host.name), ...route.hosts.flatMap((host) => host.addresses)]
  return servers.find(({ match }) => names.some((name) => fits(match.toLowerCase(), name.toLowerCase())))
}

/** `*` stands for anything; `*.example.org` is for every host below. */
function fits(pattern: string, name: string): boolean {
  if (!pattern.includes('*')) return pattern === name
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
