/**
 * Brings recipients whose time has come from the store into the active queue, as long as there is room there.
 *
 * One `take` at a time; while it runs no message leaves the active queue, so that rows for a message that is in
 * memory meet it there. The next look is timed by the earliest wait that the store or the queue knows of.
 */
import type { Log } from '../../shared/base/log.ts'
import type { ActiveQueue } from './active-queue.ts'
import { type Entry, slotOfRow } from './entry.ts'
import { decodeEnvelope } from './envelope-codec.ts'
import type { Journal } from './journal.ts'
import { priorityOf } from './priority.ts'
import type { Spill } from './spill.ts'
import type { Due } from './store.ts'
import type { StorePort } from './store-port.ts'

/** Recipients taken at once. */
const TAKE = 500
const TROUBLE_MS = 1000
const LONGEST_MS = 60_000

export interface DueOptions {
  port: StorePort
  journal: Journal
  queue: ActiveQueue
  spill: Pick<Spill, 'back'>
  log: Log
  now: () => number
}

export class DueLoader {
  readonly #options: DueOptions
  #timer: NodeJS.Timeout | null = null
  #timedFor = Number.POSITIVE_INFINITY
  #busy = false
  #again = false
  #stopped = false

  constructor(options: DueOptions) {
    this.#options = options
  }

  /** Something is to be tried at this time: look then, or earlier if that was planned already. */
  expect(at: number): void {
    if (this.#stopped || at >= this.#timedFor) return
    if (this.#timer) clearTimeout(this.#timer)
    this.#timedFor = at
    const wait = Math.min(Math.max(at - this.#options.now(), 1), LONGEST_MS)
    this.#timer = setTimeout(() => this.look(), wait)
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer) clearTimeout(this.#timer)
  }

  look(): void {
    if (this.#stopped) return
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#busy = true
    this.#timedFor = Number.POSITIVE_INFINITY
    void this.#run()
  }

  async #run(): Promise<void> {
    const { log, now } = this.#options
    try {
      const next = await this.#step()
      if (next !== null) this.expect(next)
    } catch (error) {
      log.error({ err: error }, 'deferred mail cannot be read')
      this.expect(now() + TROUBLE_MS)
    }
    this.#busy = false
    if (!this.#again) return
    this.#again = false
    this.look()
  }

  /** When to look again. */
  async #step(): Promise<number | null> {
    const { journal, port, queue, spill, now } = this.#options
    if (queue.full) return now() + TROUBLE_MS
    let frozen = false
    try {
      const found = await journal.behind(() => {
        frozen = true
        queue.freeze()
        return port.call('take', now(), TAKE)
      })
      for (const due of found) this.#admit(due)
      spill.back(found)
      if (found.length > 0) return now()
    } finally {
      if (frozen) queue.thaw()
    }
    return port.call('nextDue')
  }

  #admit(due: Due): void {
    const { queue, log } = this.#options
    const present = queue.entries.get(due.id)
    if (present) {
      return queue.join(
        present,
        due.rows.map((row) => slotOfRow(present.envelope, row)),
      )
    }
    let envelope: Entry['envelope']
    try {
      envelope = decodeEnvelope(due.envelope)
    } catch (error) {
      log.error(
        { err: error, message: due.id },
        'an envelope in the store cannot be read; the message stays there',
      )
      return
    }
    const slots = due.rows.map((row) => slotOfRow(envelope, row))
    queue.admit({
      id: due.id,
      envelope,
      content: due.content,
      filed: due.content === null,
      priority: priorityOf(envelope, due.content),
      slots,
      open: slots.length,
      waiting: due.waiting,
      provisional: null,
      alone: false,
      crashes: 0,
    })
  }
}
