/**
 * DMARC reports: takes what smtpd has counted, and sends each domain its day when that is over (`desk.ts`).
 *
 * Somebody outside of the domain gets a report only when DNS says that they agree (RFC 9990 section 4). Our own trouble
 * and DNS that does not say is tried again.
 */
import { createRequire } from 'node:module'
import type { Log } from '../../../shared/base/log.ts'
import type { ReportsSlice } from '../../../shared/config/slices.ts'
import type { TextAnswer } from '../texts.ts'
import { reportMessage, reportXml } from './aggregate.ts'
import { Desk, dayName, type Fate, reportId } from './desk.ts'
import { handIn } from './hand-in.ts'
import { consentName, type Destination, destinationsOf, domainOf, isConsent } from './record.ts'
import type { Count, Due, ReportStore } from './store.ts'

export interface ReporterOptions {
  slice: ReportsSlice
  hostname: string
  log: Log
  texts: (name: string) => TextAnswer | Promise<TextAnswer>
  /** Milliseconds since 1970. */
  now: () => number
}

/** Rows of one report; about 10 MiB of XML. */
const MOST_RESULTS = 20_000

export class Reporter {
  readonly #options: ReporterOptions
  readonly desk: Desk<Count>

  constructor(options: ReporterOptions) {
    this.#options = options
    const { slice, log, now } = options
    this.desk = new Desk<Count>({
      ...{ kind: 'dmarc', file: 'reports.db', slice, log, now },
      namedBy: (record) => destinationsOf(record).map(({ address }) => address),
      send: (store, due) => this.#report(store, due),
    })
  }

  async #report(store: ReportStore, due: Due): Promise<Fate> {
    const { hostname, log, now, slice } = this.#options
    const about = { domain: due.domain, day: dayName(due.day) }
    const agreed = await this.#agreed(due)
    if (agreed === 'later') {
      log.info(about, 'report waits for DNS')
      return 'later'
    }
    const id = reportId('dmarc', due, hostname)
    const author = { from: slice.from, organization: slice.organization, hostname }
    const xml = reportXml(due, store.results(due, MOST_RESULTS), author, id)
    const message = reportMessage(due, xml, author, id, now())
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

const load = createRequire(import.meta.url)
let suffixes: typeof import('tldts') | null = null

/** The list is large: it is loaded with the first report. */
function organizationOf(domain: string): string {
  suffixes ??= load('tldts') as typeof import('tldts')
  return suffixes.getDomain(domain, { allowPrivateDomains: true }) ?? domain
}
