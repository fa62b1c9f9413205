/**
 * Reads `~/.forward`, as the user, at each delivery.
 *
 * It is refused when anybody but the user (or root) could have written it: the file and the home belong to the user or
 * root and are not writable by group or others, and it is a plain file, not a link. Refused or faulty, the mail goes into
 * the mailbox, and the log says why. Fails: throws with the kernel's code when it is there and cannot be read now
 * (EIO, EACCES): the mail waits then, because nobody knows what it says.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from './failure.ts'
import { type Forward, readForward } from './forward-text.ts'

const MOST_OCTETS = 1 << 16
const WRITABLE_BY_OTHERS = 0o022

export type Found = Forward | { kind: 'unsafe'; why: string }

export interface ForwardQuestion {
  home: string
  uid: number
  user: string
  address: string
}

export function findForward({ home, uid, user, address }: ForwardQuestion): Found {
  const descriptor = openQuietly(join(home, '.forward'))
  if (descriptor === null) return { kind: 'none' }
  if (descriptor === 'link') return { kind: 'unsafe', why: '.forward is a symbolic link' }
  try {
    const facts = fstatSync(descriptor)
    const why = whyUnsafe(facts, uid, '.forward') ?? whyUnsafe(lstatSync(home), uid, 'the home')
    if (why !== null) return { kind: 'unsafe', why }
    if (!facts.isFile()) return { kind: 'unsafe', why: '.forward is not a file' }
    if (facts.size > MOST_OCTETS)
      return { kind: 'unsafe', why: `.forward has more than ${MOST_OCTETS} octets` }
    const buffer = Buffer.alloc(MOST_OCTETS)
    const octets = readSync(descriptor, buffer, 0, MOST_OCTETS, 0)
    return readForward(buffer.toString('utf8', 0, octets), address, user)
  } finally {
    closeSync(descriptor)
  }
}

/** Null: there is none. */
function openQuietly(path: string): number | 'link' | null {
  try {
    // neither a link nor a FIFO leads anywhere else or holds anybody up
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    if (code === 'ELOOP') return 'link'
    throw error
  }
}

function whyUnsafe({ uid, mode }: Stats, user: number, what: string): string | null {
  if (uid !== user && uid !== 0) return `${what} belongs to uid ${uid}`
  return (mode & WRITABLE_BY_OTHERS) === 0 ? null : `${what} can be written by others`
}
