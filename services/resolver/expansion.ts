/**
 * What an address stands for: aliases followed to their ends, in the order of the file, each end once. Pure; it
 * asks the `Directory` it is given.
 *
 * In a local zone a name is looked for as an alias, then as a user, then both again without its `+detail`. An
 * alias that names itself means its own mailbox. An end is a mailbox, an address in a zone that is not local, a
 * command or a file of an alias, a list, or a failure, which has the address that failed. A loop, an alias that cannot
 * be followed and too long a chain make the whole address fail: nobody could say who is missing.
 *
 * A list is not entered here, its members are gone through later and piece by piece (`list-walk.ts`): an alias with
 * `:include:`, one with a long line, one that has an owner (`owner-NAME`), and whatever comes to more than MOST_ENDS.
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
  | { kind: 'unsupported'; alias: string; line: number; text: string }
  | { kind: 'faulty-alias'; alias: string; line: number; text: string }

export type End =
  | { kind: 'mailbox'; address: Address; zone: ZoneSlice; user: User }
  | { kind: 'elsewhere'; address: Address; zone: ZoneSlice }
  | CommandOrFile
  | ListEnd
  | { kind: 'failed'; address: Address; failure: Failure }

/** `address` is the name by which the queue knows it: `|command` or `/file` at the domain of `via`, its alias. */
export interface CommandOrFile {
  kind: 'pipe' | 'file'
  address: Address
  zone: ZoneSlice
  via: Address
  text: string
}

export interface ListEnd {
  kind: 'list'
  address: Address
  zone: ZoneSlice
  alias: Alias
  /** Who is told of trouble with it. */
  owner: Address | null
}

interface Walk {
  readonly directory: Directory
  readonly ends: Map<string, End>
  readonly seen: Set<string>
  /** Set by what makes all of the address fail. */
  fatal: Failure | null
  /** The first alias on the way, as a list. */
  first: ListEnd | null
  /** More than can be gone through at once. */
  tooMany: boolean
}

/**
 * @param follow false: `address` was made by an alias, only mailboxes are looked for.
 * @param path the aliases that led here, outermost first.
 */
export function expand(
  address: Address,
  directory: Directory,
  follow: boolean,
  path: readonly string[] = [],
): End[] {
  const walk: Walk = { directory, ends: new Map(), seen: new Set(), fatal: null, first: null, tooMany: false }
  visit(walk, address, path, follow)
  if (walk.fatal) return [{ kind: 'failed', address, failure: walk.fatal }]
  return walk.tooMany && walk.first ? [walk.first] : [...walk.ends.values()]
}

function visit(walk: Walk, asked: Address, path: readonly string[], follow: boolean): void {
  if (walk.fatal || walk.tooMany) return
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
  const owner = ownerOf(walk.directory, zone, alias, address.domain)
  if (owner === 'unreadable') return fail(walk, address, { kind: 'unreadable' })
  const list: ListEnd = { kind: 'list', address, zone, alias, owner }
  walk.first ??= list
  if (owner || isLong(alias)) return end(walk, list)
  count(walk)
  for (const target of alias.targets) visitTarget(walk, list, target, longer)
}

function isLong({ members, targets }: Alias): boolean {
  return members !== undefined || targets.some(({ kind }) => kind === 'include')
}

/** `owner-NAME` beside NAME, and `owner-owner` beside that, as with sendmail. */
function ownerOf(directory: Directory, zone: ZoneSlice, { name }: Alias, domain: string): Found<Address> {
  const local = name.startsWith('owner-') ? 'owner-owner' : `owner-${name}`
  if (name === 'owner-owner' || name.startsWith('@')) return null
  const owner = directory.alias(zone, local, domain)
  return owner && owner !== 'unreadable' ? { local, domain } : owner
}

function visitTarget(walk: Walk, from: ListEnd, target: AliasTarget, path: readonly string[]): void {
  const { name, line } = from.alias
  switch (target.kind) {
    case 'unsupported':
    case 'include':
      walk.fatal ??= { kind: 'unsupported', alias: name, line, text: target.text }
      return
    case 'pipe':
    case 'file':
      // nobody has to be anybody for that
      if (!from.zone.aliasUser && target.text !== '/dev/null')
        walk.fatal ??= { kind: 'unsupported', alias: name, line, text: target.text }
      else end(walk, commandOrFile(from, target.kind, target.text))
      return
    case 'faulty':
      walk.fatal ??= { kind: 'faulty-alias', alias: name, line, text: target.text }
      return
    case 'address': {
      const { local, domain } = target.address
      return visit(walk, { local, domain: domain || from.address.domain }, path, !target.final)
    }
    default: {
      const never: never = target
      throw new Error(`unknown target ${String(never)}`)
    }
  }
}

export function commandOrFile(from: ListEnd, kind: CommandOrFile['kind'], text: string): CommandOrFile {
  const { address, zone } = from
  const local = kind === 'pipe' ? `|${text}` : text
  return { kind, address: { local, domain: address.domain }, zone, via: address, text }
}

function end(walk: Walk, one: End): void {
  const { local, domain } = one.address
  const keepsCase = one.kind === 'elsewhere' || one.kind === 'pipe' || one.kind === 'file'
  const key = formatAddress({ local: keepsCase ? local : local.toLowerCase(), domain })
  if (walk.ends.has(key)) return
  walk.ends.set(key, one)
  count(walk)
}

function fail(walk: Walk, address: Address, failure: Failure): void {
  end(walk, { kind: 'failed', address, failure })
}

function count(walk: Walk): void {
  if (walk.ends.size + walk.seen.size > MOST_ENDS) walk.tooMany = true
}

export function keyOf(zone: ZoneSlice, alias: Alias): string {
  return `${alias.name}@${zone.name}`
}
