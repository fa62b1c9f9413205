/** The bench's figures as text: medians, spreads, ratios. */
import type { Run } from './measure.ts'
import type { Case } from './options.ts'
import type { Memory } from './process-tree.ts'
import type { ServerName } from './servers.ts'

export interface Result {
  name: ServerName
  runs: Run[]
  idle: Memory
  loaded: Memory
}

export function describeCase(load: Case): string {
  const recipients = load.recipients === 1 ? '' : `, ${load.recipients} recipients`
  const connections = load.reconnect ? 'a connection for each message' : 'connections reused'
  const sessions = load.sessions === 1 ? '1 session' : `${load.sessions} sessions`
  return `${sessions}, ${connections}, ${load.size} octets${recipients}`
}

type Figure = 'accepted' | 'delivered' | 'cpuMs'

export function medians(runs: readonly Run[]): Record<Figure, number> {
  const pick = (figure: Figure) => median(runs.map((run) => run[figure]))
  return { accepted: pick('accepted'), delivered: pick('delivered'), cpuMs: pick('cpuMs') }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
}

export function table(results: readonly Result[]): string {
  const rows = [
    ['', 'accepted/s', 'delivered/s', 'CPU ms/message', 'PSS idle MiB', 'PSS loaded MiB', 'processes'],
    ...results.map(row),
  ]
  const [ours, ...peers] = results
  if (ours) rows.push(...peers.map((theirs) => ratios(ours, theirs)))
  return [...rows.map(alignRow), ...results.map(whereCpuWent)].join('\n')
}

function row({ name, runs, idle, loaded }: Result): string[] {
  const { accepted, delivered, cpuMs } = medians(runs)
  return [
    name,
    `${accepted.toFixed(0)}${spread(runs, 'accepted', 0)}`,
    `${delivered.toFixed(0)}${spread(runs, 'delivered', 0)}`,
    `${cpuMs.toFixed(3)}${spread(runs, 'cpuMs', 3)}`,
    idle.pssMiB.toFixed(0),
    loaded.pssMiB.toFixed(0),
    `${idle.processes} / ${loaded.processes}`,
  ]
}

/** The median CPU time of each process that used any to speak of. */
function whereCpuWent({ name, runs }: Result): string {
  const processes = new Set(runs.flatMap((run) => Object.keys(run.cpuMsBy)))
  const parts = [...processes]
    .map((process) => ({ process, ms: median(runs.map((run) => run.cpuMsBy[process] ?? 0)) }))
    .filter(({ ms }) => ms >= 0.001)
    .sort((a, b) => b.ms - a.ms)
  return `CPU ms/message of ${name}: ${parts.map(({ process, ms }) => `${process} ${ms.toFixed(3)}`).join(', ')}`
}

function spread(runs: readonly Run[], figure: Figure, digits: number): string {
  if (runs.length < 2) return ''
  const values = runs.map((run) => run[figure])
  return ` [${Math.min(...values).toFixed(digits)}..${Math.max(...values).toFixed(digits)}]`
}

/** Posthorn's part of the peer's: more is better for rates, less for CPU and memory. */
function ratios(ours: Result, theirs: Result): string[] {
  const a = medians(ours.runs)
  const b = medians(theirs.runs)
  return [
    `: ${theirs.name}`,
    `${(a.accepted / b.accepted).toFixed(2)}x`,
    `${(a.delivered / b.delivered).toFixed(2)}x`,
    `${(a.cpuMs / b.cpuMs).toFixed(2)}x`,
    `${(ours.idle.pssMiB / theirs.idle.pssMiB).toFixed(2)}x`,
    `${(ours.loaded.pssMiB / theirs.loaded.pssMiB).toFixed(2)}x`,
    '',
  ]
}

function alignRow(cells: readonly string[]): string {
  const [first = '', ...rest] = cells
  return first.padEnd(10) + rest.map((cell, at) => cell.padStart(at < 3 ? 25 : 16)).join('')
}
