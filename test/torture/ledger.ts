/**
 * The injector's books on another file system: each 250 is written down the moment it is heard, so that what was
 * promised does not live on the disk, or in the process, that is tortured.
 */
import { appendFileSync, closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { Ledger } from '../support/load.ts'

const MEMORY = '/dev/shm'

/** A folder that is on no disk, where the machine has one. */
export function memoryFolder(): string {
  return existsSync(MEMORY) ? MEMORY : tmpdir()
}

/** A set of marks that writes down what is added to it. */
class WrittenSet extends Set<string> {
  readonly #file: number

  constructor(path: string) {
    super()
    this.#file = openSync(path, 'a')
  }

  override add(mark: string): this {
    appendFileSync(this.#file, `${mark}\n`)
    return super.add(mark)
  }

  close(): void {
    closeSync(this.#file)
  }
}

export interface Books {
  ledger: Ledger
  /** Every 250 there was, read back from the file. */
  promised: () => string[]
  close: () => void
}

export function openBooks(path: string): Books {
  const accepted = new WrittenSet(path)
  return {
    ledger: { accepted, doubtful: new Set(), refused: new Set(), troubles: new Map() },
    promised: () => readFileSync(path, 'latin1').split('\n').filter(Boolean),
    close: () => accepted.close(),
  }
}
