/**
 * The `reports` section: what the resolver is told of reports, and its right to hand them in. Fails: problems, never
 * exceptions.
 */
import { join } from 'node:path'
import type { ListenerSlice } from './listener-slices.ts'
import type { PolicySlice } from './policy-slice.ts'
import type { Problems } from './problem.ts'
import { type Config, placeOf } from './schema.ts'
import { formatPlace } from './source.ts'

export interface ReportsSlice {
  /** Which kinds are sent. */
  dmarc: boolean
  tls: boolean
  /** Holds `reports.db`. */
  directory: string
  from: string
  organization: string
  /** Rows of each database. */
  entries: number
  /** Of the listener that takes them. */
  socket: string
  /** Authorities behind `https` addresses; null: those that Node comes with. */
  caFile: string | null
}

interface Parts {
  config: Config
  problems: Problems
  hostname: string
  directory: string
  listeners: readonly ListenerSlice[]
}

export function buildReports({
  config,
  problems,
  hostname,
  directory,
  listeners,
}: Parts): ReportsSlice | null {
  const { reports } = config
  const { send, tls, organization, entries } = reports.values
  if (!areSent(config)) return null
  const at = placeOf(reports, send === 'yes' ? 'send' : 'tls')
  if (send === 'yes' && !listeners.some(({ authenticate }) => authenticate))
    problems.error(at, 'there is nothing to report', 'add `authenticate yes;` to a listener')
  const local = listeners.find(({ kind }) => kind === 'local')?.endpoint
  if (local?.kind !== 'unix')
    problems.error(at, 'reports cannot be handed in', 'add `listener "local" { socket "submit.sock"; };`')
  return {
    dmarc: send === 'yes',
    tls: tls === 'yes',
    directory: join(directory, 'reports'),
    from: reportSender(config, hostname),
    organization: organization ?? hostname,
    entries,
    socket: local?.kind === 'unix' ? local.path : '',
    caFile: config.resolver.values['mta-sts-ca-file'],
  }
}

function areSent({ reports: { values } }: Config): boolean {
  return values.send === 'yes' || values.tls === 'yes'
}

function reportSender({ options, reports }: Config, hostname: string): string {
  return reports.values.from ?? `postmaster@${options.values['qualify-domain'] ?? hostname}`
}

/** What smtpc counts for reports about TLS. */
export interface TlsReportsSlice {
  /** Whose mail is left out: a report would be the reason for the next one. */
  from: string
  /** Zones of type relay: their hosts are the config's word, and no domain's. */
  relays: string[]
}

export function tlsReports(config: Config, hostname: string): TlsReportsSlice | null {
  if (config.reports.values.tls === 'no') return null
  const relays = config.zone.filter(({ values }) => values.type === 'relay').map(({ name }) => name)
  return { from: reportSender(config, hostname), relays }
}

/** Whatever else is said about who may hand in mail: the resolver may, in the name that was chosen for it. */
export function reportPolicies(
  config: Config,
  busUids: Readonly<Record<string, number[]>> | null,
): PolicySlice[] {
  const users = busUids?.['resolver'] ?? []
  if (!areSent(config) || users.length === 0) return []
  return [
    {
      name: 'reports',
      place: formatPlace(config.reports.at),
      users,
      groups: [],
      senders: null,
      from: null,
      trusted: true,
      deny: false,
      messageSizeLimit: null,
      recipientLimit: null,
      account: null,
    },
  ]
}
