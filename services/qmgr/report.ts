/**
 * Delivery status notifications: a complete message out of facts. Pure.
 *
 * Format: RFC 3464 inside RFC 6522 multipart/report: words for a person, fields for a program
 * (`report-fields.ts`), and the original's header or all of it (`returned-content.ts`). Marked Auto-Submitted
 * (RFC 3834 section 5). Parts beyond ASCII go as 8bit, never encoded anew; a report without them is 7bit.
 * Who is told at all is decided before, in `notice.ts`.
 */
import { isAscii } from 'node:buffer'
import { formatId } from '../../shared/base/ids.ts'
import { mailDate } from './mail-date.ts'
import type { Notice, NoticeKind } from './notice.ts'
import { codes, oneLine, type StatusFacts, statusFields } from './report-fields.ts'
import { type Returned, returnedType } from './returned-content.ts'

/** About recipients of one message that the same thing happened to. */
export interface ReportFacts extends StatusFacts {
  /** Of the report itself. */
  id: number
  returned: Returned
}

export function composeReport(facts: ReportFacts): Buffer {
  const { returned, about } = facts
  const boundary = boundaryFor(facts)
  const parts = [
    part('text/plain; charset=utf-8', Buffer.from(`${words(facts).join('\r\n')}\r\n`)),
    statusPart(facts),
    part(returnedType(returned, about.smtputf8), returned.content),
  ]
  const eightBit = parts.some(({ body }) => !isAscii(body))
  const octets: Uint8Array[] = [Buffer.from(head(facts, boundary, eightBit))]
  for (const { header, body } of parts) {
    octets.push(Buffer.from(`\r\n--${boundary}\r\n${header}\r\n`), body)
  }
  octets.push(Buffer.from(`\r\n--${boundary}--\r\n`))
  return Buffer.concat(octets)
}

interface Part {
  header: string
  body: Uint8Array
}

function part(type: string, body: Uint8Array): Part {
  const encoding = isAscii(body) ? '' : 'Content-Transfer-Encoding: 8bit\r\n'
  return { header: `Content-Type: ${type}\r\n${encoding}`, body }
}

/** RFC 6533 section 4: the global form is for who sent an internationalized message, and can read one. */
function statusPart(facts: ReportFacts): Part {
  const { smtputf8 } = facts.about
  const body = Buffer.from(statusFields(facts, smtputf8).join('\r\n'))
  return part(`message/${isAscii(body) ? '' : 'global-'}delivery-status`, body)
}

/** RFC 2046 section 5.1.1: no line of a part may look like it; who knows our ids could write one on purpose. */
function boundaryFor({ id, returned }: ReportFacts): string {
  const content = Buffer.from(returned.content.buffer, returned.content.byteOffset, returned.content.length)
  let boundary = `=_posthorn_${id.toString(36)}`
  for (let n = 1; content.includes(boundary); n++) boundary = `=_posthorn_${id.toString(36)}_${n}`
  return boundary
}

const SUBJECT: Readonly<Record<NoticeKind, string>> = {
  failed: 'Undelivered mail returned to sender',
  delayed: 'Delivery is delayed',
  delivered: 'Your message has been delivered',
  relayed: 'Your message has been passed on',
  expanded: 'Your message has been passed on to a list',
}

function head({ id, hostname, now, about, kind }: ReportFacts, boundary: string, eightBit: boolean): string {
  const lines = [
    `Received: by ${hostname} (Posthorn) id ${formatId('T', id)}; ${mailDate(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${about.sender}>`,
    `Subject: ${SUBJECT[kind]}`,
    `Date: ${mailDate(now)}`,
    `Message-ID: <${formatId('T', id)}.report@${hostname}>`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="${boundary}"`,
    ...(eightBit ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    'This is a MIME-encapsulated message.',
    '',
  ]
  return lines.join('\r\n')
}

function words(facts: ReportFacts): string[] {
  const { about, returned } = facts
  return [
    `This is the mail system at ${facts.hostname}.`,
    ...opening(facts),
    ...facts.notices.flatMap(aboutOne),
    '',
    `Message: ${formatId('T', about.id)}, received ${mailDate(about.receivedAt)}.`,
    ...(returned.content.length > 0 ? [`${returned.whole ? 'It' : 'Its header'} is attached.`] : []),
  ]
}

function opening({ kind, notices }: ReportFacts): string[] {
  switch (kind) {
    case 'failed':
      return ['Your message could not be delivered to the recipients below.']
    case 'delayed': {
      const until = Math.min(...notices.map((notice) => notice.until ?? Number.POSITIVE_INFINITY))
      return [
        'Your message has not been delivered yet to the recipients below. You need not send',
        `it again: it will be tried until ${mailDate(until)}.`,
      ]
    }
    case 'delivered':
      return ['Your message has been delivered to the recipients below.']
    case 'relayed':
      return [
        'Your message has been passed on to a mail system that does not report deliveries.',
        'You will hear no more of the recipients below, unless it fails there.',
      ]
    case 'expanded':
      return [
        'Your message has been passed on to everybody that the addresses below stand for.',
        'You will not hear of each delivery.',
      ]
    default:
      return kind satisfies never
  }
}

function aboutOne({ kind, recipient, reply, expired }: Notice): string[] {
  const { address, original } = recipient
  const said = `${reply.host ? `${oneLine(reply.host, true)} said: ` : ''}${codes(reply)} ${oneLine(reply.text, true)}`
  return [
    '',
    `<${address}>${original && original !== address ? ` (expanded from <${original}>)` : ''}:`,
    ...(expired ? ['    the time for delivery is over; the last answer was'] : []),
    ...(kind === 'expanded' ? ['    passed on'] : folded(said).map((line) => `    ${line}`)),
  ]
}

function folded(text: string): string[] {
  return text.match(/\S.{0,69}(?=\s|$)|\S+/g) ?? []
}
