/**
 * What a disk may hold after the power went: a model of files, names and what has been synced. Pure.
 *
 * Certain is only what a sync has promised: the content of a file by fsync or fdatasync of it, a name by fsync of
 * its directory. Everything later may be there or not, in any order, a write torn at any sector. `survivors`
 * makes one such disk by asking `Fate` about each change that nobody has synced.
 *
 * This is POSIX, and harder than ext4 or XFS: they keep more. A program that lives with this lives with them.
 */
import { dirname } from 'node:path'

const SECTOR = 512

interface Write {
  at: number
  offset: number
  data: Buffer
}
interface Truncate {
  at: number
  size: number
}
type Change = Write | Truncate

export interface Inode {
  kind: 'file' | 'directory'
  synced: Buffer
  pending: Change[]
  /** As the running system sees it. */
  size: number
}

interface NameChange {
  at: number
  directory: string
  /** Null: the name is taken away. */
  names: readonly (readonly [path: string, inode: Inode | null])[]
}

/** What becomes of a change that was not synced. */
export interface Fate {
  write: () => 'kept' | 'lost' | 'torn'
  /** Of a torn write, whether this sector made it. */
  sector: () => boolean
  name: () => boolean
}

export class Disk {
  /** As the running system sees them. */
  readonly names = new Map<string, Inode>()
  readonly #syncedNames = new Map<string, Inode>()
  #pendingNames: NameChange[] = []

  create(path: string, kind: Inode['kind'], at: number): Inode {
    const inode: Inode = { kind, synced: Buffer.alloc(0), pending: [], size: 0 }
    this.#rename(dirname(path), [[path, inode]], at)
    return inode
  }

  unlink(path: string, at: number): void {
    this.#rename(dirname(path), [[path, null]], at)
  }

  /** One step: the new name is never there without the old one being gone. */
  move(from: string, to: string, at: number): void {
    const inode = this.names.get(from)
    if (inode)
      this.#rename(
        dirname(to),
        [
          [from, null],
          [to, inode],
        ],
        at,
      )
  }

  write(inode: Inode, offset: number, data: Buffer, at: number): void {
    inode.pending.push({ at, offset, data })
    inode.size = Math.max(inode.size, offset + data.length)
  }

  truncate(inode: Inode, size: number, at: number): void {
    inode.pending.push({ at, size })
    inode.size = size
  }

  /** The content as the running system sees it. */
  seen(inode: Inode): Buffer {
    return inode.pending.reduce(apply, inode.synced)
  }

  /** @param begun what came later than this is not promised. */
  sync(inode: Inode, begun: number): void {
    const covered = inode.pending.filter((change) => change.at < begun)
    inode.pending = inode.pending.filter((change) => change.at >= begun)
    for (const change of covered) inode.synced = apply(inode.synced, change)
  }

  syncNames(directory: string, begun: number): void {
    const covers = (change: NameChange) => change.directory === directory && change.at < begun
    for (const change of this.#pendingNames.filter(covers)) rename(this.#syncedNames, change)
    this.#pendingNames = this.#pendingNames.filter((change) => !covers(change))
  }

  /** One of the disks that may be found when the power is back: what stands where; null is a directory. */
  survivors(fate: Fate): Map<string, Buffer | null> {
    const names = new Map(this.#syncedNames)
    for (const change of this.#pendingNames) if (fate.name()) rename(names, change)
    const found = new Map<string, Buffer | null>()
    for (const [path, inode] of names) {
      found.set(path, inode.kind === 'directory' ? null : contentAfter(inode, fate))
    }
    return found
  }

  #rename(directory: string, names: NameChange['names'], at: number): void {
    const change = { at, directory, names }
    rename(this.names, change)
    this.#pendingNames.push(change)
  }
}

function rename(names: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change.names) {
    if (inode) names.set(path, inode)
    else names.delete(path)
  }
}

function contentAfter(inode: Inode, fate: Fate): Buffer {
  let content = inode.synced
  for (const change of inode.pending) {
    const fortune = fate.write()
    if (fortune === 'lost') continue
    const kept = fortune === 'torn' && 'data' in change ? sectorsOf(change).filter(fate.sector) : [change]
    for (const part of kept) content = apply(content, part)
  }
  return content
}

/** A write as the disk sees it: cut where sectors of the file end. */
function sectorsOf({ at, offset, data }: Write): Write[] {
  const parts: Write[] = []
  for (let from = 0; from < data.length; ) {
    const to = Math.min(data.length, from + SECTOR - ((offset + from) % SECTOR))
    parts.push({ at, offset: offset + from, data: data.subarray(from, to) })
    from = to
  }
  return parts
}

/** Never changes the buffer it was given: disks share what they have in common. */
function apply(content: Buffer, change: Change): Buffer {
  const size = 'data' in change ? Math.max(content.length, change.offset + change.data.length) : change.size
  const next = Buffer.alloc(size)
  content.copy(next)
  if ('data' in change) change.data.copy(next, change.offset)
  return next
}
