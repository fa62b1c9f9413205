/**
 * One report about TLS (RFC 8460 section 4): its JSON, gzipped, and the message that carries it (section 5.3). Pure.
 */
import { gzipSync } from 'node:zlib'
import type { Payload } from '../../../shared/bus/messages.ts'
import { type Author, rangeOf } from './aggregate.ts'
import type { Countable, Due } from './store.ts'

export type TlsCount = Payload<'tls-counts'>['counts'][number] & Countable
export type TlsResult = Omit<TlsCount, 'domain' | 'record'>

interface Part {
  first: TlsResult
  good: number
  bad: number
  failures: object[]
}

export function tlsReportJson(
  report: Due,
  results: readonly TlsResult[],
  author: Author,
  id: string,
): string {
  const { begin, end } = rangeOf(report.day)
  return JSON.stringify({
    'organization-name': author.organization,
    'date-range': { 'start-datetime': timeOf(begin), 'end-datetime': timeOf(end) },
    'contact-info': author.from,
    'report-id': id,
    policies: partsOf(results).map((part) => policyOf(report.domain, part)),
  })
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000', '')
}

/** Results by the policy that they were met under. */
function partsOf(results: readonly TlsResult[]): Part[] {
  const parts = new Map<string, Part>()
  for (const one of results) {
    const key = JSON.stringify([one.policy, one.text, one.hosts])
    const part = parts.get(key) ?? { first: one, good: 0, bad: 0, failures: [] }
    parts.set(key, part)
    if (one.result === '') part.good += one.count
    else {
      part.bad += one.count
      part.failures.push(failureOf(one))
    }
  }
  return [...parts.values()]
}

function policyOf(domain: string, { first, good, bad, failures }: Part): object {
  return {
    policy: {
      'policy-type': first.policy,
      ...(first.text.length > 0 && { 'policy-string': first.text }),
      'policy-domain': domain,
      ...(first.hosts.length > 0 && { 'mx-host': first.hosts }),
    },
    summary: { 'total-successful-session-count': good, 'total-failure-session-count': bad },
    ...(failures.length > 0 && { 'failure-details': failures }),
  }
}

function failureOf({ result, local, mx, address, count }: TlsResult): object {
  return {
    'result-type': result,
    ...(local !== '' && { 'sending-mta-ip': local }),
    'receiving-mx-hostname': mx,
    ...(address !== '' && { 'receiving-ip': address }),
    'failed-session-count': count,
  }
}

/** As it is posted (section 5.4) and attached. */
export function tlsReportFile(json: string): Buffer {
  return gzipSync(json)
}

/** @param now milliseconds since 1970 */
export function tlsReportMessage(
  { day, domain }: Due,
  file: Buffer,
  { from, hostname }: Author,
  id: string,
  now: number,
): (to: readonly string[]) => string {
  const { begin, end } = rangeOf(day)
  // section 5.1: submitter!policy-domain!begin!end!unique-id
  const local = id.slice(0, id.indexOf('@'))
  const name = `${hostname}!${domain}!${begin}!${end}!${local}.json.gz`
  const boundary = `=_tls${local.replace(/[^a-z0-9]/gi, '')}`
  return (to) =>
    [
      `Date: ${new Date(now).toUTCString().replace('GMT', '+0000')}`,
      `From: <${from}>`,
      `To: ${to.map((address) => `<${address}>`).join(',\r\n ')}`,
      `Subject: Report Domain: ${domain}\r\n Submitter: ${hostname}\r\n Report-ID: <${id}>`,
      `Message-ID: <${id}>`,
      `TLS-Report-Domain: ${domain}`,
      `TLS-Report-Submitter: ${hostname}`,
      'Auto-Submitted: auto-generated',
      'MIME-Version: 1.0',
      `Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="${boundary}"`,
      '',
      `--${boundary}`,
      'Content-Type: text/plain; charset=us-ascii',
      '',
      `This is a report about TLS (RFC 8460) of mail to ${domain},`,
      `for ${timeOf(begin).slice(0, 10)} (UTC), by ${hostname}.`,
      '',
      `--${boundary}`,
      'Content-Type: application/tlsrpt+gzip',
      `Content-Disposition: attachment;\r\n filename="${name}"`,
      'Content-Transfer-Encoding: base64',
      '',
      file.toString('base64').replace(/.{76}/g, '$&\r\n').trimEnd(),
      `--${boundary}--`,
      '',
    ].join('\r\n')
}
