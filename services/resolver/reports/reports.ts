/** Both kinds of reports, for whoever counts and for the administrator: see `reporter.ts` and `tls-reporter.ts`. */
import type { Log } from '../../../shared/base/log.ts'
import type { Answer, Payload } from '../../../shared/bus/messages.ts'
import type { ReportsSlice } from '../../../shared/config/slices.ts'
import type { Lookups } from '../host-addresses.ts'
import type { TextAnswer } from '../texts.ts'
import { Reporter } from './reporter.ts'
import { TlsReporter } from './tls-reporter.ts'

export interface ReportsOptions {
  slice: ReportsSlice
  hostname: string
  log: Log
  dns: Lookups
  texts: (name: string) => TextAnswer | Promise<TextAnswer>
}

export class Reports {
  readonly #dmarc: Reporter | null
  readonly #tls: TlsReporter | null

  constructor(options: ReportsOptions) {
    const parts = { ...options, now: Date.now }
    this.#dmarc = options.slice.dmarc ? new Reporter(parts) : null
    this.#tls = options.slice.tls ? new TlsReporter(parts) : null
  }

  countDmarc({ counts }: Payload<'dmarc-counts'>): void {
    void this.#dmarc?.desk.count(counts)
  }

  countTls(counts: Payload<'tls-counts'>): void {
    void this.#tls?.count(counts)
  }

  async act({ act, today }: Payload<'reports-act'>): Promise<Answer<'reports-act'>> {
    const answer: Answer<'reports-act'> = { reports: [], off: false, sent: 0, failed: 0 }
    for (const desk of [this.#dmarc?.desk, this.#tls?.desk]) {
      if (act === 'list') answer.reports.push(...((await desk?.list()) ?? []))
      else {
        const told = await desk?.sendAll(today)
        answer.sent += told?.sent ?? 0
        answer.failed += told?.failed ?? 0
      }
    }
    return answer
  }

  close(): void {
    this.#dmarc?.desk.close()
    this.#tls?.desk.close()
  }
}
