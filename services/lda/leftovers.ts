/**
 * What a command has left behind: its process group, and those who left that for a session of their own. The latter come
 * to us when their parents are dead (`shared/system/orphans.ts`) and are known by the mark in their environment; who has
 * wiped that out is killed when no other command runs any more.
 *
 * Limits: MOST_ROUNDS looks, because who is killed may have had children meanwhile. Without native calls only the group
 * is found.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { adoptOrphans, reapOrphan } from '../../shared/system/orphans.ts'
import { MARK } from './command-line.ts'

const MOST_ROUNDS = 100
const ROUND_MS = 10
/** Field of /proc/PID/stat, counted behind the name: proc(5). */
const SESSION = 3

const running = new Set<number>()
let adopting: boolean | null = null

/** Before the first command. */
export function beginCommand(): void {
  adopting ??= adoptOrphans()
}

export function commandStarted(pid: number): void {
  running.add(pid)
}

/** Resolves when all of them are dead, or after MOST_ROUNDS. */
export async function killLeftovers(pid: number, mark: string): Promise<void> {
  running.delete(pid)
  if (pid > 0) kill(-pid)
  if (!adopting) return
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const found = strangers().filter((one) => isOf(one, mark))
    if (found.length === 0) return
    for (const one of found) kill(one)
    await wait(ROUND_MS)
    for (const one of found) reapOrphan(one)
  }
}

/** Children of ours that we did not start: ours are in our session, or are commands that still run. */
function strangers(): number[] {
  const own = sessionOf(process.pid)
  return children().filter((pid) => !running.has(pid) && sessionOf(pid) !== own)
}

function children(): number[] {
  try {
    const tasks = readdirSync('/proc/self/task')
    return tasks.flatMap((task) =>
      readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' ').map(Number).filter(Boolean),
    )
  } catch {
    return [] // a kernel that does not tell
  }
}

function sessionOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`)
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .at(SESSION)
}

function isOf(pid: number, mark: string): boolean {
  const environment = read(`/proc/${pid}/environ`)
  if (!environment.includes(`${MARK}=`)) return running.size === 0
  return environment.split('\0').includes(`${MARK}=${mark}`)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // it is gone, or is not to be looked into
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // there is nobody left
  }
}
