/**
 * Content too large for the database: one file a message under `content/`, named by the message's id.
 *
 * On the way in, pieces are written as they come and credit is given back as the disk takes them; `seal` syncs
 * the file and the directory entry, and only then may the row that names it be committed (design rule D1). On
 * the way out, pieces are read as the receiver gives credit. A file without a row is swept at start.
 *
 * Fails: `StoreTrouble` 'full' for ENOSPC and EDQUOT, 'broken' for everything else; after a failed write or sync
 * the descriptor is closed and the file removed, never trusted again (rule D5).
 */
import { type FileHandle, mkdir, open, readdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import { StoreTrouble } from './store.ts'

export class ContentFiles {
  readonly #directory: string
  /** Not begun yet: who comes now is served by it. */
  #nextSync: Promise<void> | null = null
  #runningSync: Promise<void> = Promise.resolve()

  constructor(spool: string) {
    this.#directory = join(spool, 'content')
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

  create(id: number): IncomingFile {
    return new IncomingFile(this.path(id), () => this.#syncDirectory())
  }

  openToRead(id: number): Promise<FileHandle> {
    return open(this.path(id), 'r')
  }

  /** The first octets; by default enough for any header that a report quotes. */
  async readHead(id: number, octets = CONTENT_CHUNK): Promise<Uint8Array> {
    const handle = await this.openToRead(id)
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(octets), 0, octets, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await handle.close()
    }
  }

  /** A file that is not there is as good as removed. */
  async remove(id: number): Promise<void> {
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

/** A file being written. Pieces are taken in order; the first failure fails everything after it. */
export class IncomingFile {
  readonly #path: string
  readonly #syncDirectory: () => Promise<void>
  #tail: Promise<FileHandle>
  #failed = false
  octets = 0

  constructor(path: string, syncDirectory: () => Promise<void>) {
    this.#path = path
    this.#syncDirectory = syncDirectory
    this.#tail = open(path, 'wx', 0o600)
    this.#tail.catch(() => undefined) // `seal` tells
  }

  /** Resolves when the piece is written. */
  append(data: Uint8Array): Promise<void> {
    this.octets += data.length
    this.#tail = this.#tail.then(async (handle) => {
      try {
        await handle.writeFile(data)
      } catch (error) {
        await this.#spoil(handle)
        throw error
      }
      return handle
    })
    return this.#tail.then(
      () => undefined,
      () => undefined, // `seal` tells
    )
  }

  /** Resolves when all pieces are written, and so can be read back; rejects when one could not be. */
  async written(): Promise<void> {
    await this.#tail
  }

  /** @throws StoreTrouble when not everything is on stable storage. */
  async seal(): Promise<void> {
    try {
      const handle = await this.#tail
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
      await this.#syncDirectory()
    } catch (error) {
      this.#failed = true
      await unlink(this.#path).catch(() => undefined)
      throw new StoreTrouble(isFull(error) ? 'full' : 'broken', String(error))
    }
  }

  async abandon(): Promise<void> {
    const handle = await this.#tail.catch(() => null)
    if (handle) await this.#spoil(handle)
  }

  async #spoil(handle: FileHandle): Promise<void> {
    if (this.#failed) return
    this.#failed = true
    await handle.close().catch(() => undefined)
    await unlink(this.#path).catch(() => undefined)
  }
}

function isFull(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** Reads a file in pieces as credit comes in; `onPiece` gets each, the last one marked. */
export class OutgoingFile {
  readonly #handle: FileHandle
  readonly #octets: number
  readonly #onPiece: (data: Uint8Array, last: boolean) => void
  readonly #onTrouble: (error: unknown) => void
  #credit: number
  #at = 0
  #busy = false
  #closed = false

  constructor(
    handle: FileHandle,
    octets: number,
    credit: number,
    onPiece: (data: Uint8Array, last: boolean) => void,
    onTrouble: (error: unknown) => void,
  ) {
    this.#handle = handle
    this.#octets = octets
    this.#credit = credit
    this.#onPiece = onPiece
    this.#onTrouble = onTrouble
  }

  give(credit: number): void {
    this.#credit += credit
    if (!this.#busy) void this.#run()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#handle.close().catch(() => undefined)
  }

  async #run(): Promise<void> {
    this.#busy = true
    try {
      while (this.#credit > 0 && this.#at < this.#octets && !this.#closed) await this.#piece()
    } catch (error) {
      if (!this.#closed) this.#onTrouble(error)
    } finally {
      this.#busy = false
    }
  }

  async #piece(): Promise<void> {
    const size = Math.min(CONTENT_CHUNK, this.#credit, this.#octets - this.#at)
    const { bytesRead, buffer } = await this.#handle.read(Buffer.allocUnsafe(size), 0, size, this.#at)
    if (bytesRead === 0) throw new Error('the content file is shorter than its message')
    this.#at += bytesRead
    this.#credit -= bytesRead
    this.#onPiece(buffer.subarray(0, bytesRead), this.#at >= this.#octets)
  }
}
