/**
 * Which section of the config speaks for a next hop: patterns against the names and addresses of a route's hosts. Pure,
 * linear in the text for each part of a pattern, which may come from anybody.
 */
import type { Host, Route } from './route.ts'

/** `*` stands for any text; no pattern is for all. */
export function fits(pattern: string | undefined, text: string): boolean {
  if (pattern === undefined || pattern === text) return true
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined || !text.startsWith(first)) return false
  let at = first.length
  for (const part of rest) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return text.length - last.length >= at && text.endsWith(last)
}

/** Whether a pattern, in lower case, is for one of the hosts, by name or address. */
export function namesOne(patterns: readonly string[], hosts: readonly Host[]): boolean {
  return hosts.some(({ name, addresses }) => {
    const names = [name.toLowerCase(), ...addresses]
    return patterns.some((pattern) => names.some((one) => fits(pattern, one)))
  })
}

/** The first section that names a host that is tried first, else any of the hosts: a backup says less. */
export function serverFor<S extends { match: readonly string[] }>(
  route: Route,
  servers: readonly S[],
): S | null {
  if (route.kind !== 'smtp') return null
  const best = Math.min(...route.hosts.map(({ preference }) => preference))
  const foremost = route.hosts.filter(({ preference }) => preference === best)
  return (
    servers.find(({ match }) => namesOne(match, foremost)) ??
    servers.find(({ match }) => namesOne(match, route.hosts)) ??
    null
  )
}
