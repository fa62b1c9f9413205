/**
 * One kind of report, from its counts to the day when they are sent: keeps them (`store.ts`), looks for what is due, and
 * sees what becomes of each report.
 *
 * Every LOOK_MS it looks for reports that are due; each domain has its own minute of the first hour of the day (UTC),
 * so that they do not all leave at once. What is to wait is tried again each hour, MOST_ATTEMPTS times, then the report
 * is dropped. What nobody may get is dropped at once. All of it is in the log.
 *
 * A database that cannot be used: nothing is counted or sent, and the log says so. Mail does not notice.
 */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Log } from '../../../shared/base/log.ts'
import type { Answer } from '../../../shared/bus/messages.ts'
import type { ReportsSlice } from '../../../shared/config/slices.ts'
import { loadSqlite } from '../greylist/store.ts'
import { type Countable, type Due, ReportStore } from './store.ts'

const LOOK_MS = 600_000
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const MOST_ATTEMPTS = 48
const MOST_AT_ONCE = 500

export type Fate = 'sent' | 'later' | 'nobody'
export type Listed = Answer<'reports-act'>['reports'][number]

export interface DeskOptions<C extends Countable> {
  kind: Listed['kind']
  /** Name of the database. */
  file: string
  slice: ReportsSlice
  log: Log
  /** Milliseconds since 1970. */
  now: () => number
  /** Whom the record names. */
  namedBy: (record: string) => readonly string[]
  send: (store: ReportStore<C>, due: Due) => Promise<Fate>
}

export class Desk<C extends Countable> {
  readonly #options: DeskOptions<C>
  readonly #opening: Promise<ReportStore<C> | null>
  readonly #timer: NodeJS.Timeout
  #isFull = false
  #sending: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: DeskOptions<C>) {
    this.#options = options
    this.#opening = this.#open()
    this.#timer = setInterval(() => void this.#send(null), LOOK_MS).unref()
  }

  async #open(): Promise<ReportStore<C> | null> {
    const { file, log, slice } = this.#options
    try {
      return new ReportStore<C>(await loadSqlite(), join(slice.directory, file), slice.entries)
    } catch (error) {
      log.error({ err: error, file }, 'reports cannot be opened, nothing is counted')
      return null
    }
  }

  async count(counts: readonly C[]): Promise<void> {
    const store = await this.#opening
    if (!store || this.#isClosed || counts.length === 0) return
    try {
      const left = store.add(this.#today(), counts)
      if (left > 0 && !this.#isFull) this.#options.log.warn({ left }, 'no room for more results in reports')
      this.#isFull = left > 0
    } catch (error) {
      this.#options.log.error({ err: error }, 'results cannot be counted for reports')
    }
  }

  async list(): Promise<Listed[]> {
    const { kind, namedBy } = this.#options
    const store = await this.#opening
    const due = store?.due(this.#today() + 1, Number.MAX_SAFE_INTEGER, MOST_AT_ONCE) ?? []
    return due.map((one) => ({
      kind,
      day: dayName(one.day),
      domain: one.domain,
      to: namedBy(one.record).join(', '),
      messages: store?.messages(one) ?? 0,
      attempts: one.attempts,
    }))
  }

  /** At once, all that is due; `today` is not over, and is sent as far as it has come. */
  sendAll(today: boolean): Promise<{ sent: number; failed: number }> {
    return this.#send(this.#today() + (today ? 1 : 0))
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    void Promise.all([this.#opening, this.#sending]).then(([store]) => store?.close())
  }

  #today(): number {
    return Math.floor(this.#options.now() / DAY_MS)
  }

  /** One round after the other. @param before at once, all of days before that one; null: what is due */
  #send(before: number | null): Promise<{ sent: number; failed: number }> {
    const round = this.#sending.then(() => this.#round(before))
    this.#sending = round.catch(() => undefined)
    return round.catch((error: unknown) => {
      this.#options.log.error({ err: error }, 'reports cannot be sent')
      return { sent: 0, failed: 0 }
    })
  }

  async #round(before: number | null): Promise<{ sent: number; failed: number }> {
    const { now, send } = this.#options
    const store = await this.#opening
    const told = { sent: 0, failed: 0 }
    if (!store || this.#isClosed) return told
    const until = before === null ? now() : Number.MAX_SAFE_INTEGER
    const due = store.due(before ?? this.#today(), until, MOST_AT_ONCE)
    for (const one of due.filter(({ domain }) => before !== null || this.#isTime(domain))) {
      if (this.#isClosed) break
      const fate = await send(store, one)
      if (fate === 'sent') told.sent++
      else told.failed++
      if (fate === 'later' && one.attempts < MOST_ATTEMPTS) store.postpone(one, now() + HOUR_MS)
      else store.remove(one)
    }
    return told
  }

  #isTime(domain: string): boolean {
    const share = createHash('sha256').update(domain).digest().readUInt16BE(0) / 0x10000
    return this.#options.now() % DAY_MS >= share * HOUR_MS
  }
}

export function dayName(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

/** The same for each attempt: who gets it twice can tell. */
export function reportId(kind: Listed['kind'], { day, domain }: Due, hostname: string): string {
  const seed = kind === 'dmarc' ? `${day} ${domain}` : `${kind} ${day} ${domain}`
  return `${day}.${createHash('sha256').update(seed).digest('hex').slice(0, 16)}@${hostname}`
}
