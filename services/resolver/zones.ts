/**
 * Which zone a domain belongs to: the zone of that very name, else the longest `*.suffix` above it, else `.`.
 * Domains come in A-labels and lower case (`shared/smtp/address.ts`); zone names are brought into that form here.
 */
import type { ZoneSlice } from '../../shared/config/slices.ts'
import { parseDomain } from '../../shared/smtp/address.ts'

export class ZoneTable {
  readonly #exact = new Map<string, ZoneSlice>()
  /** By what stands after `*.`. */
  readonly #below = new Map<string, ZoneSlice>()
  readonly #rest: ZoneSlice | null
  /** The domain of `<postmaster>`, RFC 5321 section 4.5.1: that of the first local zone. */
  readonly primary: string | null

  constructor(zones: readonly ZoneSlice[]) {
    for (const zone of zones) {
      if (zone.name.startsWith('*.')) this.#below.set(normal(zone.name.slice(2)), zone)
      else this.#exact.set(normal(zone.name), zone)
    }
    this.#rest = zones.find(isRest) ?? null
    const primary = zones.find((zone) => zone.type === 'local' && !zone.name.startsWith('*.'))
    this.primary = primary ? normal(primary.name) : null
  }

  find(domain: string): ZoneSlice | null {
    const exact = this.#exact.get(domain)
    if (exact) return exact
    if (this.#below.size === 0) return this.#rest
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
      const zone = this.#below.get(domain.slice(dot + 1))
      if (zone) return zone
    }
    return this.#rest
  }
}

/** `.` takes every domain, so what it takes is never ours: its mail is only for those who may relay. */
export function isRest(zone: ZoneSlice): boolean {
  return zone.name === '.'
}

/** What is dropped or refused is as if it went to a host of ours: anybody may send there. */
export function classOf({ name, type }: ZoneSlice): 'local' | 'relay' | 'remote' {
  if (name === '.') return 'remote'
  return type === 'error' || type === 'discard' || type === 'backup' ? 'relay' : type
}

function normal(name: string): string {
  return parseDomain(name) ?? name.toLowerCase()
}
