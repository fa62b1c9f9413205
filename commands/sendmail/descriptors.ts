/**
 * Descriptors that whoever called left open: a lock, a database, the listening socket of a web server. They are none
 * of ours, and a mail program that waits for its server must not keep them busy, so they are closed before anything
 * is read. 0, 1 and 2 stay; where they were closed Node has put /dev/null there.
 *
 * Node has descriptors of its own by now, which nothing marks as such; so what it may have is left alone: whatever
 * has no name (epoll, eventfd), /dev/null, and a pipe of which both ends and no more are here. Never fails: without
 * /proc, nothing is closed.
 */
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface Descriptor {
  fd: number
  /** What /proc says it is: `socket:[12]`, `/var/lib/x`. */
  target: string
  /** It was opened for writing alone. */
  writes: boolean
}

const KEPT = /^(anon_inode:|\/dev\/null$|\/proc\/)/
const LISTED = '/proc/self/fd'

export function closeInherited(): void {
  for (const fd of inherited(listDescriptors())) {
    try {
      closeSync(fd)
    } catch {
      // it was that of the list itself
    }
  }
}

/** Pure: which of them cannot be Node's own. */
export function inherited(open: readonly Descriptor[]): number[] {
  const ends = new Map<string, Descriptor[]>()
  for (const one of open) ends.set(one.target, [...(ends.get(one.target) ?? []), one])
  const isPair = (target: string) => {
    const both = ends.get(target) ?? []
    return both.length === 2 && both.filter(({ writes }) => writes).length === 1
  }
  return open
    .filter(
      ({ fd, target }) => fd > 2 && !KEPT.test(target) && !(target.startsWith('pipe:') && isPair(target)),
    )
    .map(({ fd }) => fd)
}

function listDescriptors(): Descriptor[] {
  try {
    return readdirSync(LISTED).flatMap((name) => describe(Number(name)))
  } catch {
    return []
  }
}

function describe(fd: number): Descriptor[] {
  try {
    const target = readlinkSync(`${LISTED}/${fd}`)
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0'
    return [{ fd, target, writes: (Number.parseInt(flags, 8) & 3) === 1 }]
  } catch {
    return []
  }
}
