/**
 * Where mail ends that was not delivered: recipients that an administrator discards, and removed ones whose time to
 * be restored is over. Rows go a bounded piece at a time; a message that has nobody left goes with its last row, and
 * its content file behind it.
 *
 * Fails: `discard` rejects with `Unfinished`, which says how far it came. What the clock does is tried again.
 */
import type { Log } from '../../shared/base/log.ts'
import type { ActiveQueue } from './active-queue.ts'
import type { Backlog } from './backlog.ts'
import type { ContentFiles } from './content-files.ts'
import type { Journal } from './journal.ts'
import type { Selection } from './selection.ts'
import type { Discarded, Piece } from './store.ts'
import type { StorePort } from './store-port.ts'

export interface DisposalOptions {
  port: StorePort
  journal: Journal
  queue: ActiveQueue
  files: ContentFiles
  backlog: Pick<Backlog, 'acted'>
  /** Milliseconds that removed mail is kept. */
  removedKeep: () => number
  log: Log
  now: () => number
}

/** Rows changed in one transaction. */
export const PIECE = 1000
const MOST_MS = 60_000
const LEAST_MS = 1000

/** Some rows were changed, then the store could not go on. */
export class Unfinished extends Error {
  override name = 'Unfinished'
  readonly recipients: number

  constructor(recipients: number, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.recipients = recipients
  }
}

export class Disposal {
  readonly #options: DisposalOptions
  #timer: NodeJS.Timeout | null = null
  #stopped = false

  constructor(options: DisposalOptions) {
    this.#options = options
  }

  /** From now on removed mail goes when its time is over. */
  start(): void {
    const wait = Math.min(Math.max(this.#options.removedKeep(), LEAST_MS), MOST_MS)
    this.#timer = setTimeout(() => void this.#purge(), wait)
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer) clearTimeout(this.#timer)
  }

  /** How many recipients. */
  async discard(selection: Selection): Promise<number> {
    let recipients = 0
    for (let after: string | null = null; ; ) {
      try {
        const { found, next }: Piece<number> = await this.#piece(selection, after)
        recipients += found
        if (next === null) return recipients
        after = next
      } catch (error) {
        throw new Unfinished(recipients, error)
      }
    }
  }

  async #purge(): Promise<void> {
    const { removedKeep, log, now } = this.#options
    try {
      const recipients = await this.discard({ states: ['removed'], removedBefore: now() - removedKeep() })
      if (recipients > 0) log.info({ recipients }, 'removed mail discarded')
    } catch (error) {
      log.error({ err: error }, 'removed mail cannot be discarded')
    }
    if (!this.#stopped) this.start()
  }

  /** No message leaves the active queue meanwhile: the rows may belong to one that is there. */
  async #piece(selection: Selection, after: string | null): Promise<Piece<number>> {
    const { backlog, journal, port, queue } = this.#options
    let frozen = false
    try {
      const { found, next } = await journal.behind(() => {
        frozen = true
        queue.freeze()
        return port.call('discard', selection, after, PIECE)
      })
      backlog.acted(found.touched)
      let recipients = 0
      for (const one of found.messages) recipients += await this.#gone(one)
      return { found: recipients, next }
    } finally {
      if (frozen) queue.thaw()
    }
  }

  async #gone({ message, recipients, removed }: Discarded): Promise<number> {
    const { queue, files } = this.#options
    const entry = queue.entries.get(message)
    if (entry) entry.waiting -= recipients
    if (removed) await files.remove(message)
    return recipients
  }
}
