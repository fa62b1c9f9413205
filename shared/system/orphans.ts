/**
 * What programs that we start inherit from us, and what they leave to us.
 *
 * Children of children whose parents have left: they come to us instead of init (PR_SET_CHILD_SUBREAPER, prctl(2)), so
 * that whoever started a command can see what it left behind. They have to be reaped, because Node waits only for its own.
 */
import { readdirSync } from 'node:fs'
import { nativeCalls } from './native.ts'

const PR_SET_CHILD_SUBREAPER = 36
const WNOHANG = 1
const F_SETFD = 2
const FD_CLOEXEC = 1

/** False where it cannot be done: what leaves its process group is then not seen. */
export function adoptOrphans(): boolean {
  return nativeCalls()?.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) === 0
}

/**
 * Descriptors that we were given by whoever started the server, and that Node knows nothing of, are not handed on to
 * programs that we start.
 */
export function keepDescriptors(): void {
  const calls = nativeCalls()
  for (const name of calls ? readdirSync('/proc/self/fd') : []) {
    if (Number(name) > 2) calls?.fcntlFlag(Number(name), F_SETFD, FD_CLOEXEC)
  }
}

/** Takes the exit of one that is no child of Node's; false while it lives. */
export function reapOrphan(pid: number): boolean {
  return nativeCalls()?.waitpid(pid, null, WNOHANG) !== 0
}
