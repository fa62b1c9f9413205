/**
 * By which way a delivery goes: the certificate that is shown and the proxy that is gone through, as the `server`
 * section, the zone and `smtpc` say, in this order. Pure. qmgr names the section in the terms of each delivery.
 */
import type { OutgoingWay } from '../../shared/config/options-outgoing.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'

export interface Way {
  identity: OutgoingWay['identity']
  proxy: Exclude<OutgoingWay['proxy'], 'none'>
}

/** Straight, as nobody in particular. */
export const STRAIGHT: Way = { identity: null, proxy: null }

const SERVER = 'server '

export function wayFor(
  { usual, zones, servers }: SmtpcSlice['ways'],
  zone: string,
  terms: ConnectionTerms | undefined,
): Way {
  const named = terms?.group.startsWith(SERVER) ? servers[terms.group.slice(SERVER.length)] : undefined
  const said = [named, zones[zone], usual]
  const identity = said.find((way) => way?.identity)?.identity ?? null
  const proxy = said.find((way) => way?.proxy)?.proxy ?? null
  return identity || (proxy && proxy !== 'none')
    ? { identity, proxy: proxy === 'none' ? null : proxy }
    : STRAIGHT
}
