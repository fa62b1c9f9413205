/**
 * Group commit: whatever finished while the disk was busy goes into one batch, and the disk is never idle while
 * something waits. A client that is alone gets a batch of its own at once; under load batches fill by themselves.
 *
 * `insert` is for mail from outside: it resolves when the message is on stable storage, and rejects with
 * `StoreTrouble` when it is not and never will be. `record` is for results of deliveries, with the reports they
 * cause in the same transaction; it never fails: what a failed batch held of it goes with a later one. On `full`
 * results without reports go first and the reserve pays for them; on `broken` the store is opened anew (design
 * rules D5, D6).
 */
import type { Log } from '../../shared/base/log.ts'
import { type Batch, type Change, type StoredMessage, StoreTrouble, type Trouble } from './store.ts'
import type { StorePort } from './store-port.ts'

/** What is committed together or not at all. */
interface Unit {
  messages: readonly StoredMessage[]
  changes: readonly Change[]
  done: () => void
  /** Set for mail from outside: a unit that may be refused instead of tried again. */
  refuse: ((trouble: StoreTrouble) => void) | null
}

const RETRY_MS = 500
/** A result that is lost with the process costs a duplicate, so it does not wait long for company. */
const RESULTS_WAIT_MS = 5
const nothing = () => undefined

export type Health = 'good' | Trouble

export class Journal {
  readonly #port: Pick<StorePort, 'apply' | 'call'>
  readonly #log: Log
  readonly #onHealth: (health: Health) => void
  #units: Unit[] = []
  #busy = false
  #health: Health = 'good'
  #idle: (() => void)[] = []
  #timer: NodeJS.Timeout | null = null
  #behind: { run: () => Promise<void>; reject: (trouble: StoreTrouble) => void }[] = []
  /** For figures: batches, and messages in them. */
  batches = 0
  committed = 0
  /** Nothing is accepted while a commit is under way, so this is the longest that intake stood still. */
  longestCommitMs = 0

  constructor(port: Pick<StorePort, 'apply' | 'call'>, log: Log, onHealth: (health: Health) => void) {
    this.#port = port
    this.#log = log
    this.#onHealth = onHealth
  }

  get health(): Health {
    return this.#health
  }

  /** @param reports messages of ours that come with it. */
  insert(
    message: StoredMessage,
    changes: readonly Change[] = [],
    reports: readonly StoredMessage[] = [],
  ): Promise<void> {
    if (this.#health !== 'good')
      return Promise.reject(new StoreTrouble(this.#health, 'the queue store is in trouble'))
    return new Promise((resolve, reject) =>
      this.#add({ messages: [message, ...reports], changes, done: resolve, refuse: reject }),
    )
  }

  /** @param done runs once everything is durable: for files to be unlinked, reports to be sent. */
  record(
    changes: readonly Change[],
    reports: readonly StoredMessage[] = [],
    done: () => void = nothing,
  ): void {
    this.#add({ messages: reports, changes, done, refuse: null })
  }

  /**
   * Calls the store right behind everything recorded so far, so that `call` sees all of it and nothing of what is
   * recorded later. Rejects when that cannot be had: what was recorded could not be written, or waits for room.
   */
  behind<T>(call: () => Promise<T>): Promise<T> {
    if (this.#health === 'broken')
      return Promise.reject(new StoreTrouble('broken', 'the queue store is in trouble'))
    return new Promise((resolve, reject) => {
      this.#behind.push({ run: () => call().then(resolve, reject), reject })
      this.#start()
    })
  }

  /** Resolves when nothing waits for the store any more. */
  settled(): Promise<void> {
    if (!this.#busy && this.#units.length === 0) return Promise.resolve()
    this.#start()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  #add(unit: Unit): void {
    this.#units.push(unit)
    if (unit.refuse) this.#start()
    else this.#startSoon()
  }

  #start(): void {
    if (this.#busy) return
    this.#busy = true
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    // What else arrives in this turn of the event loop joins the batch.
    setImmediate(() => void this.#commit())
  }

  /** Nobody waits for results: they go with the next mail, or after a moment on their own. */
  #startSoon(): void {
    if (!this.#busy) this.#timer ??= setTimeout(() => this.#start(), RESULTS_WAIT_MS)
  }

  async #commit(): Promise<void> {
    const units = this.#choose()
    const keptBack = this.#units.length > 0
    const calls = this.#behind.splice(0)
    try {
      if (units.length > 0) await this.#apply(units)
    } catch (error) {
      const trouble = error instanceof StoreTrouble ? error : new StoreTrouble('broken', String(error))
      for (const { reject } of calls) reject(trouble)
      await this.#failed(trouble, units)
      return this.#next()
    }
    this.#succeeded(units)
    for (const { run, reject } of calls) {
      if (keptBack) reject(new StoreTrouble('full', 'results wait for room'))
      else void run()
    }
    this.#next()
  }

  async #apply(units: readonly Unit[]): Promise<void> {
    const began = performance.now()
    await this.#port.apply(batchOf(units))
    this.longestCommitMs = Math.max(this.longestCommitMs, performance.now() - began)
  }

  #next(): void {
    if (this.#behind.length > 0 || this.#idle.length > 0 || this.#units.some((unit) => unit.refuse)) {
      if (this.#units.length > 0 || this.#behind.length > 0)
        return void setImmediate(() => void this.#commit())
    }
    this.#busy = false
    if (this.#units.length > 0) return this.#startSoon()
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** On a full disk, first what needs the least room; what concerns one message stays in its order. */
  #choose(): Unit[] {
    const all = this.#units
    const { now, later } = this.#health === 'full' ? byNeed(all) : { now: all, later: [] }
    this.#units = now.length > 0 ? later : []
    return now.length > 0 ? now : all
  }

  #succeeded(units: Unit[]): void {
    this.batches++
    if (this.#health === 'broken') this.#setHealth('good')
    for (const unit of units) {
      this.committed += unit.messages.length
      unit.done()
    }
  }

  async #failed(trouble: StoreTrouble, units: Unit[]): Promise<void> {
    this.#log.error({ err: trouble, units: units.length }, 'commit failed')
    for (const unit of units) unit.refuse?.(trouble)
    this.#units = [...units.filter((unit) => !unit.refuse), ...this.#units]
    const first = this.health === 'good'
    this.#setHealth(trouble.trouble)
    if (first) this.#heal()
    // A full disk has just given up its reserve: the results may fit now, so the first retry is at once.
    if (!first || trouble.trouble === 'broken') await pause(RETRY_MS)
  }

  /** Every half second until the store is good again. */
  #heal(): void {
    const timer = setInterval(
      () => void this.#tryToHeal().then((healed) => healed && clearInterval(timer)),
      RETRY_MS,
    )
  }

  async #tryToHeal(): Promise<boolean> {
    if (this.#health === 'good') return true
    try {
      if (this.#health === 'broken') await this.#port.call('reopen')
      if (await this.#port.call('probe')) this.#setHealth('good')
    } catch (error) {
      this.#log.error({ err: error }, 'the queue store does not heal')
    }
    return this.health === 'good'
  }

  #setHealth(health: Health): void {
    if (health === this.#health) return
    this.#log.warn({ from: this.#health, to: health }, 'queue store')
    this.#health = health
    this.#onHealth(health)
  }
}

/** Units with new messages wait, and with them every later unit that concerns a message of theirs. */
function byNeed(units: readonly Unit[]): { now: Unit[]; later: Unit[] } {
  const concerned = new Set<number>()
  const now: Unit[] = []
  const later: Unit[] = []
  for (const unit of units) {
    const messages = unit.changes.map((change) =>
      change.kind === 'wait' ? change.row.message : change.message,
    )
    if (unit.messages.length === 0 && !messages.some((message) => concerned.has(message))) now.push(unit)
    else {
      later.push(unit)
      for (const message of messages) concerned.add(message)
    }
  }
  return { now, later }
}

function batchOf(units: readonly Unit[]): Batch {
  return { inserts: units.flatMap((unit) => unit.messages), changes: units.flatMap((unit) => unit.changes) }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
