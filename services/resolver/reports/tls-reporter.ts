/**
 * Reports about TLS (RFC 8460): takes what smtpc has counted, keeps it of domains that want to hear of it, and sends each
 * its day when that is over (`desk.ts`), by mail and by HTTPS, to all whom the record names.
 *
 * Whether a domain wants reports is asked of DNS with its counts, and of the cache mostly. DNS that does not say, and
 * more than MOST_ASKED batches that wait for it: they are kept, and it is asked again when the report is due.
 * Where one of the destinations got the report it is sent: a second try would be a second report for that one.
 */
import type { Log } from '../../../shared/base/log.ts'
import type { Payload } from '../../../shared/bus/messages.ts'
import type { ReportsSlice } from '../../../shared/config/slices.ts'
import type { Lookups } from '../host-addresses.ts'
import type { TextAnswer } from '../texts.ts'
import { Desk, dayName, type Fate, reportId } from './desk.ts'
import { handIn } from './hand-in.ts'
import { postReport } from './post.ts'
import type { Due, ReportStore } from './store.ts'
import { tlsDestinationsOf, tlsRecordIn } from './tls-record.ts'
import { type TlsCount, tlsReportFile, tlsReportJson, tlsReportMessage } from './tls-report.ts'

export interface TlsReporterOptions {
  slice: ReportsSlice
  hostname: string
  log: Log
  dns: Lookups
  texts: (name: string) => TextAnswer | Promise<TextAnswer>
  /** Milliseconds since 1970. */
  now: () => number
}

/** Rows of one report, those with most sessions first; each has its policy beside it, so that is up to 60 MiB. */
const MOST_RESULTS = 2000
/** Batches at a time. */
const MOST_ASKED = 20
/** In the place of the record, while nobody knows it. */
const UNKNOWN = ''

export class TlsReporter {
  readonly #options: TlsReporterOptions
  readonly desk: Desk<TlsCount>
  #asking = 0

  constructor(options: TlsReporterOptions) {
    this.#options = options
    const { slice, log, now } = options
    this.desk = new Desk<TlsCount>({
      ...{ kind: 'tls', file: 'tls.db', slice, log, now },
      namedBy: namesIn,
      send: (store, due) => this.#report(store, due),
    })
  }

  async count({ counts }: Payload<'tls-counts'>): Promise<void> {
    const domains = [...new Set(counts.map(({ domain }) => domain))]
    const isLate = this.#asking >= MOST_ASKED
    this.#asking++
    const found = await Promise.all(
      domains.map(async (domain) => [domain, isLate ? UNKNOWN : await this.#recordOf(domain)] as const),
    ).finally(() => this.#asking--)
    const records = new Map(found)
    await this.desk.count(
      counts.flatMap((one) => {
        const record = records.get(one.domain) ?? null
        return record === null ? [] : [{ ...one, record }]
      }),
    )
  }

  /** Null: it wants none. */
  async #recordOf(domain: string): Promise<string | null> {
    const answer = await this.#options.texts(`_smtp._tls.${domain}`)
    return answer.kind === 'later' ? UNKNOWN : tlsRecordIn(answer.texts)
  }

  async #report(store: ReportStore<TlsCount>, due: Due): Promise<Fate> {
    const { hostname, log, slice } = this.#options
    const about = { domain: due.domain, day: dayName(due.day) }
    const record = due.record === UNKNOWN ? await this.#recordOf(due.domain) : due.record
    if (record === null) return 'nobody'
    if (record === UNKNOWN) {
      log.info(about, 'report about TLS waits for DNS')
      return 'later'
    }
    const id = reportId('tls', due, hostname)
    const author = { from: slice.from, organization: slice.organization, hostname }
    const file = tlsReportFile(tlsReportJson(due, store.results(due, MOST_RESULTS), author, id))
    const sent = await this.#give({ ...due, record }, file, id)
    if (sent > 0) log.info({ ...about, to: namesIn(record), size: file.length, id }, 'report about TLS sent')
    return sent > 0 ? 'sent' : 'later'
  }

  /** Answers how many got it. */
  async #give(due: Due, file: Buffer, id: string): Promise<number> {
    const { dns, hostname, now, slice } = this.#options
    const { mail, web } = tlsDestinationsOf(due.record)
    const author = { from: slice.from, organization: slice.organization, hostname }
    const posts = web.map((url) => () => postReport(url, file, { dns, caFile: slice.caFile }))
    const message = tlsReportMessage(due, file, author, id, now())
    const mails = () => handIn(slice.socket, hostname, { from: slice.from, to: mail, content: message(mail) })
    let sent = 0
    for (const give of mail.length > 0 ? [mails, ...posts] : posts)
      sent += (await this.#try(due, give)) ? 1 : 0
    return sent
  }

  async #try({ domain, day }: Due, give: () => Promise<void>): Promise<boolean> {
    try {
      await give()
      return true
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      this.#options.log.warn({ domain, day: dayName(day), why }, 'report about TLS not sent')
      return false
    }
  }
}

function namesIn(record: string): string[] {
  const { mail, web } = tlsDestinationsOf(record)
  return [...mail, ...web]
}
