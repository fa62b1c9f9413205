/**
 * DMARC reports, whole: takes what smtpd has counted, and sends each domain its day when that is over.
 *
 * Every LOOK_MS it looks for reports that are due; each domain has its own minute of the first hour of the day (UTC),
 * so that they do not all leave at once. Somebody outside of the domain gets a report only when DNS says that they
 * agree (RFC 9990 section 4). Our own trouble and DNS that does not say is tried again each hour, MOST_ATTEMPTS times,
 * then the report is dropped. What nobody may get is dropped at once. All of it is in the log.
 *
 * A database that cannot be used: nothing is counted or sent, and the log says so. Mail does not notice.
 */
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Log } from '../../../shared/base/log.ts'
import type { Answer, Payload } from '../../../shared/bus/messages.ts'
import type { ReportsSlice } from '../../../shared/config/slices.ts'
import { loadSqlite } from '../greylist/store.ts'
import type { TextAnswer } from '../texts.ts'
import { reportMessage, reportXml } from './aggregate.ts'
import { handIn } from './hand-in.ts'
import { consentName, type Destination, destinationsOf, domainOf, isConsent } from './record.ts'
import { type Count, type Due, ReportStore } from './store.ts'

export interface ReporterOptions {
  slice: ReportsSlice
  hostname: string
  log: Log
  texts: (name: string) => TextAnswer | Promise<TextAnswer>
  /** Milliseconds since 1970. */
  now?: () => number
}

const LOOK_MS = 600_000
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const MOST_ATTEMPTS = 48
const MOST_AT_ONCE = 500
/** Rows of one report; about 10 MiB of XML. */
const MOST_RESULTS = 20_000

type Fate = 'sent' | 'later' | 'nobody'

export class Reporter {
  readonly #options: ReporterOptions
  readonly #now: () => number
  readonly #opening: Promise<ReportStore | null>
  readonly #timer: NodeJS.Timeout
  #isFull = false
  #sending: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: ReporterOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#opening = this.#open()
    this.#timer = setInterval(() => void this.#send(null), LOOK_MS).unref()
  }

  async #open(): Promise<ReportStore | null> {
    const { log, slice } = this.#options
    try {
      return new ReportStore(await loadSqlite(), join(slice.directory, 'reports.db'), slice.entries)
    } catch (error) {
      log.error({ err: error }, 'reports cannot be opened, nothing is counted')
      return null
    }
  }

  async count(counts: readonly Count[]): Promise<void> {
    const store = await this.#opening
    if (!store || this.#isClosed) return
    try {
      const left = store.add(this.#today(), counts)
      if (left > 0 && !this.#isFull) this.#options.log.warn({ left }, 'no room for more results in reports')
      this.#isFull = left > 0
    } catch (error) {
      this.#options.log.error({ err: error }, 'results cannot be counted for reports')
    }
  }

  /** For the administrator; `today` is not over, and is sent as far as it has come. */
  async act({ act, today }: Payload<'reports-act'>): Promise<Answer<'reports-act'>> {
    const before = this.#today() + (today ? 1 : 0)
    if (act === 'send') return { reports: [], off: false, ...(await this.#send(before)) }
    const store = await this.#opening
    const due = store?.due(this.#today() + 1, Number.MAX_SAFE_INTEGER, MOST_AT_ONCE) ?? []
    const reports = due.map((one) => ({
      day: dayName(one.day),
      domain: one.domain,
      to: destinationsOf(one.record)
        .map(({ address }) => address)
        .join(', '),
      messages: store?.messages(one) ?? 0,
      attempts: one.attempts,
    }))
    return { reports, off: false, sent: 0, failed: 0 }
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    void Promise.all([this.#opening, this.#sending]).then(([store]) => store?.close())
  }

  #today(): number {
    return Math.floor(this.#now() / DAY_MS)
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
    const store = await this.#opening
    const told = { sent: 0, failed: 0 }
    if (!store || this.#isClosed) return told
    const until = before === null ? this.#now() : Number.MAX_SAFE_INTEGER
    const due = store.due(before ?? this.#today(), until, MOST_AT_ONCE)
    const now = due.filter(({ domain }) => before !== null || this.#isTime(domain))
    for (const one of now) {
      if (this.#isClosed) break
      const fate = await this.#report(store, one)
      if (fate === 'sent') told.sent++
      else told.failed++
      if (fate === 'later' && one.attempts < MOST_ATTEMPTS) store.postpone(one, this.#now() + HOUR_MS)
      else store.remove(one)
    }
    return told
  }

  #isTime(domain: string): boolean {
    const share = createHash('sha256').update(domain).digest().readUInt16BE(0) / 0x10000
    return this.#now() % DAY_MS >= share * HOUR_MS
  }

  async #report(store: ReportStore, due: Due): Promise<Fate> {
    const { hostname, log, slice } = this.#options
    const about = { domain: due.domain, day: dayName(due.day) }
    const agreed = await this.#agreed(due)
    if (agreed === 'later') {
      log.info(about, 'report waits for DNS')
      return 'later'
    }
    // the same for each attempt: who gets it twice can tell
    const id = `${due.day}.${createHash('sha256').update(`${due.day} ${due.domain}`).digest('hex').slice(0, 16)}@${hostname}`
    const author = { from: slice.from, organization: slice.organization, hostname }
    const message = reportMessage(
      due,
      reportXml(due, store.results(due, MOST_RESULTS), author, id),
      author,
      id,
      this.#now(),
    )
    const to = agreed
      .filter(({ most }) => most === null || message.size <= most)
      .map(({ address }) => address)
    if (to.length === 0) {
      log.info({ ...about, size: message.size }, 'report is for nobody')
      return 'nobody'
    }
    try {
      await handIn(slice.socket, hostname, { from: slice.from, to, content: message.compose(to) })
      log.info({ ...about, to, size: message.size, id }, 'report sent')
      return 'sent'
    } catch (error) {
      log.warn(
        { ...about, to, why: error instanceof Error ? error.message : String(error) },
        'report not sent',
      )
      return 'later'
    }
  }

  /** Who may get it, or that DNS does not say. */
  async #agreed({ domain, record }: Due): Promise<Destination[] | 'later'> {
    const agreed: Destination[] = []
    let unsure = false
    for (const destination of destinationsOf(record)) {
      const where = domainOf(destination.address)
      const answer =
        organizationOf(where) === organizationOf(domain)
          ? null
          : await this.#options.texts(consentName(domain, where))
      if (answer === null || (answer.kind === 'found' && answer.texts.some(isConsent)))
        agreed.push(destination)
      else if (answer.kind === 'later') unsure = true
    }
    return unsure && agreed.length === 0 ? 'later' : agreed
  }
}

function dayName(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

const load = createRequire(import.meta.url)
let suffixes: typeof import('tldts') | null = null

/** The list is large: it is loaded with the first report. */
function organizationOf(domain: string): string {
  suffixes ??= load('tldts') as typeof import('tldts')
  return suffixes.getDomain(domain, { allowPrivateDomains: true }) ?? domain
}
