/**
 * Plays the calls of a traced process on the model of a disk, one by one: descriptors, positions, names. Pure.
 *
 * Only what lies below one folder counts. The file that stands for the outside world (the other file system, where
 * acknowledgements are written down) is kept apart as `told`: what has been said by now.
 */
import { basename, dirname } from 'node:path'
import { Disk, type Inode } from './disk.ts'
import { type Call, numbersOf, stringsOf } from './trace.ts'

interface OpenFile {
  path: string
  /** Null: a directory, or the file that acknowledgements go to. */
  inode: Inode | null
  position: number
  append: boolean
}

/** SQLite's shared memory is a cache of what the log says; it is mapped, never written, and made anew at start. */
export const VOLATILE = /-shm$/

export class Replay {
  readonly disk = new Disk()
  /** Whole lines that the process has told the world. */
  readonly told: string[] = []
  readonly #folder: string
  readonly #tellsTo: string
  #open = new Map<number, OpenFile>()

  /** @param tellsTo the file whose lines are `told`. */
  constructor(folder: string, tellsTo: string) {
    this.#folder = folder
    this.#tellsTo = tellsTo
  }

  /**
   * The process has ended: its descriptors are gone, the disk is not. What a call did that a kill cut short is seen
   * only by looking: `found` is what the living system shows now.
   * @returns how many files were not as the calls had left them: none after a clean end.
   */
  endProcess(found: ReadonlyMap<string, Buffer>, at: number): number {
    this.#open = new Map()
    let differences = 0
    for (const [path, inode] of this.disk.names) {
      if (inode.kind === 'directory' || found.has(path)) continue
      this.disk.unlink(path, at)
      differences++
    }
    for (const [path, content] of found) {
      const inode = this.disk.names.get(path) ?? this.disk.create(path, 'file', at)
      if (this.disk.seen(inode).equals(content)) continue
      if (inode.size > content.length) this.disk.truncate(inode, content.length, at)
      this.disk.write(inode, 0, content, at)
      differences++
    }
    return differences
  }

  /** @returns whether the disk, or what the world knows, has changed: a moment worth a power cut. */
  play(call: Call): boolean {
    const step = steps[call.name]
    return step ? step.call(this, call) : false
  }

  open(call: Call): boolean {
    const path = pathIn(call)
    if (!this.#concerns(path)) return false
    this.#open.delete(call.result)
    if (VOLATILE.test(path)) return false
    const created = this.#createdBy(call, path)
    const inode = path === this.#tellsTo ? null : (this.disk.names.get(path) ?? null)
    const truncated = call.text.includes('O_TRUNC') && inode !== null && inode.size > 0
    if (truncated) this.disk.truncate(inode, 0, call.ended)
    this.#open.set(call.result, { path, inode, position: 0, append: call.text.includes('O_APPEND') })
    return created || truncated
  }

  #createdBy(call: Call, path: string): boolean {
    if (!call.text.includes('O_CREAT') || path === this.#tellsTo || this.disk.names.has(path)) return false
    this.disk.create(path, 'file', call.ended)
    return true
  }

  close(call: Call): boolean {
    this.#open.delete(numbersOf(call)[0] ?? -1)
    return false
  }

  write(call: Call): boolean {
    const file = this.#fileOf(call)
    if (!file) return false
    const data = Buffer.concat(stringsOf(call)).subarray(0, call.result)
    if (file.path === this.#tellsTo) {
      this.told.push(...data.toString().trimEnd().split('\n'))
      return true
    }
    if (!file.inode) return false
    const positioned = call.name.startsWith('p')
    const offset = positioned ? (numbersOf(call).at(-1) ?? 0) : file.append ? file.inode.size : file.position
    if (!positioned) file.position = offset + data.length
    this.disk.write(file.inode, offset, data, call.ended)
    return true
  }

  truncate(call: Call): boolean {
    const file = this.#fileOf(call)
    if (!file?.inode) return false
    this.disk.truncate(file.inode, numbersOf(call)[1] ?? 0, call.ended)
    return true
  }

  sync(call: Call): boolean {
    const file = this.#fileOf(call)
    if (file?.inode?.kind === 'file') this.disk.sync(file.inode, call.begun)
    else if (file) this.disk.syncNames(file.path, call.begun)
    return file !== undefined
  }

  unlink(call: Call): boolean {
    const path = pathIn(call)
    if (!this.#concerns(path) || !this.disk.names.has(path)) return false
    this.disk.unlink(path, call.ended)
    return true
  }

  rename(call: Call): boolean {
    const [from = '', to = ''] = stringsOf(call).map(String)
    if (!this.#concerns(from) && !this.#concerns(to)) return false
    this.disk.move(from, to, call.ended)
    return true
  }

  makeDirectory(call: Call): boolean {
    const path = pathIn(call)
    if (!this.#concerns(path)) return false
    this.disk.create(path, 'directory', call.ended)
    return true
  }

  #concerns(path: string): boolean {
    return path === this.#tellsTo || path === this.#folder || path.startsWith(`${this.#folder}/`)
  }

  #fileOf(call: Call): OpenFile | undefined {
    return this.#open.get(numbersOf(call)[0] ?? -1)
  }
}

type Step = (this: Replay, call: Call) => boolean

const { open, close, write, truncate, sync, unlink, rename, makeDirectory } = Replay.prototype
const steps: Readonly<Record<string, Step>> = {
  open,
  openat: open,
  creat: open,
  close,
  write,
  writev: write,
  pwrite64: write,
  pwritev: write,
  ftruncate: truncate,
  fsync: sync,
  fdatasync: sync,
  unlink,
  unlinkat: unlink,
  rename,
  renameat: rename,
  renameat2: rename,
  mkdir: makeDirectory,
  mkdirat: makeDirectory,
}

/** What strace has to show. */
export const TRACED_CALLS = Object.keys(steps).join()

function pathIn(call: Call): string {
  const path = String(stringsOf(call)[0] ?? '')
  return basename(path) === '.' ? dirname(path) : path.replace(/\/$/, '')
}
