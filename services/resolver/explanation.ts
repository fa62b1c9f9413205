/**
 * What decided about an address, for those who ask why: the zones that were looked up and the aliases and users that
 * were found on the way, each with the file and the line where it stands. Pure; made by following the address once
 * more, so that nobody else pays for it.
 */
import type { Alias } from '../../shared/config/alias-file.ts'
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { type Address, formatAddress } from '../../shared/smtp/address.ts'
import { type Directory, expand } from './expansion.ts'
import { isAbout } from './routing.ts'

/** A line for each; what is more is counted. */
export const MOST_EXPLAINED = 50

export interface Places {
  /** By the name of the zone, `file:line:column`. */
  zones: Readonly<Record<string, string>>
  /** `file:line` of an alias. */
  aliasPlace(zone: ZoneSlice, alias: Alias): string
}

export function explain(address: Address, directory: Directory, places: Places): string[] {
  const lines = new Set<string>()
  const watching: Directory = {
    primary: directory.primary,
    delimiter: directory.delimiter,
    zone: (domain) => {
      const zone = directory.zone(domain)
      if (zone) lines.add(`zone "${zone.name}" ${zone.type}: ${places.zones[zone.name] ?? ''}`)
      if (zone && domain === address.domain) for (const line of rulesAbout(zone, address)) lines.add(line)
      return zone
    },
    alias: (zone, name, domain) => {
      const alias = directory.alias(zone, name, domain)
      if (alias && alias !== 'unreadable')
        lines.add(`alias "${alias.name}": ${places.aliasPlace(zone, alias)}`)
      return alias
    },
    rest: (zone, name, domain) => {
      const alias = directory.rest?.(zone, name, domain) ?? null
      if (alias && alias !== 'unreadable')
        lines.add(`alias "${alias.name}": ${places.aliasPlace(zone, alias)}`)
      return alias
    },
    recipient: (zone, asked) => directory.recipient?.(zone, asked) ?? null,
    user: (zone, name, domain) => {
      const user = directory.user(zone, name, domain)
      if (user && user !== 'unreadable') lines.add(`user "${user.name}": ${fileOf(zone)}`)
      return user
    },
  }
  expand(address, watching, true)
  const all = [...lines]
  const left = all.length - MOST_EXPLAINED
  return left > 0 ? [...all.slice(0, MOST_EXPLAINED), `and ${left} more`] : all
}

/** Rules of routing that may decide; on the mail itself, which nobody knows here, or on DNS. */
function rulesAbout({ routing }: ZoneSlice, address: Address): string[] {
  const recipient = formatAddress(address).toLowerCase()
  const about = routing.filter((rule) => isAbout(rule, recipient))
  return about.map(
    ({ way, place }) => `routing rule ${way.kind}${'name' in way ? ` "${way.name}"` : ''}: ${place}`,
  )
}

function fileOf({ users }: ZoneSlice): string {
  if (users?.kind === 'map') return `map "${users.name}"`
  return users?.kind === 'file' ? users.path : '/etc/passwd'
}
