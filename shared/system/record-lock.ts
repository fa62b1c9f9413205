/**
 * The lock on a file that other mail programs know: fcntl(2), for writing, of the whole file.
 *
 * It belongs to the open file (F_OFD_SETLK) and not to the process, so that two of our own do not share it by mistake and
 * another descriptor that is closed does not let it go; for others it is the same lock. It ends with the descriptor.
 * 'unknown' where fcntl cannot be called; the caller then has its lock file alone, and says so.
 */
import { endianness } from 'node:os'
import { nativeCalls } from './native.ts'

const F_OFD_SETLK = 37
const F_WRLCK = 1
/** errno(3) on Linux. */
const BUSY: ReadonlySet<number> = new Set([11, 13])
/** `struct flock` with 64-bit offsets: l_type and l_whence, 4 octets of nothing, l_start, l_len, l_pid. */
const FLOCK_SIZE = 32
const WIDE: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'loong64', 's390x', 'ppc64'])

export function lockRecord(fd: number): 'locked' | 'held-by-other' | 'unknown' {
  const calls = WIDE.has(process.arch) ? nativeCalls() : null
  if (!calls) return 'unknown'
  const request = Buffer.alloc(FLOCK_SIZE)
  if (endianness() === 'LE') request.writeInt16LE(F_WRLCK, 0)
  else request.writeInt16BE(F_WRLCK, 0)
  if (calls.fcntl(fd, F_OFD_SETLK, request) === 0) return 'locked'
  return BUSY.has(calls.errno()) ? 'held-by-other' : 'unknown'
}
