/**
 * What the resolver is told, and what mcp is told of the unbound that validates for it; part of `slice.ts`.
 */
import { join } from 'node:path'
import { type Facts, staysCaller } from './facts.ts'
import { buildMaps } from './maps.ts'
import type { Problems } from './problem.ts'
import { buildReports } from './reports.ts'
import { buildRelays } from './routing.ts'
import { zonePlaces } from './rule-book.ts'
import { checkFile } from './rules.ts'
import { type Config, placeOf } from './schema.ts'
import { buildGreylist, buildScreenings } from './screening.ts'
import type { ListenerSlice, ResolverSlice, ValidatorSlice } from './slices.ts'
import { buildSrs } from './srs.ts'
import { buildZones } from './zones.ts'

interface Parts {
  config: Config
  facts: Facts
  problems: Problems
  hostname: string
  directory: string
  listeners: readonly ListenerSlice[]
  busUids: Record<string, number[]> | null
}

export function buildResolver({
  config,
  facts,
  problems,
  hostname,
  directory,
  listeners,
  busUids,
}: Parts): ResolverSlice {
  const { values } = config.resolver
  return {
    hostname,
    zones: buildZones(config, facts, problems),
    zonePlaces: zonePlaces(config),
    relays: buildRelays(config, problems),
    maps: buildMaps(config, facts, problems),
    screenings: buildScreenings(config, problems),
    srs: buildSrs(config, facts, problems),
    greylist: buildGreylist(config, directory),
    reports: buildReports({ config, problems, hostname, directory, listeners }),
    sts: buildSts(config, facts, problems, directory),
    nameservers: values.nameservers,
    dnssec: values.dnssec,
    validatorPort: values['unbound-port'],
    dnsTimeout: values.timeout,
    dnsAttempts: values.attempts,
    cacheEntries: values['cache-entries'],
    cacheOctets: values['cache-size'],
    smtpPort: values['smtp-port'],
    ownAddresses: ownAddresses(listeners, facts, values['smtp-port']),
    recipientDelimiter: values['recipient-delimiter'],
    busUids,
    unprivileged: staysCaller(facts) ? { uid: facts.uid, gid: facts.gid } : null,
  }
}

function buildSts(
  { resolver }: Config,
  facts: Facts,
  problems: Problems,
  directory: string,
): ResolverSlice['sts'] {
  const caFile = resolver.values['mta-sts-ca-file']
  checkFile(caFile, placeOf(resolver, 'mta-sts-ca-file'), facts, problems)
  return resolver.values['mta-sts'] === 'yes' ? { directory: join(directory, 'sts'), caFile } : null
}

const LOOPBACK = ['127.0.0.1', '::1']
const ANY: readonly string[] = ['0.0.0.0', '::']

function ownAddresses(listeners: readonly ListenerSlice[], { interfaces }: Facts, port: number): string[] {
  const bound = listeners.flatMap(({ endpoint }) =>
    endpoint.kind === 'tcp' && endpoint.port === port ? [endpoint.address] : [],
  )
  const all = [...LOOPBACK, ...interfaces.map((network) => network.replace(/\/\d+$/, ''))]
  return [...new Set(bound.flatMap((address) => (ANY.includes(address) ? all : [address])))]
}

const OF_UNBOUND = ['unbound-program', 'unbound-port', 'unbound-forward', 'trust-anchor'] as const

/** Of Debian's `dns-root-data`. */
const ROOT_KEY = '/usr/share/dns/root.key'

/** Null where nobody is to be run for it. */
export function buildValidator(
  { config, facts, problems }: Pick<Parts, 'config' | 'facts' | 'problems'>,
  directory: string,
  runDirectory: string,
): ValidatorSlice | null {
  const { resolver } = config
  const { values } = resolver
  if (values.dnssec !== 'unbound') {
    for (const option of OF_UNBOUND.filter((name) => resolver.where.has(name)))
      problems.error(placeOf(resolver, option), `\`${option}\` is of no use without \`dnssec unbound\``)
    return null
  }
  checkFiles(config, facts, problems)
  checkQuotes(config, problems)
  return {
    program: values['unbound-program'],
    configFile: join(runDirectory, 'unbound.conf'),
    directory: join(directory, 'dnssec'),
    port: values['unbound-port'],
    forward: values['unbound-forward'],
    trustAnchor: values['trust-anchor'],
    rootKey: ROOT_KEY,
  }
}

/** Its file has strings in quotes, and no way to have one in a string. */
function checkQuotes({ resolver }: Config, problems: Problems): void {
  const anchor = resolver.values['trust-anchor']
  if (anchor === null || !/["\\\p{Cc}]/u.test(anchor)) return
  problems.error(placeOf(resolver, 'trust-anchor'), `unbound cannot read a path like \`${anchor}\``)
}

function checkFiles({ resolver }: Config, { readable }: Facts, problems: Problems): void {
  const { 'unbound-program': program, 'trust-anchor': anchor } = resolver.values
  if (readable(program) === 'absent') {
    const at = placeOf(resolver, resolver.where.has('unbound-program') ? 'unbound-program' : 'dnssec')
    problems.error(at, `there is no \`${program}\``, '`apt install unbound`, or say where it is')
  }
  const key = anchor ?? ROOT_KEY
  if (readable(key) !== 'absent') return
  const at = placeOf(resolver, anchor === null ? 'dnssec' : 'trust-anchor')
  problems.error(at, `there is no \`${key}\``, '`apt install dns-root-data`, or name a `trust-anchor`')
}
