/**
 * Counts how sessions with the hosts of other domains have come by TLS, for the reports that the resolver sends
 * (RFC 8460): sessions of which everything is the same are one count, and counts leave together, every FLUSH_MS or
 * when there are MOST of them.
 *
 * A session is a connection that came as far as TLS or would have been to (section 4.4 counts those that are
 * negotiated): a kept one that is used again is not counted again, and one that failed by something else is none. A host
 * that is not used because of its policy is a failure. Counted is what domains publish: only ways with `tls dane` and
 * `dane-only`, no relays, and nothing where a sender or a login demands more than the domain does.
 *
 * Off without `reports { tls yes; }`. What has not left when smtpc dies, or while qmgr or the resolver is away, is
 * lost: these are statistics.
 */
import { domainToASCII } from 'node:url'
import type { Payload } from '../../shared/bus/messages.ts'
import type { SmtpcSlice } from '../../shared/config/slices.ts'
import type { Host } from '../../shared/message/route.ts'
import type { Dialled } from './dial.ts'
import type { Policy, SmtpRoute, Unfit } from './tls-policy.ts'
import type { Way } from './way.ts'

type Count = Payload<'tls-counts'>['counts'][number]
type Delivery = Pick<Payload<'deliver'>, 'sender' | 'recipients'>
type Kind = Count['policy']

const FLUSH_MS = 5000
const MOST = 100
/** Names that a policy of MTA-STS has, as a report says it. */
const MOST_HOSTS = 30
/** Digits of one TLSA record in a report; a whole certificate is longer, and is cut. */
const LONGEST_DATA = 1024

export class SessionCounts {
  readonly #send: (counts: Count[]) => void
  readonly #counts = new Map<string, Count>()
  #timer: NodeJS.Timeout | null = null
  /** Null: nothing is counted. */
  settings: SmtpcSlice['tlsReports'] = null

  constructor(send: (counts: Count[]) => void) {
    this.#send = send
  }

  dialled(
    delivery: Delivery,
    route: SmtpRoute,
    way: Way,
    host: Host,
    policy: Policy,
    dialled: Pick<Dialled, 'kind' | 'bad' | 'between'> & { session?: { tls: string } },
  ): void {
    if (!this.#isCounted(delivery, route, way)) return
    const kind = kindOf(policy)
    const result = kind && resultOf(policy, dialled)
    if (kind === null || result === null) return
    this.#add(delivery, said(kind, result, route, host, dialled.between))
  }

  /** Not connected at all. */
  unfit(delivery: Delivery, route: SmtpRoute, way: Way, host: Host, why: Unfit): void {
    if (why === 'requiretls' || !this.#isCounted(delivery, route, way)) return
    const kind = why === 'validation-failure' ? 'sts' : 'tlsa'
    this.#add(delivery, said(kind, why, route, host, { address: '', local: '' }))
  }

  flush(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const counts = [...this.#counts.values()]
    this.#counts.clear()
    if (counts.length > 0) this.#send(counts)
  }

  #isCounted({ sender }: Delivery, route: SmtpRoute, { tls: { level } }: Way): boolean {
    if (!this.settings || sender === this.settings.from) return false
    if (level !== 'dane' && level !== 'dane-only') return false
    return (
      route.protocol === 'smtp' && route.relay === undefined && !this.settings.relays.includes(route.zone)
    )
  }

  /** One for each domain whose mail it was for. */
  #add({ recipients }: Delivery, one: Omit<Count, 'domain'>): void {
    for (const domain of new Set(recipients.map(({ address }) => domainOf(address)))) {
      if (domain === '') continue
      const count = { domain, ...one }
      const key = JSON.stringify(count)
      const known = this.#counts.get(key)
      if (known) known.count++
      else this.#counts.set(key, count)
      if (this.#counts.size >= MOST) this.flush()
    }
    if (this.#counts.size > 0) this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref()
  }
}

const KINDS: Readonly<Record<string, Kind>> = {
  dane: 'tlsa',
  'dane-unusable': 'tlsa',
  sts: 'sts',
  'sts-testing': 'sts',
  opportunistic: 'no-policy-found',
}

/** Null: it is not what the domain says. */
function kindOf({ name, demandedBy }: Policy): Kind | null {
  return demandedBy === 'policy' && Object.hasOwn(KINDS, name) ? (KINDS[name] ?? null) : null
}

/** RFC 8460 section 4.3; null: it never came to TLS. */
function resultOf(
  { name }: Policy,
  { kind, bad, session }: Pick<Dialled, 'kind' | 'bad'> & { session?: { tls: string } },
): Count['result'] | null {
  if (bad) return bad.failure
  if (kind === 'failed') return null
  if (session?.tls === '') return 'starttls-not-supported'
  // none of the records could be used, so nothing was proven by them
  return name === 'dane-unusable' ? 'tlsa-invalid' : ''
}

function said(
  policy: Kind,
  result: Count['result'],
  { sts }: SmtpRoute,
  { name, tlsa }: Host,
  between: { address: string; local: string },
): Omit<Count, 'domain'> {
  const records = policy === 'tlsa' && tlsa?.kind === 'found' ? tlsa.records : []
  const hosts = policy === 'sts' && sts ? sts.mx.slice(0, MOST_HOSTS) : []
  const text = records.map(
    ({ usage, selector, matching, data }) =>
      `${usage} ${selector} ${matching} ${data.slice(0, LONGEST_DATA)}`,
  )
  // the time that it may be kept (max_age) is known to the resolver only, and is left out
  if (policy === 'sts' && sts)
    text.push('version: STSv1', `mode: ${sts.mode}`, ...hosts.map((host) => `mx: ${host}`))
  const where = result === '' ? { mx: '', address: '', local: '' } : { mx: name, ...between }
  return { policy, text, hosts, result, ...where, count: 1 }
}

/** As it stands in DNS; '' of what is no name there. */
function domainOf(address: string): string {
  return domainToASCII(address.slice(address.lastIndexOf('@') + 1))
    .toLowerCase()
    .replace(/^\[.*/, '')
}
