/**
 * From the answer to an MX query to the hosts to look up (RFC 5321 section 5.1). Pure.
 *
 * Sorted by preference, then by name so that equal sets give equal destinations; smtpc draws lots among equals.
 * Exchangers whose name is none (an address, an empty label) are passed over. Ourselves and everything of the
 * same or a higher number is cut away, or mail would go in circles; `localhost` is ourselves, too (RFC 6761 section 6.3).
 * Limit: MOST_EXCHANGERS.
 */
import { parseDomain } from '../../shared/smtp/address.ts'
import type { Answer } from './dns/answer.ts'

export interface Exchanger {
  host: string
  preference: number
}

export type Exchangers =
  /** secure: DNSSEC proves that these are the ones, or that there are none. */
  | { kind: 'hosts'; hosts: Exchanger[]; ttl: number; secure: boolean }
  /** No MX: the domain itself is its host. */
  | { kind: 'implicit'; ttl: number; secure: boolean }
  | { kind: 'null-mx'; ttl: number }
  /** Ourselves, with nobody before us. */
  | { kind: 'loop'; ttl: number }
  | { kind: 'unusable'; ttl: number }
  | { kind: 'nxdomain'; ttl: number }
  | { kind: 'failed'; why: string }

/** RFC 5321 section 5.1 asks for two addresses at least; a longer list is of no use to one attempt. */
const MOST_EXCHANGERS = 16

export function readExchangers(answer: Answer, hostname: string): Exchangers {
  const { ttl } = answer
  switch (answer.kind) {
    case 'failed':
      return { kind: 'failed', why: answer.why }
    case 'nxdomain':
      return { kind: 'nxdomain', ttl }
    case 'nodata':
      return { kind: 'implicit', ttl, secure: answer.secure }
    case 'records': {
      const all = answer.records.flatMap((record) =>
        record.kind === 'mx' ? [{ host: record.exchange, preference: record.preference }] : [],
      )
      // RFC 7505 section 3: the one record, with the root as its host
      if (all.length === 1 && all[0]?.host === '') return { kind: 'null-mx', ttl }
      return choose(all, hostname.toLowerCase(), answer)
    }
    default: {
      const never: never = answer
      throw new Error(`unknown answer ${String(never)}`)
    }
  }
}

function choose(
  all: readonly Exchanger[],
  hostname: string,
  { ttl, secure }: { ttl: number; secure: boolean },
): Exchangers {
  const usable = all.filter(({ host }) => parseDomain(host) !== null)
  if (usable.length === 0) return { kind: 'unusable', ttl }
  const before = better(usable, ({ host }) => host === hostname || isLocalhost(host))
  if (before.length === 0) return { kind: 'loop', ttl }
  return { kind: 'hosts', hosts: sorted(before).slice(0, MOST_EXCHANGERS), ttl, secure }
}

/** Who stands before the first of ours. */
export function better<T extends { preference: number }>(
  all: readonly T[],
  isOurs: (one: T) => boolean,
): T[] {
  const own = Math.min(...all.filter(isOurs).map(({ preference }) => preference))
  return all.filter(({ preference }) => preference < own)
}

function isLocalhost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost')
}

function sorted(hosts: readonly Exchanger[]): Exchanger[] {
  const best = new Map<string, Exchanger>()
  for (const one of hosts) {
    const known = best.get(one.host)
    if (!known || one.preference < known.preference) best.set(one.host, one)
  }
  return [...best.values()].sort((a, b) => a.preference - b.preference || (a.host < b.host ? -1 : 1))
}
