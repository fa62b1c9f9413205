/**
 * Our standard error as a channel of the log, such that a reader that stops reading stops nothing here.
 *
 * `process.stderr` waits for the reader of a pipe, and with it mcp and, when their pipes are full, all workers.
 * So a pipe or socket is written without waiting, up to MAX_WAITING octets; beyond that lines are dropped.
 * Files and terminals are written directly.
 */
import { fstatSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'

const STDERR = 2
const MAX_WAITING = 4 << 20
const FLUSH_PATIENCE_MS = 1000

export class StandardError {
  readonly #pipe: Socket | null
  #gone = false

  constructor() {
    const kind = fstatSync(STDERR)
    this.#pipe = kind.isFIFO() || kind.isSocket() ? new Socket({ fd: STDERR, writable: true }) : null
    this.#pipe?.unref()
    this.#pipe?.on('error', () => {
      this.#gone = true
    })
  }

  write(lines: Uint8Array): void {
    if (this.#gone) return
    if (this.#pipe) {
      if (this.#pipe.writableLength < MAX_WAITING) this.#pipe.write(lines)
      return
    }
    try {
      writeSync(STDERR, lines)
    } catch {
      // a terminal that is gone, a disk that is full: nobody is left to tell
    }
  }

  /** Resolves when the reader has it all, or has had its time. */
  flush(): Promise<void> {
    const pipe = this.#pipe
    if (!pipe || this.#gone || pipe.writableLength === 0) return Promise.resolve()
    return new Promise((resolve) => {
      setTimeout(resolve, FLUSH_PATIENCE_MS).unref()
      pipe.write('', () => resolve())
    })
  }
}
