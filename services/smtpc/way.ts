/**
 * By which way a delivery goes: what is demanded of TLS, the certificate that is shown, the proxy that is gone
 * through, the address and the name that are ours, as the `server` section, the zone and `smtpc` say, in this order; each of them by itself. Pure, with a memory
 * of what was worked out for a config. qmgr names the section in the terms of each delivery.
 */
import { type OutgoingWay, PUBLISHED, type TlsRule } from '../../shared/config/options-outgoing.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'

export interface Way {
  tls: TlsRule
  /** In place of the host's; null: the host's. */
  tlsNames: readonly string[] | null
  caFile: string | null
  identity: OutgoingWay['identity']
  proxy: Exclude<OutgoingWay['proxy'], 'none'>
  source: OutgoingWay['source']
  /** By which name we introduce ourselves; null: the host's. */
  helo: string | null
  /** Equal for ways that may share connections; '' for the usual one. */
  key: string
}

/** Straight, as nobody in particular, by what the domain publishes. */
export const STRAIGHT: Way = {
  tls: PUBLISHED,
  tlsNames: null,
  caFile: null,
  identity: null,
  proxy: null,
  source: null,
  helo: null,
  key: '',
}

const SERVER = 'server '
const worked = new WeakMap<SmtpcSlice['ways'], Map<string, Way>>()

export function wayFor(ways: SmtpcSlice['ways'], zone: string, terms: ConnectionTerms | undefined): Way {
  const server = terms?.group.startsWith(SERVER) ? terms.group.slice(SERVER.length) : ''
  const named = Object.hasOwn(ways.servers, server) ? ways.servers[server] : undefined
  const ofZone = Object.hasOwn(ways.zones, zone) ? ways.zones[zone] : undefined
  const known = worked.get(ways) ?? new Map<string, Way>()
  worked.set(ways, known)
  // as many as there are sections with a word of their own, not as there are zones
  const name = `${named ? server : ''}\n${ofZone ? zone : ''}`
  const found = known.get(name) ?? workOut([named, ofZone, ways.usual])
  known.set(name, found)
  return found
}

function workOut(said: readonly (OutgoingWay | undefined)[]): Way {
  const first = <K extends keyof OutgoingWay>(key: K): OutgoingWay[K] | null =>
    said.find((way) => way?.[key])?.[key] ?? null
  const proxy = first('proxy')
  const way = {
    tls: first('tls') ?? PUBLISHED,
    tlsNames: first('tlsNames'),
    caFile: first('caFile'),
    identity: first('identity'),
    proxy: proxy === 'none' ? null : proxy,
    source: first('source'),
    helo: first('helo'),
  }
  const key = JSON.stringify(way)
  return key === USUAL ? STRAIGHT : { ...way, key }
}

const { key: _, ...usual } = STRAIGHT
const USUAL = JSON.stringify(usual)
