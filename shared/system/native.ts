/**
 * The door to the C library: the few calls that Node does not offer, through koffi.
 *
 * koffi is loaded at the first call and not before (about 4 MiB and 15 ms), so that a process that never asks
 * never pays. Where it cannot be loaded, or the platform is none we know the constants of, `nativeCalls` is null
 * and `whyNoNative` says why in one sentence; callers then do without, and say so. Nothing here throws.
 * Next: `credentials.ts`, `lock.ts`, which give these calls meaning.
 */
import { createRequire } from 'node:module'

export interface NativeCalls {
  /** 0, or -1 with `errno`. `length` holds the size of `value`, and then what the kernel filled in. */
  getsockopt: (fd: number, level: number, option: number, value: Uint8Array, length: [number]) => number
  flock: (fd: number, operation: number) => number
  /** `limit`: two numbers of 64 bits, soft and hard; null where numbers are of another size here. */
  prlimit: ((pid: number, resource: number, limit: Uint8Array, old: null) => number) | null
  prctl: (option: number, value: number, second: number, third: number, fourth: number) => number
  /** `value` is a `struct flock`. */
  fcntl: (fd: number, command: number, value: Uint8Array) => number
  fcntlFlag: (fd: number, command: number, value: number) => number
  waitpid: (pid: number, status: null, options: number) => number
  errno: () => number
}

interface Library {
  func: (declaration: string) => (...values: never[]) => number
}
interface Koffi {
  /** Null loads the symbols that the running program has already: its C library. */
  load: (path: null) => Library
  errno: () => number
}

let loaded: { calls: NativeCalls | null; trouble: string } | null = null

export function nativeCalls(): NativeCalls | null {
  loaded ??= load()
  return loaded.calls
}

/** One sentence, or '' where the calls work. */
export function whyNoNative(): string {
  loaded ??= load()
  return loaded.trouble
}

/** Where a limit has 64 bits. */
const WIDE: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'ppc64', 's390x', 'loong64'])

function load(): { calls: NativeCalls | null; trouble: string } {
  if (process.platform !== 'linux') return { calls: null, trouble: `no native calls on ${process.platform}` }
  try {
    const require = createRequire(import.meta.url)
    const koffi = require('koffi') as Koffi
    const library = koffi.load(null)
    const getsockopt = library.func(
      'int getsockopt(int fd, int level, int option, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
    ) as NativeCalls['getsockopt']
    const flock = library.func('int flock(int fd, int operation)') as NativeCalls['flock']
    const prctl = library.func(
      'int prctl(int option, unsigned long value, unsigned long second, unsigned long third, unsigned long fourth)',
    ) as NativeCalls['prctl']
    const fcntl = library.func(
      'int fcntl(int fd, int command, _Inout_ uint8_t *value)',
    ) as NativeCalls['fcntl']
    const fcntlFlag = library.func('int fcntl(int fd, int command, long value)') as NativeCalls['fcntlFlag']
    const waitpid = library.func('int waitpid(int pid, void *status, int options)') as NativeCalls['waitpid']
    const prlimit = WIDE.has(process.arch)
      ? (library.func(
          'int prlimit(int pid, int resource, const uint8_t *limit, void *old)',
        ) as NativeCalls['prlimit'])
      : null
    const calls = { getsockopt, flock, prctl, prlimit, fcntl, fcntlFlag, waitpid, errno: () => koffi.errno() }
    return { calls, trouble: '' }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { calls: null, trouble: `native calls cannot be loaded (${text.split('\n', 1)[0]})` }
  }
}
