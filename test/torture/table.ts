/** The one table at the end of a run: a row for each kind of torture. Pure. */
import type { FaultResult } from './fault-rig.ts'
import type { KillResult } from './kill-rig.ts'
import type { Verdict } from './oracle.ts'
import type { PowerResult } from './power-rig.ts'

export interface Row {
  what: string
  promised: number
  lost: number
  duplicated: number | null
  doubleBounced: number
  corrupted: number
  /** Everything else that must not be: strays, wrong reports, hard replies, restarts. */
  other: string[]
}

const COLUMNS = ['', 'promised', 'lost', 'duplicated', 'double-bounced', 'corrupted'] as const

export function rowOfKills({ kills, verdict }: KillResult): Row {
  return rowOf(`${kills} kills`, verdict)
}

export function rowOfCuts({ accepted, corrupted, cuts, disks, doubleBounced, lost }: PowerResult): Row {
  const what = `${cuts} power cuts, ${disks} disks`
  return { what, promised: accepted, lost, duplicated: null, doubleBounced, corrupted, other: [] }
}

export function rowOfFault(result: FaultResult): Row {
  const row = rowOf(result.name, result.verdict)
  const twice = result.refusedButArrived > 0 ? [`${result.refusedButArrived} refused, yet delivered`] : []
  const unfelt = result.felt ? [] : ['not felt']
  return {
    ...row,
    other: [...row.other, ...result.hard, ...result.restarted.map(restarted), ...twice, ...unfelt],
  }
}

const restarted = (worker: string) => `${worker} was restarted`

function rowOf(what: string, verdict: Verdict): Row {
  return {
    what,
    promised: verdict.promised,
    lost: verdict.lost.length,
    duplicated: verdict.duplicates,
    doubleBounced: verdict.doubleBounced.length,
    corrupted: verdict.corrupted,
    other: [...verdict.strays, ...verdict.wronglyBounced],
  }
}

/** Duplicates are allowed; nothing else is. */
export function isGood({ lost, doubleBounced, corrupted, other }: Row): boolean {
  return lost === 0 && doubleBounced === 0 && corrupted === 0 && other.length === 0
}

export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.what,
    ...[row.promised, row.lost, row.duplicated ?? '-', row.doubleBounced, row.corrupted].map(String),
  ])
  const widths = COLUMNS.map((title, at) =>
    Math.max(title.length, ...cells.map((line) => line[at]?.length ?? 0)),
  )
  const lines = [[...COLUMNS], ...cells].map((line) =>
    line
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  '),
  )
  const others = rows.flatMap(({ what, other }) => other.slice(0, 10).map((one) => `  ${what}: ${one}`))
  return [...lines, ...others].join('\n')
}
