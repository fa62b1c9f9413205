/**
 * A map file that is read again when it changes: time, size or inode, looked at no more often than every
 * LOOK_INTERVAL_MS, so that asking costs nothing on the hot path.
 *
 * Fails: a file that cannot be read is said once, as an error, and the last good content stays; where there has
 * never been one, `value` is null, and whoever asks answers "later", never "unknown" (a missing file is our
 * trouble). Faults inside a file are logged as `file:line`, the first MOST_FAULTS of them. Limit: MOST_OCTETS.
 */
import { closeSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import type { Fault, ParsedFile } from '../../shared/config/map-file.ts'

const LOOK_INTERVAL_MS = 500
const MOST_FAULTS = 20
const MOST_OCTETS = 256 << 20

export class WatchedFile<T> {
  readonly path: string
  readonly #parse: (text: string) => ParsedFile<T>
  readonly #log: Log
  #value: T | null = null
  #stamp = ''
  #trouble = ''
  #lookedAt = Number.NEGATIVE_INFINITY
  #version = 0

  constructor(path: string, parse: (text: string) => ParsedFile<T>, log: Log) {
    this.path = path
    this.#parse = parse
    this.#log = log
  }

  get value(): T | null {
    return this.#value
  }

  /** Grows with each new content. */
  get version(): number {
    return this.#version
  }

  /** @param now milliseconds of a clock that does not jump. */
  look(now: number): void {
    if (now - this.#lookedAt < LOOK_INTERVAL_MS) return
    this.#lookedAt = now
    try {
      if (stampOf(statSync(this.path)) !== this.#stamp) this.#read()
      this.#trouble = ''
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error))
    }
  }

  #read(): void {
    const fd = openSync(this.path, 'r')
    try {
      const stats = fstatSync(fd)
      if (!stats.isFile()) throw new Error('not a file')
      if (stats.size > MOST_OCTETS) throw new Error(`more than ${MOST_OCTETS} octets`)
      const { value, faults } = this.#parse(readFileSync(fd, 'utf8'))
      this.#value = value
      this.#stamp = stampOf(stats)
      this.#version++
      this.#report(faults)
    } finally {
      closeSync(fd)
    }
  }

  #report(faults: readonly Fault[]): void {
    for (const { line, why } of faults.slice(0, MOST_FAULTS)) {
      this.#log.warn({ at: `${this.path}:${line}`, why }, 'map file has a fault')
    }
    this.#log.info({ file: this.path, faults: faults.length }, 'map file read')
  }

  #failed(trouble: string): void {
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#log.error({ file: this.path, why: trouble, kept: this.#value !== null }, 'map file cannot be read')
  }
}

function stampOf(stats: { mtimeMs: number; ctimeMs: number; size: number; ino: number }): string {
  return `${stats.mtimeMs} ${stats.ctimeMs} ${stats.size} ${stats.ino}`
}
