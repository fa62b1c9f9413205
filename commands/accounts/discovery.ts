/**
 * Where a domain says that its users hand in their mail: SRV records for submission (RFC 6186 section 3.4, RFC 8314
 * section 5.1), and an account made of them. TLS from the first octet is taken before STARTTLS, then lower priority,
 * then higher weight.
 *
 * DNS is not proven here, so a provider outside of the domain is shown with a warning (RFC 6186 section 6): whoever
 * could forge the answer would get the password. Fails: `findSubmission` rejects when DNS does not answer.
 */
import { Resolver } from 'node:dns/promises'
import { quote } from '../../shared/config/types.ts'

export interface Service {
  host: string
  port: number
  tls: 'implicit' | 'starttls'
}

export type Found =
  | { kind: 'found'; services: Service[] }
  /** It says that there is none (RFC 6186 section 3.4: the target `.`). */
  | { kind: 'refused' }
  | { kind: 'silent' }

export interface SrvRecord {
  name: string
  port: number
  priority: number
  weight: number
}

const SERVICES = [
  { label: '_submissions._tcp', tls: 'implicit' },
  { label: '_submission._tcp', tls: 'starttls' },
] as const
const TRY_MS = 5000
const TRIES = 2
const MOST_SERVICES = 8
/** No such name, or nothing of this type: all else is trouble. */
const ABSENT: readonly string[] = ['ENOTFOUND', 'ENODATA']

/** @param servers to ask, `ADDRESS` or `ADDRESS:PORT`; empty: those of this machine. */
export async function findSubmission(domain: string, servers: readonly string[]): Promise<Found> {
  const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers(servers)
  const answers = await Promise.all(
    SERVICES.map(({ label }) => resolver.resolveSrv(`${label}.${domain}`).catch(absence)),
  )
  return readServices(answers)
}

function absence(error: NodeJS.ErrnoException): SrvRecord[] {
  if (ABSENT.includes(error.code ?? '')) return []
  throw error
}

/** @param answers in the order of SERVICES. */
export function readServices(answers: readonly (readonly SrvRecord[])[]): Found {
  const offered = answers.map((records) => records.filter(({ name }) => name !== '' && name !== '.'))
  const services = SERVICES.flatMap(({ tls }, n) =>
    [...(offered[n] ?? [])]
      .sort((a, b) => a.priority - b.priority || b.weight - a.weight)
      .map(({ name, port }) => ({ host: name.toLowerCase().replace(/\.$/, ''), port, tls })),
  )
  if (services.length > 0) return { kind: 'found', services: services.slice(0, MOST_SERVICES) }
  return { kind: answers.some((records) => records.length > 0) ? 'refused' : 'silent' }
}

/** The best of them as an account; the others as comments. */
export function renderFound(address: string, domain: string, [best, ...others]: readonly Service[]): string {
  if (!best) return ''
  const outside = best.host !== domain && !best.host.endsWith(`.${domain}`)
  const lines = [
    ...(outside
      ? [`// ${best.host} is not in ${domain}, and DNS can be forged: is it your provider's?`]
      : []),
    `account ${quote(domain)} {`,
    `    from ${quote(address)};`,
    `    host ${quote(best.host)} port ${best.port};`,
    `    tls ${best.tls};`,
    `    auth user ${quote(address)};`,
    `    password-from secret-tool "host" ${quote(best.host)} "user" ${quote(address)};`,
    '};',
    ...others.map(({ host, port, tls }) => `// or: host ${quote(host)} port ${port}; tls ${tls};`),
  ]
  return `${lines.join('\n')}\n`
}
