/**
 * The directories on the way to a mailbox: whether nobody else can put something in the place of one of them, and how
 * missing ones are made.
 *
 * From `/` down each must be a directory of root or of the user that others cannot write to; a sticky one that all may
 * write to (`/tmp`) will do, since nobody can rename what is ours in it. A symbolic link is followed where root made it
 * (`/home` on another disk), nobody else's is. So no name on the way can be changed under us by anybody but the user and
 * root, and what is checked here stays as it was.
 *
 * Fails: `MailboxRefused`, or the kernel's error, ENOENT for what is not there.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  type Stats,
} from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { errorCode, MailboxRefused } from './failure.ts'

const DIRECTORY_MODE = 0o700
const OTHERS_WRITE = 0o002
const GROUP_WRITES = 0o020
const STICKY = 0o1000
const MOST_LINKS = 8
const ROOT = 0

export interface Owner {
  uid: number
  gid: number
}

/** Throws unless `directory` and all above it are as they must be. */
export function checkWay(directory: string, owner: Owner): void {
  let parts = directory.split('/').filter((part) => part !== '')
  let at = '/'
  let links = 0
  checkDirectory(at, lstatSync(at), owner)
  while (parts.length > 0) {
    const [name = '', ...rest] = parts
    const next = join(at, name)
    const facts = lstatSync(next)
    if (facts.isSymbolicLink()) {
      const target = resolve(at, followed(next, facts, ++links))
      parts = [...target.split('/').filter((part) => part !== ''), ...rest]
      at = '/'
      continue
    }
    checkDirectory(next, facts, owner)
    parts = rest
    at = next
  }
}

function followed(path: string, { uid }: Stats, links: number): string {
  if (uid !== ROOT) throw new MailboxRefused(`${path} is a symbolic link that uid ${uid} made`)
  if (links > MOST_LINKS) throw new MailboxRefused(`${path} is one symbolic link too many`)
  return readlinkSync(path)
}

function checkDirectory(path: string, facts: Stats, { uid, gid }: Owner): void {
  if (!facts.isDirectory()) throw new MailboxRefused(`${path} is not a directory`)
  if (facts.uid !== uid && facts.uid !== ROOT) throw new MailboxRefused(`${path} belongs to uid ${facts.uid}`)
  if ((facts.mode & STICKY) !== 0) return
  if ((facts.mode & OTHERS_WRITE) !== 0) throw new MailboxRefused(`others can write to ${path}`)
  // root knows its groups: /var/mail is of group mail
  if ((facts.mode & GROUP_WRITES) !== 0 && facts.uid !== ROOT && facts.gid !== gid)
    throw new MailboxRefused(`the group ${facts.gid} can write to ${path}`)
}

/**
 * Makes what is missing below the home, durably, and the home itself in a directory of our own; elsewhere it is most
 * likely not mounted. `own` are directories that are made in any case.
 *
 * @returns what was made.
 */
export function makeDirectories(home: string, path: string, uid: number, own: readonly string[]): string[] {
  const homes = isIn(home, path) && isOwnedBy(dirname(home), uid) ? [home] : []
  const made = [...homes, ...between(home, path), ...own].filter(makeDirectory)
  for (const parent of new Set(made.map((directory) => dirname(directory)))) syncDirectoryNow(parent)
  return made
}

function isIn(directory: string, path: string): boolean {
  const inner = relative(directory, path)
  return inner !== '' && inner !== '..' && !inner.startsWith(`..${sep}`)
}

function isOwnedBy(path: string, uid: number): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.uid === uid
}

/** The directories below `home` on the way to `path`, outermost first; none when it lies elsewhere. */
function between(home: string, path: string): string[] {
  if (!isIn(home, path)) return []
  const steps = relative(home, path).split(sep).slice(0, -1)
  return steps.map((_step, index) => join(home, ...steps.slice(0, index + 1)))
}

/** Blocks: a mailbox is made once in its life. */
export function syncDirectoryNow(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: DIRECTORY_MODE })
    return true
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false
    throw error
  }
}
