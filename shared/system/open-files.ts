/**
 * How many files and sockets a process may have open (RLIMIT_NOFILE, prlimit(2)). Node uses all that its hard limit
 * allows, so the hard one is what counts. Raising it needs CAP_SYS_RESOURCE, and the kernel's `fs.nr_open` bounds it.
 */
import { readFileSync } from 'node:fs'
import { nativeCalls } from './native.ts'

const RLIMIT_NOFILE = 7

/** Infinity: no limit; null: it cannot be told. */
export function openFileLimit(pid: number): number | null {
  try {
    const [, hard] =
      /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1')) ?? []
    if (hard === undefined) return null
    return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard)
  } catch {
    return null
  }
}

/** False: this process may not, or not so far. */
export function setOpenFileLimit(pid: number, files: number): boolean {
  const both = new BigUint64Array([BigInt(files), BigInt(files)])
  const call = nativeCalls()?.prlimit
  return call?.(pid, RLIMIT_NOFILE, new Uint8Array(both.buffer), null) === 0
}
