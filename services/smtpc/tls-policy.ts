/**
 * What a host must be good for in TLS before it gets a message: the config's word, what the domain has published, and
 * what the sender demands; of all these the strictest counts. Pure.
 *
 * | level of `tls`  | in clear | certificate                                                             |
 * | --------------- | -------- | ----------------------------------------------------------------------- |
 * | `none`          | always   |                                                                         |
 * | `opportunistic` | allowed  | not looked at                                                           |
 * | `encrypt`       | never    | not looked at                                                           |
 * | `verify`        | never    | an authority that is trusted, the host's name or one of `tls-names`     |
 * | `fingerprint`   | never    | one of those, or a key of those                                         |
 * | `dane-only`     | never    | by TLSA records; without any that can be used the host is passed over   |
 * | `dane`          |          | by TLSA records (RFC 7672), else by MTA-STS (RFC 8461), else `opportunistic` |
 *
 * TLSA records of which none can be used forbid clear text, and no more (RFC 7672 section 2.2). Where nobody can say
 * whether there are any, the host is passed over (section 2.1.2). MTA-STS never takes the place of DANE (RFC 8461 section 2).
 * Next: `judgement.ts`.
 */
import type { Payload } from '../../shared/bus/messages.ts'
import type { TlsDemand } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import type { Host, Route, Sts, TlsaRecord } from '../../shared/message/route.ts'
import { NO_REQUIRETLS, own } from '../../shared/smtp-client/commands.ts'
import { isUsable } from './dane.ts'
import { demandsTls } from './demand.ts'
import type { Way } from './way.ts'

export type SmtpRoute = Extract<Route, { kind: 'smtp' }>

/** What a certificate is held against. */
export type Check =
  | { kind: 'nothing' }
  | { kind: 'authority'; names: readonly string[] }
  | { kind: 'dane'; names: readonly string[]; records: readonly TlsaRecord[] }
  | { kind: 'pinned'; fingerprints: readonly string[] }

export interface Policy {
  /** For the log: who says so. */
  name: string
  clear: 'always' | 'allowed' | 'never'
  check: Check
  /** Passed on although the check fails: MTA-STS in mode testing. */
  lenient: boolean
  /** The name to ask for in TLS; null: the host's. */
  serverName: string | null
  /** Who wants it as strict as this; where it is not the config or the domain, it is the message that waits. */
  demandedBy: 'policy' | 'sender' | 'login'
}

/** The host is used in this way, or not at all. */
export type Ruling = { kind: 'use'; policy: Policy } | { kind: 'unfit'; reply: Reply; why: Unfit }

/** As TLSRPT calls it (RFC 8460 section 4.3). */
export type Unfit = 'dnssec-invalid' | 'dane-required' | 'validation-failure' | 'requiretls'

type Delivery = Pick<Payload<'deliver'>, 'requireTls' | 'tlsDemand' | 'recipients' | 'route'>

export function wantedBy({ requireTls, tlsDemand, recipients, route }: Delivery): Wanted {
  const domains = namesAnchors(route) ? new Set(recipients.map(({ address }) => domainOf(address))) : null
  return {
    requireTls: requireTls === true,
    demand: tlsDemand ?? null,
    login: false,
    domain: domains?.size === 1 ? ([...domains][0] ?? null) : null,
  }
}

/** Only then the domain counts, as another name that the certificate may have. */
function namesAnchors(route: Route): boolean {
  if (route.kind !== 'smtp') return false
  return route.hosts.some(
    ({ tlsa }) => tlsa?.kind === 'found' && tlsa.records.some(({ usage }) => usage === 2),
  )
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}

/** What must be equal for a kept connection to be used: the hosts, and all that a ruling on them depends on. */
export function keyOf(way: Way, route: SmtpRoute, { requireTls, demand, domain }: Wanted): string {
  const { protocol, destination, hosts, secure, sts } = route
  const kind = `${requireTls ? ' requiretls' : ''}${demand ? ` ${demand}` : ''}`
  const key = `${protocol}${kind} ${destination}`
  const plain = way.key === '' && !sts && !hosts.some(({ tlsa }) => tlsa)
  if (plain) return requireTls ? `${key} ${secure === true}` : key
  const said = hosts.map(({ name, tlsa }) => (tlsa ? [name, tlsa] : null))
  // whose policy it is does not matter: who has the same one may share
  return `${key} ${JSON.stringify([way.key, secure, sts && [sts.mode, sts.mx], said, domain])}`
}

/** What is wanted beside the config's word. */
export interface Wanted {
  /** RFC 8689. */
  requireTls: boolean
  demand: TlsDemand | null
  /** A password is to be said, and not to this machine. */
  login: boolean
  /** That of the recipients, where they share one. */
  domain: string | null
}

const NOTHING: Check = { kind: 'nothing' }
const OPPORTUNISTIC: Policy = {
  name: 'opportunistic',
  clear: 'allowed',
  check: NOTHING,
  lenient: false,
  serverName: null,
  demandedBy: 'policy',
}
const IN_CLEAR: Policy = { ...OPPORTUNISTIC, name: 'none', clear: 'always' }

export function rulingFor(way: Way, route: SmtpRoute, host: Host, wanted: Wanted): Ruling {
  const basic = byLevel(way, route, host, wanted)
  if (basic.kind === 'unfit') return basic
  const { policy } = basic
  if (wanted.requireTls && !isKnown(way, route)) return unfit('requiretls', NO_REQUIRETLS)
  const stricter = strengthen(policy, wanted, host)
  const shows = way.identity !== null && stricter.clear !== 'never'
  return use(shows ? { ...stricter, name: 'encrypt', clear: 'never' } : stricter)
}

/** RFC 8689 section 4.2.1: that these are the hosts is proven by DNSSEC or MTA-STS, or the config's word. */
function isKnown({ tls: { level } }: Way, { secure, sts }: SmtpRoute): boolean {
  return secure === true || sts?.mode === 'enforce' || level === 'verify' || level === 'fingerprint'
}

function byLevel(way: Way, route: SmtpRoute, host: Host, wanted: Wanted): Ruling {
  const { level, fingerprints } = way.tls
  switch (level) {
    case 'none':
      return use(IN_CLEAR)
    case 'opportunistic':
      return use(wanted.demand === 'none' ? IN_CLEAR : OPPORTUNISTIC)
    case 'encrypt':
      return use(demanding(level, NOTHING))
    case 'verify':
      return use(demanding(level, { kind: 'authority', names: way.tlsNames ?? [host.name] }))
    case 'fingerprint':
      return use(demanding(level, { kind: 'pinned', fingerprints }))
    case 'dane-only': {
      const ruling = byTlsa(host, wanted)
      if (ruling?.kind === 'unfit' || (ruling && ruling.policy.check.kind === 'dane')) return ruling
      return unfit('dane-required', failed(`${host.name} has no TLSA records that can be used`))
    }
    case 'dane':
      return published(route, host, wanted)
    default: {
      const never: never = level
      throw new Error(`unknown level ${String(never)}`)
    }
  }
}

function published({ sts }: SmtpRoute, host: Host, wanted: Wanted): Ruling {
  const dane = byTlsa(host, wanted)
  if (dane && (dane.kind === 'unfit' || dane.policy.check.kind === 'dane')) return dane
  if (sts?.mode === 'enforce') return bySts(sts, host)
  if (dane) return dane
  if (sts) return use({ ...OPPORTUNISTIC, name: 'sts-testing', check: namedBy(sts, host), lenient: true })
  return use(wanted.demand === 'none' ? IN_CLEAR : OPPORTUNISTIC)
}

/** Null: it has published nothing. */
function byTlsa({ name, tlsa }: Host, { domain }: Wanted): Ruling | null {
  if (!tlsa) return null
  if (tlsa.kind === 'failed')
    return unfit('dnssec-invalid', failed(`the TLSA records of ${name} cannot be looked up or proven`))
  const records = tlsa.records.filter(isUsable)
  if (records.length === 0) return use(demanding('dane-unusable', NOTHING))
  // RFC 7672 section 3.2.2
  const names = [...new Set([tlsa.base, name, ...(domain === null ? [] : [domain])])]
  return use({ ...demanding('dane', { kind: 'dane', names, records }), serverName: tlsa.base })
}

/** RFC 8461 section 4.1. */
function bySts(sts: Sts, host: Host): Ruling {
  if (isNamed(sts, host.name)) return use(demanding('sts', namedBy(sts, host)))
  return unfit('validation-failure', failed(`the MTA-STS policy of ${sts.domain} does not name ${host.name}`))
}

/** Who is not named can have no name that is good enough. */
function namedBy(sts: Sts, { name }: Host): Check {
  return { kind: 'authority', names: isNamed(sts, name) ? [name] : [] }
}

/** RFC 8461 section 4.1: the wildcard is the whole leftmost label, and stands for one. */
function isNamed({ mx }: Sts, host: string): boolean {
  const name = host.toLowerCase()
  return mx.some((pattern) =>
    pattern.startsWith('*.') ? name.slice(name.indexOf('.')) === pattern.slice(1) : name === pattern,
  )
}

function strengthen(policy: Policy, { demand, login, requireTls }: Wanted, { name }: Host): Policy {
  if (!requireTls && !login && !demandsTls(demand)) return policy
  const verified = requireTls || login || demand === 'verified'
  const checks = verified && (policy.check.kind === 'nothing' || policy.lenient)
  if (policy.clear === 'never' && !checks) return policy
  const check: Check = checks ? { kind: 'authority', names: [name] } : policy.check
  const demandedBy = login ? 'login' : 'sender'
  const stricter = { clear: 'never', check, lenient: policy.lenient && !verified, demandedBy } as const
  return { ...policy, ...stricter, name: verified ? 'verify' : policy.lenient ? policy.name : 'encrypt' }
}

function demanding(name: string, check: Check): Policy {
  return { ...OPPORTUNISTIC, name, clear: 'never', check }
}

function use(policy: Policy): Ruling {
  return { kind: 'use', policy }
}

function unfit(why: Unfit, reply: Reply): Ruling {
  return { kind: 'unfit', why, reply }
}

/** RFC 3463 section 3.8: 4.7.5, a security feature that failed. */
function failed(text: string): Reply {
  return own(451, '4.7.5', text)
}
