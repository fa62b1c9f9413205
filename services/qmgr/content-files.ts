/**
 * Content too large for the database: one file a message under `content/`, named by the message's id.
 *
 * Content is what stands at the end of its file, as many octets as its envelope says: where filters may change the
 * header there is room in front (a hole, which takes no space on the disk), and a patch is written into it.
 *
 * On the way in, pieces are written as they come and credit is given back as the disk takes them; `seal` syncs
 * the file and the directory entry, and only then may the row that names it be committed (design rule D1). On
 * the way out, pieces are read as the receiver gives credit. A file without a row is swept at start.
 *
 * Fails: `StoreTrouble` 'full' for ENOSPC and EDQUOT, 'broken' for everything else; after a failed write or sync
 * the descriptor is closed and the file removed, never trusted again (rule D5).
 */
import { type FileHandle, link, mkdir, open, readdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import { type Memory, RecentContent } from './recent-content.ts'
import { StoreTrouble } from './store.ts'

export class ContentFiles {
  readonly #directory: string
  readonly #recent: RecentContent
  /** Not begun yet: who comes now is served by it. */
  #nextSync: Promise<void> | null = null
  #runningSync: Promise<void> = Promise.resolve()

  /** @param memory octets of content that may stay in memory until it has gone out. */
  constructor(spool: string, memory: number) {
    this.#directory = join(spool, 'content')
    this.#recent = new RecentContent(memory)
  }

  path(id: number): string {
    return join(this.#directory, id.toString(36))
  }

  /** The folder's own name must be on disk as well: a sync of what is in it does not promise that. */
  async prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await syncDirectory(dirname(this.#directory))
  }

  /** Removes files that no row names: what was coming in when the last life ended. Gives their number. */
  async sweep(known: ReadonlySet<number>): Promise<number> {
    let swept = 0
    for (const name of await readdir(this.#directory)) {
      if (known.has(Number.parseInt(name, 36))) continue
      await unlink(join(this.#directory, name))
      swept++
    }
    return swept
  }

  /** @param room octets to keep in front, for a patch. */
  create(id: number, room = 0): IncomingFile {
    return new IncomingFile({
      path: this.path(id),
      syncDirectory: () => this.#syncDirectory(),
      memory: this.#recent.begin(id),
      room,
    })
  }

  /** The pieces of a content that has just come in, when they are still in memory. */
  recent(id: number): readonly Uint8Array[] | null {
    return this.#recent.get(id)
  }

  /** The same content under further names, each durable: files of messages of their own. */
  async link(id: number, others: readonly number[]): Promise<void> {
    for (const other of others) await link(this.path(id), this.path(other))
    await this.#syncDirectory()
  }

  /** A content like another one with something on top, durable; of a large one little is in memory at a time. */
  async copy(id: number, size: number, top: Uint8Array, to: number): Promise<void> {
    const source = await this.openToRead(id)
    const copy = this.create(to)
    try {
      void copy.append(top)
      const start = await startOf(source, size)
      for (let done = 0; done < size; ) {
        const octets = Math.min(CONTENT_CHUNK, size - done)
        const { buffer, bytesRead } = await source.read(Buffer.alloc(octets), 0, octets, start + done)
        if (bytesRead === 0) throw new Error(`content of ${id} ends after ${done} octets`)
        void copy.append(buffer.subarray(0, bytesRead))
        await copy.written()
        done += bytesRead
      }
    } catch (error) {
      await copy.abandon()
      throw error
    } finally {
      await source.close()
    }
    await copy.seal()
  }

  openToRead(id: number): Promise<FileHandle> {
    return open(this.path(id), 'r')
  }

  /** The first octets of a content of `size`; by default enough for any header that a report quotes. */
  async readHead(id: number, size: number, octets = CONTENT_CHUNK): Promise<Uint8Array> {
    const handle = await this.openToRead(id)
    try {
      const start = await startOf(handle, size)
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(octets), 0, octets, start)
      return buffer.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  }

  /** Nobody works on it any more: what is left of it in memory makes room for others. */
  forget(id: number): void {
    this.#recent.drop(id)
  }

  /** A file that is not there is as good as removed. */
  async remove(id: number): Promise<void> {
    this.#recent.drop(id)
    await unlink(this.path(id)).catch(() => undefined)
  }

  /** One sync of the directory serves every file that was made before it began. */
  #syncDirectory(): Promise<void> {
    if (this.#nextSync) return this.#nextSync
    const next = this.#runningSync.then(() => {
      this.#nextSync = null
      const running = syncDirectory(this.#directory)
      this.#runningSync = running.catch(() => undefined) // who waits for `next` is told
      return running
    })
    this.#nextSync = next
    return next
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export interface IncomingPlan {
  path: string
  syncDirectory: () => Promise<void>
  memory: Memory
  /** Octets to keep in front. */
  room: number
}

/** Where content of this size begins in its file. */
export async function startOf(handle: FileHandle, size: number): Promise<number> {
  const start = (await handle.stat()).size - size
  if (start < 0) throw new Error('the content file is shorter than its message')
  return start
}

/** Other octets in place of so many at the beginning. */
export interface Patch {
  octets: number
  data: Uint8Array
}

interface Piece {
  data: Uint8Array
  written: () => void
}

/** Each write costs a wake-up of a thread and one of ours, so small pieces wait for others. */
const LEAST_WRITE = 2 * CONTENT_CHUNK

/**
 * A file being written. Pieces are taken in order, gathered up to LEAST_WRITE and while the disk is busy, and leave
 * in one write; the first failure fails everything after it, and `seal` tells.
 */
export class IncomingFile {
  readonly #plan: IncomingPlan
  readonly #handle: Promise<FileHandle>
  #pieces: Piece[] = []
  /** Octets of `#pieces`. */
  #waiting = 0
  #writing: Promise<void> | null = null
  #trouble: unknown = null
  #spoilt = false
  octets = 0
  /** Where the next piece goes. */
  #end: number

  constructor(plan: IncomingPlan) {
    this.#plan = plan
    this.#end = plan.room
    this.#handle = open(plan.path, 'wx', 0o600)
    this.#handle.catch((error: unknown) => this.#fail(error))
  }

  /** Resolves when the piece is written, or never will be: as late as the next piece, or the end. */
  append(data: Uint8Array): Promise<void> {
    this.octets += data.length
    this.#plan.memory.add(data)
    return new Promise((written) => {
      this.#pieces.push({ data, written })
      this.#waiting += data.length
      if (this.#waiting >= LEAST_WRITE) this.#writing ??= this.#write()
    })
  }

  /** Resolves when all pieces are written, and so can be read back; rejects when one could not be. */
  async written(): Promise<void> {
    if (this.#pieces.length > 0) this.#writing ??= this.#write()
    await this.#writing // takes what comes in the meantime as well
    if (this.#trouble !== null) throw this.#trouble
  }

  /**
   * Puts other octets in place of the first ones; all pieces are there. False: there is no room for them, or less
   * than that to replace. @throws StoreTrouble when it could not be written.
   */
  async patch({ octets, data }: Patch): Promise<boolean> {
    const start = this.#plan.room + octets - data.length
    if (octets < 0 || octets > this.octets || start < 0) return false
    try {
      await this.written()
      await writeAt(await this.#handle, data, start)
    } catch (error) {
      throw new StoreTrouble(isFull(error) ? 'full' : 'broken', String(error))
    }
    if (data.length === octets) this.#plan.memory.replaceHead(data)
    else this.#plan.memory.drop()
    this.octets += data.length - octets
    return true
  }

  /** @throws StoreTrouble when not everything is on stable storage. */
  async seal(): Promise<void> {
    try {
      await this.written()
      const handle = await this.#handle
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
      await this.#plan.syncDirectory()
    } catch (error) {
      await this.abandon()
      throw new StoreTrouble(isFull(error) ? 'full' : 'broken', String(error))
    }
  }

  async abandon(): Promise<void> {
    if (this.#spoilt) return
    this.#spoilt = true
    this.#plan.memory.drop()
    this.#fail('abandoned')
    await this.written().catch(() => undefined)
    const handle = await this.#handle.catch(() => null)
    if (!handle) return // whatever has that name is not ours
    await handle.close().catch(() => undefined)
    await unlink(this.#plan.path).catch(() => undefined)
  }

  async #write(): Promise<void> {
    while (this.#pieces.length > 0) {
      const pieces = this.#pieces
      this.#pieces = []
      this.#waiting = 0
      try {
        if (this.#trouble === null) await writeAll(await this.#handle, pieces, this.#end)
        this.#end += pieces.reduce((sum, { data }) => sum + data.length, 0)
      } catch (error) {
        this.#fail(error)
      }
      for (const { written } of pieces) written()
    }
    this.#writing = null
  }

  #fail(error: unknown): void {
    this.#trouble ??= error
  }
}

async function writeAll(handle: FileHandle, pieces: readonly Piece[], at: number): Promise<void> {
  const total = pieces.reduce((sum, { data }) => sum + data.length, 0)
  const octets = pieces.map(({ data }) => data)
  const { bytesWritten } = await handle.writev(octets, at)
  if (bytesWritten === total) return
  // A short write is how a full disk begins: what is left goes on its own, and fails as it must.
  await writeAt(handle, Buffer.concat(octets).subarray(bytesWritten), at + bytesWritten)
}

async function writeAt(handle: FileHandle, data: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await handle.write(data, done, data.length - done, at + done)
    done += bytesWritten
  }
}

function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOSPC' || code === 'EDQUOT'
}
