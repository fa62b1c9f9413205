/**
 * Local zones with maps in them, as the `Directory` that `expansion.ts` asks. The walk is synchronous and pure, maps
 * may take a while: what is not known yet is noted, the walk ends without it and is walked again when the answers are
 * there, until nothing is missing. Each walk asks for all that it lacks at once.
 *
 * Fails: a map in trouble is 'unreadable', as a file would be, so its recipients wait. Limits: MOST_ROUNDS walks, each
 * alias on the way to an end needs one.
 */
import { type Alias, aliasOf } from '../../shared/config/alias-file.ts'
import type { TableSlice, ZoneSlice } from '../../shared/config/slices.ts'
import { type Address, formatAddress } from '../../shared/smtp/address.ts'
import { type Directory, type End, expand, type Found, MOST_DEPTH } from './expansion.ts'
import type { LocalZones } from './local-zones.ts'
import type { Use } from './maps/keys.ts'
import type { Looked, Maps } from './maps/maps.ts'
import { type User, userOf } from './users.ts'

/** For each alias in a chain what it is, who it is, who owns it, and who takes the rest. */
const MOST_ROUNDS = 8 * (MOST_DEPTH + 2)

export interface Walked {
  ends: End[]
  /** The answer holds until a file changes. */
  lasting: boolean
  directory: MappedZones
}

/** Nothing of the zones is in a map: then there is nothing of this to do. */
export function usesMaps(zones: readonly ZoneSlice[]): boolean {
  return zones.some(
    ({ aliases, users, recipients }) =>
      recipients !== null || users?.kind === 'map' || aliases.some(({ kind }) => kind === 'map'),
  )
}

/** Some way of mail is in a map. */
export function routesByMaps(zones: readonly ZoneSlice[]): boolean {
  return zones.some(({ routing }) => routing.some(({ way }) => way.kind === 'map'))
}

export function expandByMaps(
  address: Address,
  local: LocalZones,
  maps: Pick<Maps, 'ask' | 'isWatched' | 'complain'>,
  follow: boolean,
  path: readonly string[] = [],
): Walked | Promise<Walked> {
  const zones = new MappedZones(local, maps)
  const ends = expand(address, zones, follow, path)
  return zones.missing === null
    ? { ends, lasting: zones.lasting, directory: zones }
    : again(zones, address, follow, path)
}

async function again(
  zones: MappedZones,
  address: Address,
  follow: boolean,
  path: readonly string[],
): Promise<Walked> {
  for (let round = 1; round < MOST_ROUNDS; round++) {
    await zones.missing
    zones.missing = null
    const ends = expand(address, zones, follow, path)
    if (zones.missing === null) return { ends, lasting: zones.lasting, directory: zones }
  }
  return {
    ends: [{ kind: 'failed', address, failure: { kind: 'unreadable' } }],
    lasting: false,
    directory: zones,
  }
}

export class MappedZones implements Directory {
  readonly primary: string | null
  readonly delimiter: string
  /** Settles when what the last walk lacked is there. */
  missing: Promise<unknown> | null = null
  lasting = true
  readonly #local: LocalZones
  readonly #maps: Pick<Maps, 'ask' | 'isWatched' | 'complain'>
  readonly #known = new Map<string, Looked>()
  readonly #places = new Map<Alias, string>()

  constructor(local: LocalZones, maps: Pick<Maps, 'ask' | 'isWatched' | 'complain'>) {
    this.#local = local
    this.#maps = maps
    this.primary = local.primary
    this.delimiter = local.delimiter
  }

  zone(domain: string): ZoneSlice | null {
    return this.#local.zone(domain)
  }

  alias(zone: ZoneSlice, name: string, domain: string): Found<Alias> {
    for (const table of zone.aliases) {
      const found = this.#aliasIn(table, 'name', name, domain)
      if (found) return found
    }
    return null
  }

  rest(zone: ZoneSlice, name: string, domain: string): Found<Alias> {
    for (const table of zone.aliases) {
      const found = table.kind === 'map' ? this.#aliasIn(table, 'rest', name, domain) : null
      if (found) return found
    }
    return this.#local.rest(zone)
  }

  #aliasIn(table: TableSlice, use: Use, name: string, domain: string): Found<Alias> {
    if (table.kind === 'file') return this.#local.aliasIn(table.path, name)
    const looked = this.#look(table.name, use, `${name}@${domain}`)
    if (looked === 'unreadable' || looked === null) return looked
    const alias = aliasOf(use === 'rest' ? looked.key : name, looked.value, name)
    this.#places.set(alias, `map "${table.name}"`)
    return alias
  }

  aliasPlace(zone: ZoneSlice, alias: Alias): string {
    return this.#places.get(alias) ?? this.#local.aliasPlace(zone, alias)
  }

  user(zone: ZoneSlice, name: string, domain: string): Found<User> {
    const { users } = zone
    if (users?.kind !== 'map') return this.#local.user(zone, name)
    const looked = this.#look(users.name, 'name', `${name}@${domain}`)
    if (looked === 'unreadable' || looked === null) return looked
    const user = userOf(name, looked.value, users.owner ?? this.#local.caller)
    if (typeof user !== 'string') return user
    this.#maps.complain(users.name, looked.key, user)
    return 'unreadable'
  }

  recipient({ recipients }: ZoneSlice, address: Address): Found<true> {
    if (recipients === null) return true
    const looked = this.#look(recipients, 'address', formatAddress(address))
    return looked === 'unreadable' || looked === null ? looked : true
  }

  #look(map: string, use: Use, key: string): Found<Extract<Looked, { kind: 'found' }>> {
    const question = `${map}\0${use}\0${key}`
    const known = this.#known.get(question) ?? this.#ask(question, map, use, key)
    // it ends this walk, and the next one knows
    if (!known) return 'unreadable'
    if (known.kind === 'trouble') return 'unreadable'
    return known.kind === 'found' ? known : null
  }

  #ask(question: string, map: string, use: Use, key: string): Looked | null {
    if (!this.#maps.isWatched(map)) this.lasting = false
    const answer = this.#maps.ask(map, use, key)
    if (!(answer instanceof Promise)) {
      this.#known.set(question, answer)
      return answer
    }
    const noted = answer.then((one) => void this.#known.set(question, one))
    this.missing = this.missing === null ? noted : Promise.all([this.missing, noted])
    return null
  }
}
