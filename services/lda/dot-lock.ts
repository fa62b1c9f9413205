/**
 * The lock file beside an mbox, `inbox.lock`, which other mail programs make and look for: while it is there nobody but
 * its maker writes.
 *
 * One that is older than STALE_MS was left by a program that died, and is removed. One of another user is no lock: whoever
 * may write to the directory could keep mail away with it. Where the user may not make files there is none (`/var/mail` of
 * group mail), and the lock on the mbox itself (`record-lock.ts`) is all there is.
 * Next: `mbox.ts`.
 */
import { closeSync, constants, lstatSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { errorCode } from './failure.ts'

export const STALE_MS = 500_000
const ROOT = 0
const CANNOT: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS'])

/** held: ours now; absent: there can be none; busy: somebody else's. */
export type DotLock = { kind: 'held'; release: () => void } | { kind: 'absent' } | { kind: 'busy' }

/** Throws with the kernel's code for anything else. */
export function takeDotLock(mbox: string, uid: number, now: number): DotLock {
  const path = `${mbox}.lock`
  try {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    const descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      writeSync(descriptor, `${process.pid}\n`)
    } finally {
      closeSync(descriptor)
    }
    return { kind: 'held', release: () => remove(path) }
  } catch (error) {
    const code = errorCode(error)
    if (code === 'EEXIST') return found(path, uid, now)
    if (CANNOT.has(code)) return { kind: 'absent' }
    remove(path) // no room for what is written in it
    throw error
  }
}

function found(path: string, uid: number, now: number): DotLock {
  const facts = lstatSync(path, { throwIfNoEntry: false })
  if (!facts) return { kind: 'busy' } // just gone: next time
  if (facts.uid !== uid && facts.uid !== ROOT) return { kind: 'absent' }
  if (now - facts.mtimeMs > STALE_MS) remove(path)
  return { kind: 'busy' }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // somebody else took it for stale
  }
}
