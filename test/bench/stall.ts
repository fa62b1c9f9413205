/**
 * How long intake stood still at worst: qmgr's own figure of its longest commit, checkpoints of the database
 * included, since nothing is accepted while one is under way.
 */
import type { Posthorn } from '../support/posthorn.ts'
import { until } from '../support/wait.ts'

interface Status {
  processes: { role: string; figures: Record<string, number> }[]
}

/** Figures come with heartbeats: waits for those that know of `least` accepted messages and of nothing under way. */
async function qmgrFigures(posthorn: Posthorn, least: number): Promise<Record<string, number>> {
  const read = async () => {
    const { stdout } = await posthorn.command('status', '--json')
    const { processes } = JSON.parse(stdout) as Status
    const figures = processes.find(({ role }) => role === 'qmgr')?.figures
    return figures && (figures['accepted'] ?? 0) >= least && figures['active'] === 0 ? figures : null
  }
  return until("qmgr's figures", read, 60_000)
}

/** @param least messages that it must have accepted by then. */
export async function longestCommit(posthorn: Posthorn, least: number): Promise<string> {
  const { longestCommitMs, batches } = await qmgrFigures(posthorn, least)
  const longest = longestCommitMs === undefined ? 'unknown' : `${longestCommitMs.toFixed(1)} ms`
  return `longest commit of posthorn in the whole run: ${longest}, of ${batches ?? 0} commits`
}
