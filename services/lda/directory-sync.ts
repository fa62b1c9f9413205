/**
 * Makes the names in a directory durable, for everybody who asks at about the same time with one fsync.
 *
 * `join` resolves when an fsync that *began* after the call has ended well: one that is under way may have
 * missed the caller's rename, so the caller waits for the next, together with all others that came meanwhile.
 * Fails: rejects all who shared the fsync; the descriptor is used once and never trusted again.
 */
import { closeSync, constants, fsync, openSync } from 'node:fs'

export class DirectorySync {
  readonly #path: string
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  constructor(path: string) {
    this.#path = path
  }

  join(): Promise<void> {
    if (!this.#running) return this.#start()
    const start = () => this.#start()
    this.#next ??= this.#running.then(start, start)
    return this.#next
  }

  #start(): Promise<void> {
    this.#next = null
    const running = syncDirectory(this.#path).finally(() => {
      if (this.#running === running) this.#running = null
    })
    this.#running = running
    return running
  }
}

async function syncDirectory(path: string): Promise<void> {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await syncDescriptor(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** The fsync itself runs on a thread of its own: four at a time, while other deliveries go on. */
export function syncDescriptor(descriptor: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(descriptor, (error) => (error ? reject(error) : resolve()))
  })
}
