/**
 * The way of a recipient that is not in a mailbox here: what its zone says, unless a rule of `routing` says otherwise
 * (`routing.ts`). Next hops are found by `next-hops.ts`, and remembered there.
 *
 * What a rule lacks decides who answers: where the mail itself has to be known and smtpd asks, the recipient is taken
 * without a route and qmgr asks again; where the exchangers have to be known they are looked up. DNS trouble on the way,
 * a map in trouble and a map that names a relay that is not there are later, never a refusal.
 */
import type { Log } from '../../shared/base/log.ts'
import type { OwnReply, RelaySlice, RouteRuleSlice, RouteWay, ZoneSlice } from '../../shared/config/slices.ts'
import { type Address, formatAddress } from '../../shared/smtp/address.ts'
import type { Maps } from './maps/maps.ts'
import type { NextHop, NextHops } from './next-hops.ts'
import { type MapWay, readWay } from './route-value.ts'
import { decide, type Facts, type Mail } from './routing.ts'

/** open: it cannot be known before the mail is. */
export type Hop = NextHop | { kind: 'said'; reply: OwnReply } | { kind: 'discarded' } | { kind: 'open' }

export interface RoutesOptions {
  relays: readonly RelaySlice[]
  nextHops: Pick<NextHops, 'find' | 'through'>
  maps: Pick<Maps, 'ask' | 'complain'>
  log: Log
}

interface Asked {
  zone: ZoneSlice
  address: Address
  facts: Facts
  /** The rule to go on with. */
  from: number
}

const IN_TROUBLE: Hop = { kind: 'later', reply: 'mapsUnreadable' }

export class Routes {
  readonly #options: RoutesOptions
  readonly #relays: ReadonlyMap<string, RelaySlice>

  constructor(options: RoutesOptions) {
    this.#options = options
    this.#relays = new Map(options.relays.map((relay) => [relay.name, relay]))
  }

  find(zone: ZoneSlice, address: Address, mail: Mail | null): Hop | Promise<Hop> {
    if (zone.type === 'error' && zone.reply) return { kind: 'said', reply: zone.reply }
    if (zone.type === 'discard') return { kind: 'discarded' }
    if (zone.routing.length === 0) return this.#usual(zone, address)
    const recipient = formatAddress(address).toLowerCase()
    return this.#routed({ zone, address, facts: { recipient, mail, providers: null }, from: 0 })
  }

  #usual(zone: ZoneSlice, { domain }: Address): NextHop | Promise<NextHop> {
    if (zone.relay === null) return this.#options.nextHops.find(zone, domain)
    return this.#byRelay(zone, zone.relay)
  }

  #routed(asked: Asked): Hop | Promise<Hop> {
    const { zone, address, facts, from } = asked
    const found = decide(zone.routing, facts, from)
    switch (found.kind) {
      case 'none':
        return this.#usual(zone, address)
      case 'lacking':
        return found.what === 'mail' ? { kind: 'open' } : this.#lookUpProviders(asked)
      case 'rule': {
        const { rule, index } = found
        if (rule.way.kind === 'map') return this.#mapped({ ...asked, from: index + 1 }, rule.way.name)
        return this.#byRule(asked, rule, rule.way)
      }
      default: {
        const never: never = found
        throw new Error(`unknown decision ${String(never)}`)
      }
    }
  }

  async #lookUpProviders(asked: Asked): Promise<Hop> {
    const hop = await this.#direct(asked)
    if (hop.kind === 'later') return hop
    const route = hop.kind === 'route' && hop.route.kind === 'smtp' ? hop.route : null
    const names = (route?.hosts ?? []).flatMap(({ name, addresses }) => [name.toLowerCase(), ...addresses])
    const providers = route?.provider === undefined ? names : [...names, ...route.provider.split(',')]
    return this.#routed({ ...asked, facts: { ...asked.facts, providers } })
  }

  #mapped(asked: Asked, map: string): Hop | Promise<Hop> {
    const answer = this.#options.maps.ask(map, 'address', asked.facts.recipient)
    const heard = (looked: Awaited<typeof answer>): Hop | Promise<Hop> => {
      if (looked.kind === 'missing') return this.#routed(asked)
      if (looked.kind === 'trouble') return IN_TROUBLE
      const way = readWay(looked.value)
      if (typeof way !== 'string') return this.#by(asked, way, () => this.#complain(map, looked.key, way))
      this.#options.maps.complain(map, looked.key, way)
      return IN_TROUBLE
    }
    return answer instanceof Promise ? answer.then(heard) : heard(answer)
  }

  #complain(map: string, key: string, way: MapWay): void {
    this.#options.maps.complain(map, key, `there is no relay ${'name' in way ? way.name : ''}`)
  }

  #byRule(asked: Asked, rule: RouteRuleSlice, way: RouteWay): Hop | Promise<Hop> {
    const first = this.#by(asked, way)
    if (!rule.otherwise) return first
    const other = this.#by(asked, rule.otherwise)
    if (first instanceof Promise || other instanceof Promise)
      return Promise.all([first, other]).then(([one, two]) => withOther(one, two))
    return withOther(first, other)
  }

  /** @param onUnknown of a relay that only a map could name. */
  #by(asked: Asked, way: MapWay, onUnknown: () => void = () => undefined): Hop | Promise<Hop> {
    switch (way.kind) {
      case 'direct':
        return this.#direct(asked)
      case 'discard':
        return { kind: 'discarded' }
      case 'error':
        return { kind: 'said', reply: way.reply }
      case 'host':
        return this.#options.nextHops.through(asked.zone, { name: '', hosts: [way.hop] })
      case 'relay':
        if (!this.#relays.has(way.name)) onUnknown()
        return this.#byRelay(asked.zone, way.name)
      default: {
        const never: never = way
        throw new Error(`unknown way ${String(never)}`)
      }
    }
  }

  #direct({ zone, address }: Asked): NextHop | Promise<NextHop> {
    return this.#options.nextHops.find(
      zone.type === 'remote' ? zone : { ...zone, type: 'remote' },
      address.domain,
    )
  }

  #byRelay(zone: ZoneSlice, name: string): NextHop | Promise<NextHop> {
    const relay = this.#relays.get(name)
    return relay ? this.#options.nextHops.through(zone, relay) : { kind: 'later', reply: 'relayHostTrouble' }
  }
}

/** What cannot be the way now leaves it to the other one; what can has the other one beside it. */
function withOther(first: Hop, other: Hop): Hop {
  if (first.kind === 'later' || first.kind === 'refused') return other.kind === 'later' ? first : other
  if (first.kind !== 'route' || other.kind !== 'route') return first
  if (first.route.kind !== 'smtp' || other.route.kind !== 'smtp') return first
  const { kind: _kind, zone: _zone, instead: _instead, ...instead } = other.route
  return { kind: 'route', route: { ...first.route, instead } }
}
