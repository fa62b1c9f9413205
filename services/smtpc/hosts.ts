/**
 * In which order the hosts of a route are tried (RFC 5321 section 5.1), and what it means when all have failed.
 *
 * Lower preference first, equal ones in an order drawn by their weights; of each host's addresses IPv6 and IPv4 take turns (RFC 8305
 * section 4) and are raced (`race.ts`); at most MAX_TRIES connections in one attempt. A host that cannot be reached, or greets with anything but 220, passes
 * the attempt on to the next. When none is left the destination is in trouble and the mail stays queued: a 554
 * greeting is as often said to us (a block list) as of the host. Only when every host says 521, "never takes
 * mail" (RFC 7504 section 3), does the mail return.
 */
import { isIP, isIPv6 } from 'node:net'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Host } from '../../shared/message/route.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { isUnmet } from './demand.ts'

/** RFC 5321 section 5.1 asks for at least two. */
export const MAX_TRIES = 16

export interface Target {
  name: string
  address: string
  port: number
}

/** @param random gives numbers in [0, 1). */
export function orderTargets(
  hosts: readonly Host[],
  random: () => number,
  /** Whether this host is tried by IPv6 first. */
  sixFirst: (name: string) => boolean = () => true,
): Target[] {
  // Lots drawn by weight: the time until each host's first event, where its weight is the rate.
  const keyed = hosts.map((host) => ({ host, order: -Math.log(1 - random()) / (host.weight ?? 1) }))
  keyed.sort((a, b) => a.host.preference - b.host.preference || a.order - b.order)
  return keyed
    .flatMap(({ host: { name, addresses, port } }) =>
      takeTurns(addresses, sixFirst(name)).map((address) => ({ name, address, port })),
    )
    .filter(isReachable)
    .slice(0, MAX_TRIES)
}

/** The first family first, then one of each, in the order that they have. */
function takeTurns(addresses: readonly string[], sixFirst: boolean): string[] {
  const [six, four] = [addresses.filter(isIPv6), addresses.filter((address) => !isIPv6(address))]
  const [first, second] = sixFirst ? [six, four] : [four, six]
  const longest = Math.max(first.length, second.length)
  return Array.from({ length: longest }, (_, n) => [
    ...first.slice(n, n + 1),
    ...second.slice(n, n + 1),
  ]).flat()
}

/** The targets that are raced: the first, and those behind it that are the same host's. */
export function firstHost(targets: readonly Target[]): Target[] {
  const [first] = targets
  const end = targets.findIndex(({ name, port }) => name !== first?.name || port !== first.port)
  return targets.slice(0, end < 0 ? targets.length : end)
}

/** A name instead of an address, or a port that is none, would make the system ask DNS or throw. */
function isReachable(target: Target): boolean {
  return (
    isSocketPath(target.address) || (isIP(target.address) !== 0 && target.port > 0 && target.port < 65536)
  )
}

/** A unix socket of this machine. */
export function isSocketPath(address: string): boolean {
  return address.startsWith('/')
}

/** Whether a kept connection still leads to a host of the route. */
export function leadsTo(hosts: readonly Host[], target: Target): boolean {
  for (const host of hosts) {
    if (host.port === target.port && host.addresses.includes(target.address)) return true
  }
  return false
}

/** RFC 3463 section 3.4, in our own words (`source.ts`): the mail waits, and no host is to blame. */
function isOurMistake({ enhanced, host }: Reply): boolean {
  return enhanced === '4.3.5' && host === ''
}

/** @param failures what each target tried gave, in order. */
export function whenAllFailed(failures: readonly Reply[]): Outcome {
  const last = failures[failures.length - 1]
  if (!last)
    return { kind: 'later', reply: own(451, '4.4.4', 'the route has no address'), blame: 'destination' }
  // RFC 8689 section 4.2.1: nobody there to whom it may be given
  if (failures.every((reply) => reply.enhanced === '5.7.30' && reply.host === ''))
    return { kind: 'never', reply: last }
  if (failures.every((reply) => reply.code === 521 && reply.host !== ''))
    return { kind: 'never', reply: last }
  if (failures.every(isOurMistake)) return { kind: 'later', reply: last, blame: 'ours' }
  const unmet = failures.find(isUnmet)
  if (unmet) return { kind: 'later', reply: unmet, blame: 'message' }
  return { kind: 'later', reply: last, blame: 'destination' }
}
