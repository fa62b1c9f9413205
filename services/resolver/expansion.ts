/**
 * What an address stands for: aliases followed to their ends, in the order of the file, each end once. Pure; it
 * asks the `Directory` it is given.
 *
 * In a local zone a name is looked for as an alias, then as a user, then both again without its `+detail`. An
 * alias that names itself means its own mailbox. An end is a mailbox, an address in a zone that is not local, or
 * a failure, which has the address that failed. A loop, an alias that cannot be followed and a breach of the
 * limits make the whole address fail: nobody could say who is missing.
 *
 * Limits: MOST_DEPTH aliases in a chain, MOST_ENDS ends and aliases in all.
 */

import type { Alias, AliasTarget } from '../../shared/config/alias-file.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { type Address, formatAddress } from '../../shared/smtp/address.ts'
import type { User } from './users.ts'

export const MOST_DEPTH = 20
export const MOST_ENDS = 1000

/** What is known of a name: 'unreadable' when a file is missing or faulty where it would say. */
export type Found<T> = T | 'unreadable' | null

export interface Directory {
  zone(domain: string): ZoneSlice | null
  /** @param domain the address's own, of which the zone may have many. */
  alias(zone: ZoneSlice, name: string, domain: string): Found<Alias>
  user(zone: ZoneSlice, name: string, domain: string): Found<User>
  /** Who takes what nobody else does. */
  rest?(zone: ZoneSlice, name: string, domain: string): Found<Alias>
  /** Whether a relay zone knows the address; absent: it knows all. */
  recipient?(zone: ZoneSlice, address: Address): Found<true>
  /** The domain of `<postmaster>`. */
  readonly primary: string | null
  /** Between user and detail; '' for none. */
  readonly delimiter: string
}

export type Failure =
  | { kind: 'unknown' }
  | { kind: 'no-zone' }
  | { kind: 'unreadable' }
  | { kind: 'loop'; path: string[] }
  | { kind: 'too-deep'; path: string[] }
  | { kind: 'too-many' }
  | { kind: 'unsupported'; alias: string; line: number; what: string }
  | { kind: 'faulty-alias'; alias: string; line: number; text: string }

export type End =
  | { kind: 'mailbox'; address: Address; zone: ZoneSlice; user: User }
  | { kind: 'elsewhere'; address: Address; zone: ZoneSlice }
  | { kind: 'failed'; address: Address; failure: Failure }

interface Walk {
  readonly directory: Directory
  readonly ends: Map<string, End>
  readonly seen: Set<string>
  /** Set by what makes all of the address fail. */
  fatal: Failure | null
}

/** @param follow false: `address` was made by an alias, only mailboxes are looked for. */
export function expand(address: Address, directory: Directory, follow: boolean): End[] {
  const walk: Walk = { directory, ends: new Map(), seen: new Set(), fatal: null }
  visit(walk, address, [], follow)
  return walk.fatal ? [{ kind: 'failed', address, failure: walk.fatal }] : [...walk.ends.values()]
}

function visit(walk: Walk, asked: Address, path: readonly string[], follow: boolean): void {
  if (walk.fatal) return
  const { directory } = walk
  const address = qualify(asked, directory.primary)
  const zone = address.domain === '' ? null : directory.zone(address.domain)
  if (!zone) return fail(walk, asked, { kind: 'no-zone' })
  if (zone.type !== 'local') return passOn(walk, address, zone)
  const found = lookUp(walk, zone, address, path, follow)
  if (found === 'unreadable') return fail(walk, address, { kind: 'unreadable' })
  if (found === null) return visitPostmaster(walk, address, path, follow)
  if ('uid' in found) return end(walk, { kind: 'mailbox', address, zone, user: found })
  followAlias(walk, address, zone, found, path)
}

/** RFC 5321 section 4.5.1: postmaster is there, whatever the map of recipients says. */
function passOn(walk: Walk, address: Address, zone: ZoneSlice): void {
  const asks = zone.recipients !== null && address.local.toLowerCase() !== 'postmaster'
  const known = asks ? walk.directory.recipient?.(zone, address) : true
  if (known === 'unreadable') fail(walk, address, { kind: 'unreadable' })
  else if (known === null) fail(walk, address, { kind: 'unknown' })
  else end(walk, { kind: 'elsewhere', address, zone })
}

/** RFC 5321 section 4.5.1: a domain without a postmaster of its own has that of the first one. */
function visitPostmaster(walk: Walk, address: Address, path: readonly string[], follow: boolean): void {
  const { primary } = walk.directory
  if (address.local.toLowerCase() !== 'postmaster' || primary === null || address.domain === primary)
    return fail(walk, address, { kind: 'unknown' })
  visit(walk, { local: 'postmaster', domain: primary }, path, follow)
}

function qualify(address: Address, primary: string | null): Address {
  if (address.domain !== '' || address.local.toLowerCase() !== 'postmaster') return address
  return { local: address.local, domain: primary ?? '' }
}

/** The last of `path` is the alias that asks: its own name means the mailbox. */
function lookUp(
  { directory }: Walk,
  zone: ZoneSlice,
  { local, domain }: Address,
  path: readonly string[],
  follow: boolean,
): Found<Alias | User> {
  const name = local.toLowerCase()
  for (const candidate of namesOf(name, directory.delimiter)) {
    const alias = follow ? directory.alias(zone, candidate, domain) : null
    if (alias === 'unreadable') return alias
    const user =
      alias && path[path.length - 1] !== keyOf(zone, alias) ? null : directory.user(zone, candidate, domain)
    if (user === 'unreadable') return user
    const found = user ?? alias
    if (found) return found
  }
  return (follow && directory.rest?.(zone, name, domain)) || null
}

function namesOf(name: string, delimiter: string): string[] {
  const at = delimiter === '' ? -1 : name.indexOf(delimiter, 1)
  return at < 0 ? [name] : [name, name.slice(0, at)]
}

function followAlias(
  walk: Walk,
  address: Address,
  zone: ZoneSlice,
  alias: Alias,
  path: readonly string[],
): void {
  const key = keyOf(zone, alias)
  const longer = [...path, key]
  if (path.includes(key)) walk.fatal ??= { kind: 'loop', path: longer }
  else if (longer.length > MOST_DEPTH) walk.fatal ??= { kind: 'too-deep', path: longer }
  if (walk.fatal || walk.seen.has(key)) return
  walk.seen.add(key)
  count(walk)
  for (const target of alias.targets) visitTarget(walk, address, alias, target, longer)
}

function visitTarget(
  walk: Walk,
  from: Address,
  alias: Alias,
  target: AliasTarget,
  path: readonly string[],
): void {
  const { name, line } = alias
  switch (target.kind) {
    case 'unsupported':
      walk.fatal ??= { kind: 'unsupported', alias: name, line, what: target.what }
      return
    case 'faulty':
      walk.fatal ??= { kind: 'faulty-alias', alias: name, line, text: target.text }
      return
    case 'address': {
      const { local, domain } = target.address
      return visit(walk, { local, domain: domain || from.domain }, path, !target.final)
    }
    default: {
      const never: never = target
      throw new Error(`unknown target ${String(never)}`)
    }
  }
}

function end(walk: Walk, one: End): void {
  const { local, domain } = one.address
  const key = formatAddress({ local: one.kind === 'elsewhere' ? local : local.toLowerCase(), domain })
  if (walk.ends.has(key)) return
  walk.ends.set(key, one)
  count(walk)
}

function fail(walk: Walk, address: Address, failure: Failure): void {
  end(walk, { kind: 'failed', address, failure })
}

function count(walk: Walk): void {
  if (walk.ends.size + walk.seen.size > MOST_ENDS) walk.fatal ??= { kind: 'too-many' }
}

function keyOf(zone: ZoneSlice, alias: Alias): string {
  return `${alias.name}@${zone.name}`
}
