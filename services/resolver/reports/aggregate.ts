/**
 * One aggregate report (RFC 9990): its XML, and the message that carries it, gzipped. Pure.
 *
 * Everything in it came from strangers (names in DNS, what EHLO said) and is escaped; what XML cannot hold is `?`.
 */
import { gzipSync } from 'node:zlib'
import { tagsOf } from './record.ts'
import type { Count, Due } from './store.ts'

export interface Author {
  /** Address of the sender. */
  from: string
  organization: string
  hostname: string
}

export type Result = Omit<Count, 'domain' | 'record'>

const DAY_SECONDS = 86_400
const NAMESPACE = 'urn:ietf:params:xml:ns:dmarc-2.0'

/** Seconds since 1970, both within the day. */
export function rangeOf(day: number): { begin: number; end: number } {
  return { begin: day * DAY_SECONDS, end: (day + 1) * DAY_SECONDS - 1 }
}

export function reportXml(report: Due, results: readonly Result[], author: Author, id: string): string {
  const { begin, end } = rangeOf(report.day)
  const tags = tagsOf(report.record)
  const p = wordOf(tags.get('p'), POLICIES) ?? 'none'
  const published = [
    element('domain', report.domain),
    element('p', p),
    element('sp', wordOf(tags.get('sp'), POLICIES) ?? p),
    element('np', wordOf(tags.get('np'), POLICIES) ?? wordOf(tags.get('sp'), POLICIES) ?? p),
    element('adkim', wordOf(tags.get('adkim'), ['r', 's']) ?? 'r'),
    element('aspf', wordOf(tags.get('aspf'), ['r', 's']) ?? 'r'),
    element('testing', wordOf(tags.get('t'), ['y', 'n']) ?? 'n'),
    element('discovery_method', 'treewalk'),
  ]
  return `<?xml version="1.0" encoding="UTF-8"?>
<feedback xmlns="${NAMESPACE}">
<version>1.0</version>
<report_metadata>${element('org_name', author.organization)}${element('email', author.from)}${element('report_id', id)}<date_range><begin>${begin}</begin><end>${end}</end></date_range></report_metadata>
<policy_published>${published.join('')}</policy_published>
${results.map(recordXml).join('\n')}
</feedback>
`
}

const POLICIES = ['none', 'quarantine', 'reject'] as const

function wordOf<T extends string>(text: string | undefined, words: readonly T[]): T | null {
  return words.find((word) => word === text?.toLowerCase()) ?? null
}

function recordXml(one: Result): string {
  const reason = one.reason === '' ? '' : `<reason>${element('type', one.reason)}</reason>`
  const evaluated = `${element('disposition', one.disposition)}${element('dkim', one.dkim)}${element('spf', one.spf)}${reason}`
  const row = `${element('source_ip', one.source)}<count>${one.count}</count><policy_evaluated>${evaluated}</policy_evaluated>`
  const names = `${one.envelope === '' ? '<envelope_from/>' : element('envelope_from', one.envelope)}${element('header_from', one.author)}`
  const dkim = one.signatures.map(
    ({ domain, selector, result }) =>
      `<dkim>${element('domain', domain)}${element('selector', selector)}${element('result', result)}</dkim>`,
  )
  const spf = `<spf>${element('domain', one.spfDomain)}${element('scope', one.spfScope)}${element('result', one.spfResult)}</spf>`
  return `<record><row>${row}</row><identifiers>${names}</identifiers><auth_results>${dkim.join('')}${spf}</auth_results></record>`
}

function element(name: string, text: string): string {
  return `<${name}>${escaped(text)}</${name}>`
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

function escaped(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, '?').replace(/[&<>]/g, (char) => ENTITIES[char] ?? char)
}

export interface Message {
  /** Octets of the attachment as it is sent: what a limit in the record is about. */
  size: number
  compose: (to: readonly string[]) => string
}

/** @param now milliseconds since 1970 */
export function reportMessage(report: Due, xml: string, author: Author, id: string, now: number): Message {
  const { begin, end } = rangeOf(report.day)
  // RFC 9990 section 3.5.1: receiver!policy-domain!begin!end
  const file = `${author.hostname}!${report.domain}!${begin}!${end}.xml.gz`
  const zipped = gzipSync(xml)
  const base64 = zipped.toString('base64').replace(/.{76}/g, '$&\r\n').trimEnd()
  const boundary = `=_${id.replace(/[^a-z0-9]/gi, '').slice(0, 40)}`
  const top = (to: readonly string[]) => [
    `Date: ${new Date(now).toUTCString().replace('GMT', '+0000')}`,
    `From: <${author.from}>`,
    `To: ${to.map((address) => `<${address}>`).join(',\r\n ')}`,
    `Subject: Report Domain: ${report.domain}\r\n Submitter: ${author.hostname}\r\n Report-ID: <${id}>`,
    `Message-ID: <${id}>`,
    'Auto-Submitted: auto-generated',
    'MIME-Version: 1.0',
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    '',
    `--${boundary}`,
    'Content-Type: text/plain; charset=us-ascii',
    '',
    `This is an aggregate report of DMARC (RFC 9990) about ${report.domain},`,
    `for ${new Date(begin * 1000).toISOString().slice(0, 10)} (UTC), by ${author.hostname}.`,
    '',
    `--${boundary}`,
    `Content-Type: application/gzip; name="${file}"`,
    `Content-Disposition: attachment;\r\n filename="${file}"`,
    'Content-Transfer-Encoding: base64',
    '',
    base64,
    `--${boundary}--`,
    '',
  ]
  return { size: base64.length, compose: (to) => top(to).join('\r\n') }
}
