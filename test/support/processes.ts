/**
 * What /proc says of Posthorn's processes: who is whose child, which worker it is, how much memory it holds.
 */
import { readdirSync, readFileSync } from 'node:fs'

export interface WorkerProcess {
  pid: number
  /** `smtpd-1`, as the worker calls itself; '' before it is configured. */
  name: string
}

/** Every process whose parent is `parent`. */
export function childrenOf(parent: number): WorkerProcess[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
    .map((pid) => ({ pid, name: nameOf(pid) }))
}

function parentOf(pid: number): number {
  // the name in parentheses may hold anything, so count from the last one
  const stat = readProc(pid, 'stat')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? -1)
}

function nameOf(pid: number): string {
  return /^posthorn: ([\w-]+)/.exec(readProc(pid, 'cmdline').replaceAll('\0', ' '))?.[1] ?? ''
}

/** False for the dead, and for zombies that wait for their parent. */
export function isAlive(pid: number): boolean {
  const stat = readProc(pid, 'stat')
  return stat !== '' && stat.slice(stat.lastIndexOf(')') + 2).charAt(0) !== 'Z'
}

/** Resident octets now, and the most there ever were. */
export function memoryOf(pid: number): { resident: number; peak: number } {
  const status = readProc(pid, 'status')
  const read = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) * 1024
  return { resident: read('VmRSS'), peak: read('VmHWM') }
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return '' // it has ended in the meantime
  }
}
