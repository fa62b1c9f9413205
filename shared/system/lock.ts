/**
 * A lock on a file that ends with the process that holds it: flock(2).
 *
 * The kernel lets go at the last close of the descriptor, however the process ends, so nothing stale is left by
 * kill -9 or a power cut. Descriptors of Node are close-on-exec: children do not keep the lock.
 * 'unknown' where flock cannot be called; the caller falls back on looking for the process.
 */
import { nativeCalls } from './native.ts'

const LOCK_EX = 2
const LOCK_NB = 4
/** errno(3) on Linux, EAGAIN and EWOULDBLOCK. */
const EAGAIN = 11

export function lockFile(fd: number): 'locked' | 'held-by-other' | 'unknown' {
  const calls = nativeCalls()
  if (!calls) return 'unknown'
  if (calls.flock(fd, LOCK_EX | LOCK_NB) === 0) return 'locked'
  return calls.errno() === EAGAIN ? 'held-by-other' : 'unknown'
}
