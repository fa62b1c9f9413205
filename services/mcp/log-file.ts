/**
 * One log file: append, rotate by size, reopen, and never stand in the way of mail.
 *
 * Rotation is BIND's: `main.log` becomes `main.log.0`, that `main.log.1`, and so on for `versions` files; with 0
 * versions the file begins anew. A write that fails drops the lines and counts them; the file is tried again
 * after RETRY_MS, and when it works the loss is written into it.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs'

const RETRY_MS = 5000
const MODE = 0o640

export interface LogFileOptions {
  path: string
  /** Rotates past this many octets; null: never. */
  size: number | null
  versions: number
}

export class LogFile {
  readonly #options: LogFileOptions
  readonly #clock: () => number
  #fd: number | null = null
  #octets = 0
  #brokenSince: number | null = null
  #dropped = 0
  #trouble = ''

  constructor(options: LogFileOptions, clock: () => number = Date.now) {
    this.#options = options
    this.#clock = clock
    this.#attempt(() => this.#open())
  }

  /** Why it does not work at the moment; '' when it does. */
  get trouble(): string {
    return this.#trouble
  }

  get dropped(): number {
    return this.#dropped
  }

  write(lines: Uint8Array): void {
    const { size } = this.#options
    if (this.#brokenSince !== null && this.#clock() - this.#brokenSince < RETRY_MS) return this.#drop(lines)
    const worked = this.#attempt(() => {
      if (this.#fd === null) this.#open()
      if (size !== null && this.#octets > 0 && this.#octets + lines.length > size) this.#rotate()
      if (this.#dropped > 0) this.#confess()
      this.#append(lines)
    })
    if (!worked) this.#drop(lines)
  }

  /** After someone else moved the file away. */
  reopen(): void {
    this.close()
    this.#brokenSince = null
    this.#attempt(() => this.#open())
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd)
    this.#fd = null
  }

  #open(): void {
    this.#fd = openSync(this.#options.path, 'a', MODE)
    this.#octets = fstatSync(this.#fd).size
  }

  #append(lines: Uint8Array): void {
    if (this.#fd === null) return
    for (let done = 0; done < lines.length; ) {
      const octets = writeSync(this.#fd, lines, done)
      this.#octets += octets
      done += octets
    }
  }

  #rotate(): void {
    const { path, versions } = this.#options
    if (versions === 0) {
      if (this.#fd !== null) ftruncateSync(this.#fd, 0)
      this.#octets = 0
      return
    }
    this.close()
    for (let n = versions - 1; n > 0; n--) renameIfThere(`${path}.${n - 1}`, `${path}.${n}`)
    renameIfThere(path, `${path}.0`)
    this.#open()
  }

  #confess(): void {
    const facts = { level: 'warn', time: new Date(this.#clock()).toISOString(), name: 'mcp' }
    const line = JSON.stringify({ ...facts, dropped: this.#dropped, msg: 'log lines were lost here' })
    this.#append(Buffer.from(`${line}\n`))
    this.#dropped = 0
  }

  #drop(lines: Uint8Array): void {
    for (const octet of lines) if (octet === 10) this.#dropped++
  }

  #attempt(work: () => void): boolean {
    try {
      work()
      this.#brokenSince = null
      this.#trouble = ''
      return true
    } catch (error) {
      this.#brokenSince = this.#clock()
      this.#trouble = error instanceof Error ? error.message : String(error)
      return false
    }
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
