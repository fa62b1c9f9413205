/**
 * The guarantees that are off here, one sentence each: for `posthorn status`, the log and the terminal.
 */
import { systemProbe } from '../../shared/system/credentials.ts'
import { hasSetpriv } from './worker-process.ts'

export function missingGuarantees(caller: { uid: number } | null): string[] {
  const missing = [...systemProbe()]
  if (caller) {
    const whom = caller.uid === 0 ? 'root' : `uid ${caller.uid}`
    missing.push(`all processes run as ${whom}: who breaks into one of them has all rights of that user`)
  }
  if (!hasSetpriv) missing.push('there is no setpriv: a set-uid program could give rights back to a worker')
  return missing
}
