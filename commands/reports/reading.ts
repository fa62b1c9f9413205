/**
 * One report that others have sent, read: DMARC's aggregate XML (RFC 9990, and what was before it) or the JSON of SMTP
 * TLS reporting (RFC 8460). Pure.
 *
 * XML is read without entities but the five of XML itself; a document that declares some of its own is refused. Fails:
 * throws `Error` with a sentence; numbers and names that make no sense count as none.
 */
import { createRequire } from 'node:module'
import type * as Xml from 'fast-xml-parser'

/** Of one source in one report. */
export interface DmarcRow {
  kind: 'dmarc'
  domain: string
  source: string
  /** Milliseconds since 1970. */
  begin: number
  messages: number
  dkim: boolean
  spf: boolean
  disposition: string
}

/** Of one policy in one report. */
export interface TlsRow {
  kind: 'tls'
  domain: string
  policy: string
  begin: number
  sessions: number
  failures: number
  /** By RFC 8460 section 4.3, each once. */
  reasons: string[]
}

export interface Report {
  /** Who says it, and the name they have for it: the same twice is one report. */
  id: string
  reporter: string
  rows: (DmarcRow | TlsRow)[]
}

const MOST_ROWS = 100_000

/** Null: it is no report. */
export function readReport(data: Buffer): Report | null {
  const text = data
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart()
  if (text.startsWith('{')) return readTls(JSON.parse(text))
  return text.startsWith('<') ? readDmarc(text) : null
}

const LISTS: ReadonlySet<string> = new Set(['record'])

function readDmarc(text: string): Report | null {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text)) throw new Error('XML with a DOCTYPE')
  // loaded with the first report: no other command pays for it
  const xml = createRequire(import.meta.url)('fast-xml-parser') as typeof Xml
  const parser = new xml.XMLParser({
    ignoreAttributes: true,
    removeNSPrefix: true,
    parseTagValue: false,
    processEntities: false,
    isArray: (name: string) => LISTS.has(name),
  })
  const feedback = at(parser.parse(text), 'feedback')
  const metadata = at(feedback, 'report_metadata')
  if (feedback === undefined || metadata === undefined) return null
  const begin = Number(word(at(at(metadata, 'date_range'), 'begin'))) * 1000
  if (!isTime(begin)) throw new Error('no date')
  const domain = word(at(at(feedback, 'policy_published'), 'domain')).toLowerCase()
  const records = at(feedback, 'record')
  const reporter = word(at(metadata, 'org_name'))
  return {
    id: `dmarc ${reporter} ${word(at(metadata, 'report_id'))} ${domain} ${begin}`,
    reporter,
    rows: listOf(records).map((record) => dmarcRow(at(record, 'row'), domain, begin)),
  }
}

function dmarcRow(row: unknown, domain: string, begin: number): DmarcRow {
  const evaluated = at(row, 'policy_evaluated')
  return {
    kind: 'dmarc',
    domain,
    source: word(at(row, 'source_ip')),
    begin,
    messages: countOf(word(at(row, 'count'))),
    dkim: word(at(evaluated, 'dkim')).toLowerCase() === 'pass',
    spf: word(at(evaluated, 'spf')).toLowerCase() === 'pass',
    disposition: word(at(evaluated, 'disposition')).toLowerCase(),
  }
}

function readTls(report: unknown): Report | null {
  const begin = Date.parse(word(at(at(report, 'date-range'), 'start-datetime')))
  const policies = at(report, 'policies')
  if (!Array.isArray(policies)) return null
  if (!isTime(begin)) throw new Error('no date')
  const reporter = word(at(report, 'organization-name'))
  return {
    id: `tls ${reporter} ${word(at(report, 'report-id'))} ${begin}`,
    reporter,
    rows: listOf(policies).map((one) => tlsRow(one, begin)),
  }
}

function tlsRow(one: unknown, begin: number): TlsRow {
  const policy = at(one, 'policy')
  const summary = at(one, 'summary')
  const failures = countOf(at(summary, 'total-failure-session-count'))
  const reasons = listOf(at(one, 'failure-details')).map((detail) => word(at(detail, 'result-type')))
  return {
    kind: 'tls',
    domain: word(at(policy, 'policy-domain')).toLowerCase(),
    policy: word(at(policy, 'policy-type')),
    begin,
    sessions: countOf(at(summary, 'total-successful-session-count')) + failures,
    failures,
    reasons: [...new Set(reasons)],
  }
}

function at(value: unknown, name: string): unknown {
  if (value === null || typeof value !== 'object' || !Object.hasOwn(value, name)) return undefined
  return (value as Record<string, unknown>)[name]
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST_ROWS) : []
}

const LONGEST_WORD = 255
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function word(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number') return ''
  const plain = String(value).replace(
    /&(amp|lt|gt|quot|apos);/g,
    (_all, name: string) => ENTITIES[name] ?? '',
  )
  return plain.trim().slice(0, LONGEST_WORD)
}

function countOf(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 && number < 2 ** 40
    ? number
    : 0
}

function isTime(time: number): boolean {
  return time > 0 && time < 2 ** 43
}
