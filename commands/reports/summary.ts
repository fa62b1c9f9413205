/**
 * Reports summed: who has sent in the name of a domain, in which week, and how much of it has passed; and how often TLS
 * has failed on the way to it. Pure.
 *
 * A report that comes twice counts once. Bounded: beyond MOST_LINES different lines the rest is only counted as left out.
 */
import type { DmarcRow, Report, TlsRow } from './reading.ts'

/** Weeks begin on Monday, UTC: `2026-11-16`. */
export interface DmarcLine {
  kind: 'dmarc'
  week: string
  domain: string
  source: string
  messages: number
  /** DMARC, by one of the two. */
  passed: number
  dkim: number
  spf: number
  /** Refused or put aside. */
  stopped: number
}

export interface TlsLine {
  kind: 'tls'
  week: string
  domain: string
  policy: string
  sessions: number
  failures: number
  reasons: string[]
}

const MOST_LINES = 100_000
const MOST_REASONS = 20
const DAY_MS = 86_400_000

export class Summary {
  reports = 0
  leftOut = 0
  readonly #seen = new Set<string>()
  readonly #dmarc = new Map<string, DmarcLine>()
  readonly #tls = new Map<string, TlsLine>()

  add({ id, rows }: Report): void {
    if (this.#seen.has(id)) return
    if (this.#seen.size < MOST_LINES) this.#seen.add(id)
    this.reports++
    for (const row of rows) {
      if (row.kind === 'dmarc') this.#addDmarc(row)
      else this.#addTls(row)
    }
  }

  dmarc(): DmarcLine[] {
    return [...this.#dmarc.values()].sort(
      (a, b) => compare(a.domain, b.domain) || compare(a.week, b.week) || b.messages - a.messages,
    )
  }

  tls(): TlsLine[] {
    return [...this.#tls.values()].sort(
      (a, b) => compare(a.domain, b.domain) || compare(a.week, b.week) || compare(a.policy, b.policy),
    )
  }

  #addDmarc({ begin, domain, source, messages, dkim, spf, disposition }: DmarcRow): void {
    const week = weekOf(begin)
    const fresh = {
      kind: 'dmarc' as const,
      week,
      domain,
      source,
      messages: 0,
      passed: 0,
      dkim: 0,
      spf: 0,
      stopped: 0,
    }
    const line = this.#line(this.#dmarc, `${week} ${domain} ${source}`, fresh)
    if (!line) return
    line.messages += messages
    if (dkim || spf) line.passed += messages
    if (dkim) line.dkim += messages
    if (spf) line.spf += messages
    if (disposition === 'reject' || disposition === 'quarantine') line.stopped += messages
  }

  #addTls({ begin, domain, policy, sessions, failures, reasons }: TlsRow): void {
    const week = weekOf(begin)
    const fresh: TlsLine = { kind: 'tls', week, domain, policy, sessions: 0, failures: 0, reasons: [] }
    const line = this.#line(this.#tls, `${week} ${domain} ${policy}`, fresh)
    if (!line) return
    line.sessions += sessions
    line.failures += failures
    line.reasons = [...new Set([...line.reasons, ...reasons])].slice(0, MOST_REASONS)
  }

  #line<T>(lines: Map<string, T>, key: string, fresh: T): T | null {
    const known = lines.get(key)
    if (known) return known
    if (lines.size >= MOST_LINES) {
      this.leftOut++
      return null
    }
    lines.set(key, fresh)
    return fresh
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function weekOf(time: number): string {
  const day = Math.floor(time / DAY_MS)
  // day 0 was a Thursday
  return new Date((day - ((day + 3) % 7)) * DAY_MS).toISOString().slice(0, 10)
}
