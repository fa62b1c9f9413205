/**
 * One instance at a time: the pid file, locked as long as we live.
 *
 * The lock is the kernel's (flock): it ends with the process, so a file left by kill -9 or a power cut holds
 * nobody up. Where flock cannot be had, the process that the file names is looked for instead.
 * The file is removed at a clean end; one found with a pid in it tells that the predecessor crashed, whose
 * workers may still be leaving.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { lockFile } from '../../shared/system/lock.ts'

export type PidFile =
  | { kind: 'taken'; predecessorCrashed: boolean; release: () => void }
  | { kind: 'held'; pid: number | null }

const LONGEST_PID = 20
const MODE = 0o644
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW

/** @throws the system's error when the file cannot be opened. */
export function takePidFile(path: string): PidFile {
  const fd = openSync(path, FLAGS, MODE)
  const lock = lockFile(fd)
  const pid = readPid(fd)
  if (lock === 'held-by-other' || (lock === 'unknown' && pid !== null && lives(pid))) {
    closeSync(fd)
    return { kind: 'held', pid }
  }
  if (!isStillAt(fd, path)) {
    closeSync(fd) // its holder removed it between our open and our lock
    return takePidFile(path)
  }
  fchmodSync(fd, MODE)
  ftruncateSync(fd, 0)
  writeSync(fd, `${process.pid}\n`, 0)
  return {
    kind: 'taken',
    predecessorCrashed: pid !== null,
    release: () => {
      unlinkSync(path)
      closeSync(fd)
    },
  }
}

function readPid(fd: number): number | null {
  const buffer = Buffer.alloc(LONGEST_PID)
  const octets = readSync(fd, buffer, 0, LONGEST_PID, 0)
  const text = buffer.toString('latin1', 0, octets).trim()
  return /^[1-9]\d*$/.test(text) ? Number(text) : null
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isStillAt(fd: number, path: string): boolean {
  const mine = fstatSync(fd)
  const there = statSync(path, { throwIfNoEntry: false })
  return there?.ino === mine.ino && there.dev === mine.dev
}
