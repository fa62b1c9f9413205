/**
 * A message that has to be whole before it goes on: to the end of an mbox, where nothing of it may stay when the rest
 * does not come, or to a command, which would take a half for the whole.
 *
 * In memory up to MOST_IN_MEMORY octets, beyond that in a file without a name, beside the mailbox, in the home or in the
 * temporary directory, wherever the user may write first.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorCode } from './failure.ts'

const MOST_IN_MEMORY = 256 * 1024
const PIECE = 64 * 1024
const ELSEWHERE: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR', 'EROFS'])

export class Gathered {
  readonly #directories: readonly string[]
  #pieces: Uint8Array[] = []
  #size = 0
  #descriptor: number | null = null

  /** @param directories where a file may be, besides the temporary directory. */
  constructor(directories: readonly string[]) {
    this.#directories = directories
  }

  get size(): number {
    return this.#size
  }

  /** Null while all of it is in memory. */
  get descriptor(): number | null {
    return this.#descriptor
  }

  /** Throws with the kernel's code. */
  write(octets: Uint8Array): void {
    this.#size += octets.length
    if (this.#descriptor !== null) return writeWhole(this.#descriptor, octets)
    this.#pieces.push(octets)
    if (this.#size <= MOST_IN_MEMORY) return
    this.#descriptor = openNameless([...this.#directories, tmpdir()])
    for (const piece of this.#pieces) writeWhole(this.#descriptor, piece)
    this.#pieces = []
  }

  *read(): Iterable<Uint8Array> {
    if (this.#descriptor === null) {
      yield* this.#pieces
      return
    }
    for (let at = 0; at < this.#size; ) {
      const piece = Buffer.allocUnsafe(Math.min(PIECE, this.#size - at))
      const count = readSync(this.#descriptor, piece, 0, piece.length, at)
      if (count === 0) throw new Error('a message that was put aside has become shorter')
      at += count
      yield piece.subarray(0, count)
    }
  }

  close(): void {
    const descriptor = this.#descriptor
    this.#descriptor = null
    this.#pieces = []
    if (descriptor !== null) closeSync(descriptor)
  }
}

export function writeWhole(descriptor: number, octets: Uint8Array): void {
  for (let done = 0; done < octets.length; ) done += writeSync(descriptor, octets, done)
}

function openNameless(directories: readonly string[]): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  let trouble: unknown = new Error('nowhere to put a large message')
  for (const directory of directories) {
    const path = join(directory, `.posthorn-${randomBytes(12).toString('hex')}`)
    try {
      const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      unlinkSync(path)
      return descriptor
    } catch (error) {
      trouble = error
      if (!ELSEWHERE.has(errorCode(error))) break
    }
  }
  throw trouble
}
