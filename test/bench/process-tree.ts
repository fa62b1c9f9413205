/**
 * What a server costs, read from /proc over its whole process tree: CPU time with that of children that have
 * ended and been waited for, and memory as PSS, in which shared pages count once.
 */
import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ: what /proc counts in, on every Linux. */
const MS_PER_TICK = 10

export interface Memory {
  processes: number
  pssMiB: number
}

/** CPU milliseconds by the process's name; a peer's processes of one kind are one row. */
export type CpuTime = Readonly<Record<string, number>>

export function cpuTimeOf(root: number): CpuTime {
  const times: Record<string, number> = {}
  for (const pid of treeOf(root)) {
    const name = nameOf(pid)
    times[name] = (times[name] ?? 0) + ticksOf(pid) * MS_PER_TICK
  }
  return times
}

/** What was used between two readings; who is gone by the second one is in its parent's time. */
export function cpuTimeSince(before: CpuTime, after: CpuTime): CpuTime {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return Object.fromEntries([...names].map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)]))
}

export function sumOf(times: CpuTime): number {
  return Object.values(times).reduce((sum, one) => sum + one, 0)
}

export function memoryOf(root: number): Memory {
  const all = treeOf(root)
  const kib = all.map((pid) => Number(/^Pss:\s+(\d+) kB/m.exec(read(pid, 'smaps_rollup'))?.[1] ?? 0))
  return { processes: all.length, pssMiB: kib.reduce((sum, one) => sum + one, 0) / 1024 }
}

function treeOf(root: number): number[] {
  const parents = readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) ? [[+name, parentOf(+name)]] : [],
  )
  const all = [root]
  for (const pid of all) for (const [child = 0, parent] of parents) if (parent === pid) all.push(child)
  return all
}

/** Field 4 of proc_pid_stat(5); the name before it may hold anything. */
function parentOf(pid: number): number {
  const stat = read(pid, 'stat')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? -1)
}

/** Our workers call themselves `posthorn: qmgr`; others go by the name of their program. */
function nameOf(pid: number): string {
  const title = /^posthorn: ([\w-]+)/.exec(read(pid, 'cmdline').replaceAll('\0', ' '))?.[1]
  return title ?? read(pid, 'comm').trim()
}

/** utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5). */
function ticksOf(pid: number): number {
  const stat = read(pid, 'stat')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return '' // it has ended in the meantime; its parent's figures hold its time
  }
}
