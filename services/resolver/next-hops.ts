/**
 * The next hops of a domain that is not local: the hosts of a relay zone, or the mail exchangers that DNS names.
 *
 * A route is remembered as long as the shortest time to live in it, so the next recipient costs no promise; what
 * DNS refuses is remembered the same way, what failed is not (the stub does that, briefly). A zone's own host
 * that cannot be found is our trouble, so it is later, never a refusal. Whatever takes longer than BUDGET_MS is
 * a failure for now; its answer still reaches the cache.
 */
import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { RelaySlice, ZoneSlice } from '../../shared/config/slices.ts'
import type { Host, Route, Sts } from '../../shared/message/route.ts'
import { literalAddress } from '../../shared/smtp/address.ts'
import { Cache } from './dns/cache.ts'
import { findHosts } from './exchanger-hosts.ts'
import { type Addresses, addressesOf, type Lookups } from './host-addresses.ts'
import type { HostsFile } from './hosts-file.ts'
import { type Exchanger, readExchangers } from './mail-exchangers.ts'
import { providerOf } from './provider.ts'
import type { ReplyName } from './replies.ts'
import type { StsPolicies } from './sts/policies.ts'
import { tlsaOf } from './tlsa.ts'

export type NextHop =
  | { kind: 'route'; route: Route }
  | { kind: 'refused'; reply: ReplyName }
  | { kind: 'later'; reply: ReplyName }

export interface NextHopOptions {
  dns: Lookups
  hosts: () => HostsFile
  hostname: string
  smtpPort: number
  cacheEntries: number
  /** Whether mail that is sent to this address comes back to us. */
  isOurs: (address: string) => boolean
  /** Absent: MTA-STS is not looked at. */
  sts?: Pick<StsPolicies, 'of'> | undefined
  now: () => number
  /** Milliseconds that one recipient may take. */
  budget: number
}

type Hop = RelaySlice['hosts'][number]

interface Timed {
  hop: NextHop
  /** Seconds. */
  ttl: number
}

/** Literals and hosts of `/etc/hosts` do not change by the second. */
const STATIC_TTL = 60
const SHORTEST_TTL = 1

export class NextHops {
  readonly #options: NextHopOptions
  readonly #cache: Cache<NextHop>
  readonly #pending = new Map<string, Promise<NextHop>>()
  #generation = 0

  constructor(options: NextHopOptions) {
    this.#options = options
    this.#cache = new Cache(options.cacheEntries)
  }

  find(zone: ZoneSlice, domain: string): NextHop | Promise<NextHop> {
    // all domains of a relay zone share its route, and those of a local zone whose mailboxes are behind LMTP
    if (zone.type === 'relay' || zone.type === 'local')
      return this.#known(`zone ${zone.name}`, () => this.#relay(zone, zone))
    return this.#known(domain, () => this.#look(zone, domain))
  }

  /** Mail for the zone, by these hosts. */
  through(zone: ZoneSlice, relay: RelaySlice): NextHop | Promise<NextHop> {
    const key = `relay ${relay.name === '' ? destinationOf(relay.hosts) : relay.name} ${zone.name}`
    return this.#known(key, () => this.#relay(zone, relay, relay.name))
  }

  #known(key: string, look: () => Promise<Timed>): NextHop | Promise<NextHop> {
    return this.#cache.get(key, this.#options.now()) ?? this.#pending.get(key) ?? this.#start(key, look)
  }

  figures(): Record<string, number> {
    return { routesCached: this.#cache.size, routesPending: this.#pending.size }
  }

  /** Every route is looked up anew. */
  forget(): void {
    this.#generation++
    this.#cache.clear()
    this.#pending.clear()
  }

  #start(key: string, look: () => Promise<Timed>): Promise<NextHop> {
    const generation = this.#generation
    const found = look().then(({ hop, ttl }) => {
      const until = this.#options.now() + Math.max(ttl, SHORTEST_TTL) * 1000
      if (hop.kind !== 'later' && generation === this.#generation) this.#cache.set(key, hop, until)
      return hop
    })
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<NextHop>((resolve) => {
      timer = setTimeout(() => resolve({ kind: 'later', reply: 'dnsTrouble' }), this.#options.budget)
    })
    const bounded = Promise.race([found, patience]).finally(() => {
      clearTimeout(timer)
      if (this.#pending.get(key) === bounded) this.#pending.delete(key)
    })
    this.#pending.set(key, bounded)
    return bounded
  }

  #look(zone: ZoneSlice, domain: string): Promise<Timed> {
    const literal = literalAddress(domain)
    if (literal === null) return this.#remote(zone, domain)
    const host = { name: domain, addresses: [literal], port: this.#options.smtpPort, preference: 0 }
    return Promise.resolve({ hop: smtpRoute(zone, domain, [host]), ttl: STATIC_TTL })
  }

  /** @param name of the `relay` section; '' where there is none. */
  async #relay(zone: ZoneSlice, relay: Pick<RelaySlice, 'hosts'>, name = ''): Promise<Timed> {
    const preferences = preferencesOf(relay.hosts)
    const found = await Promise.all(
      relay.hosts.map((one, index) => this.#relayHost(one, preferences[index] ?? index)),
    )
    const hosts = found.flatMap((one) => (one ? [one.host] : []))
    if (hosts.length === 0) return { hop: { kind: 'later', reply: 'relayHostTrouble' }, ttl: 0 }
    const ttl = Math.min(STATIC_TTL, ...found.map((one) => one?.ttl ?? 0))
    const protocol = relay.hosts[0]?.protocol ?? 'smtp'
    const more = { protocol, secure: true, ...(name !== '' && { relay: name }) }
    return { hop: smtpRoute(zone, destinationOf(relay.hosts), hosts, more), ttl }
  }

  /** Null where it has no address. */
  async #relayHost(
    { host, port, weight }: Hop,
    preference: number,
  ): Promise<{ host: Host; ttl: number } | null> {
    const share = weight === null ? {} : { weight }
    if (host.startsWith('/'))
      return { host: { name: host, addresses: [host], port, preference, ...share }, ttl: STATIC_TTL }
    const found = await this.#hostAddresses(host)
    if (found.kind !== 'addresses') return null
    const plain = { name: host, addresses: found.addresses, port, preference, ...share }
    if (found.canonical === '') return { host: plain, ttl: found.ttl }
    const proven = { ...plain, ...(found.secure && { secure: true }) }
    const { tlsa, ttl } = await tlsaOf({ ...found, host, port }, this.#options.dns)
    return { host: tlsa ? { ...proven, tlsa } : proven, ttl: Math.min(found.ttl, ttl) }
  }

  async #hostAddresses(host: string): Promise<Addresses> {
    const name = host.toLowerCase().replace(/^\[(?:ipv6:)?(.*)\]$/, '$1')
    const known = isIP(name) === 0 ? this.#options.hosts().get(name) : [name]
    if (known)
      return { kind: 'addresses', addresses: [...known], ttl: STATIC_TTL, secure: false, canonical: '' }
    return addressesOf(name, this.#options.dns)
  }

  /** RFC 5321 section 5.1. */
  async #remote(zone: ZoneSlice, domain: string): Promise<Timed> {
    const { dns, hostname } = this.#options
    const found = readExchangers(await dns.lookup(domain, 'MX'), hostname)
    switch (found.kind) {
      case 'failed':
        return { hop: { kind: 'later', reply: 'dnsTrouble' }, ttl: 0 }
      case 'nxdomain':
        return refused('noSuchDomain', found.ttl)
      case 'null-mx':
        return refused('nullMx', found.ttl)
      case 'loop':
        return refused('mxLoop', found.ttl)
      case 'unusable':
        return refused('deadMx', found.ttl)
      case 'implicit':
        if (domain === hostname.toLowerCase()) return refused('mxLoop', found.ttl)
        return this.#hostsRoute(zone, domain, [{ host: domain, preference: 0 }], found, 'noMailHost')
      case 'hosts':
        return this.#hostsRoute(zone, domain, found.hosts, found, 'deadMx')
      default: {
        const never: never = found
        throw new Error(`unknown exchangers ${String(never)}`)
      }
    }
  }

  async #hostsRoute(
    zone: ZoneSlice,
    domain: string,
    exchangers: readonly Exchanger[],
    mx: { ttl: number; secure: boolean },
    none: ReplyName,
  ): Promise<Timed> {
    const [found, published] = await Promise.all([
      findHosts(exchangers, mx.secure, this.#options),
      this.#options.sts?.of(domain),
    ])
    if (found.kind === 'failed') return { hop: { kind: 'later', reply: 'dnsTrouble' }, ttl: 0 }
    const ttl = Math.min(mx.ttl, found.ttl, published?.ttl ?? Number.POSITIVE_INFINITY)
    const sts = published?.sts ?? null
    if (found.kind !== 'hosts') return refused(found.kind === 'loop' ? 'mxLoop' : none, ttl)
    const names = found.exchangers
      .map(({ host }) => host)
      .sort()
      .join(',')
    const proof = proofOf(found.hosts, sts)
    const provider = providerOf(found.exchangers) ?? (proof === '' ? null : names)
    const more = {
      ...(mx.secure && { secure: true }),
      ...(sts && { sts }),
      ...(provider !== null && { provider }),
    }
    return { hop: smtpRoute(zone, `${names}${proof}`, found.hosts, more), ttl }
  }
}

/** RFC 7672, RFC 8461: what a domain has published is not for others that have the same hosts. */
function proofOf(hosts: readonly Host[], sts: Sts | null): string {
  const dane = hosts.some(({ tlsa }) => tlsa) ? ' dane' : ''
  if (!sts) return dane
  const digest = createHash('sha256').update(JSON.stringify(sts.mx)).digest('hex').slice(0, 16)
  return `${dane} sts-${sts.mode}-${digest}`
}

function refused(reply: ReplyName, ttl: number): Timed {
  return { hop: { kind: 'refused', reply }, ttl }
}

type SmtpRoute = Extract<Route, { kind: 'smtp' }>

function smtpRoute(
  zone: ZoneSlice,
  destination: string,
  hosts: Host[],
  more: Partial<Pick<SmtpRoute, 'protocol' | 'provider' | 'relay' | 'secure' | 'sts'>> = {},
): NextHop {
  const route = { kind: 'smtp', zone: zone.name, destination, protocol: 'smtp', hosts, ...more } as const
  return { kind: 'route', route }
}

/** In order; neighbours with a weight are as good as one another. */
function preferencesOf(hosts: readonly Hop[]): number[] {
  let preference = -1
  return hosts.map(({ weight }, index) => {
    const before = hosts[index - 1]?.weight ?? null
    return weight !== null && before !== null ? preference : ++preference
  })
}

function destinationOf(hosts: readonly Hop[]): string {
  return hosts.map(({ host, port }) => (port === 0 ? host : formatHost(host, port))).join(',')
}

function formatHost(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
