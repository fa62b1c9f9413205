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
  /** Holds `reports.db`. */
  directory: string
  from: string
  organization: string
  /** Rows of the database. */
  entries: number
  /** Of the listener that takes them. */
  socket: string
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
  const { send, from, organization, entries } = reports.values
  if (send === 'no') return null
  const at = placeOf(reports, 'send')
  if (!listeners.some(({ authenticate }) => authenticate))
    problems.error(at, 'there is nothing to report', 'add `authenticate yes;` to a listener')
  const local = listeners.find(({ kind }) => kind === 'local')?.endpoint
  if (local?.kind !== 'unix')
    problems.error(at, 'reports cannot be handed in', 'add `listener "local" { socket "submit.sock"; };`')
  return {
    directory: join(directory, 'reports'),
    from: from ?? `postmaster@${config.options.values['qualify-domain'] ?? hostname}`,
    organization: organization ?? hostname,
    entries,
    socket: local?.kind === 'unix' ? local.path : '',
  }
}

/** Whatever else is said about who may hand in mail: the resolver may, in the name that was chosen for it. */
export function reportPolicies(
  { reports }: Config,
  busUids: Readonly<Record<string, number[]>> | null,
): PolicySlice[] {
  const users = busUids?.['resolver'] ?? []
  if (reports.values.send === 'no' || users.length === 0) return []
  return [
    {
      name: 'reports',
      place: formatPlace(reports.at),
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
