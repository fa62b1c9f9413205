/**
 * A process that holds secrets leaves no core file, and no other process of its user looks into its memory:
 * PR_SET_DUMPABLE, prctl(2). False where that cannot be had; the caller says so.
 */
import { nativeCalls } from './native.ts'

const PR_SET_DUMPABLE = 4

export function refuseCoreDumps(): boolean {
  return nativeCalls()?.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0
}
