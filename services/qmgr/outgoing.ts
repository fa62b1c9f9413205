/**
 * Large content on its way out to smtpc or lda: pieces as the receiver gives credit, the last one marked; from
 * memory where it is still there, else from its file.
 */
import type { FileHandle } from 'node:fs/promises'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import { startOf } from './content-files.ts'

export type OnPiece = (data: Uint8Array, last: boolean) => void

export interface Outgoing {
  /** The last piece has been handed over. */
  readonly finished: boolean
  give(credit: number): void
  close(): Promise<void>
}

/** Content that is in memory: as many pieces as there is credit for, at once. */
export class OutgoingPieces implements Outgoing {
  readonly #pieces: readonly Uint8Array[]
  readonly #onPiece: OnPiece
  #next = 0
  #credit = 0

  constructor(pieces: readonly Uint8Array[], onPiece: OnPiece) {
    this.#pieces = pieces
    this.#onPiece = onPiece
  }

  get finished(): boolean {
    return this.#next >= this.#pieces.length
  }

  give(credit: number): void {
    this.#credit += credit
    for (; this.#next < this.#pieces.length; this.#next++) {
      const piece = this.#pieces[this.#next]
      if (!piece || piece.length > this.#credit) return
      this.#credit -= piece.length
      this.#onPiece(piece, this.#next === this.#pieces.length - 1)
    }
  }

  close(): Promise<void> {
    this.#next = this.#pieces.length
    return Promise.resolve()
  }
}

/** Content that is read from its file. */
export class OutgoingFile implements Outgoing {
  readonly #handle: FileHandle
  readonly #octets: number
  readonly #onPiece: OnPiece
  readonly #onTrouble: (error: unknown) => void
  #credit: number
  #at = 0
  /** Where the content begins in its file; null: not looked up yet. */
  #start: number | null = null
  #busy = false
  #closed = false

  constructor(
    handle: FileHandle,
    octets: number,
    credit: number,
    onPiece: OnPiece,
    onTrouble: (error: unknown) => void,
  ) {
    this.#handle = handle
    this.#octets = octets
    this.#credit = credit
    this.#onPiece = onPiece
    this.#onTrouble = onTrouble
  }

  get finished(): boolean {
    return this.#at >= this.#octets
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
    this.#start ??= await startOf(this.#handle, this.#octets)
    const at = this.#start + this.#at
    const { bytesRead, buffer } = await this.#handle.read(Buffer.allocUnsafe(size), 0, size, at)
    if (bytesRead === 0) throw new Error('the content file is shorter than its message')
    this.#at += bytesRead
    this.#credit -= bytesRead
    this.#onPiece(buffer.subarray(0, bytesRead), this.#at >= this.#octets)
  }
}
