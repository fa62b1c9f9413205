/**
 * Delivery status notifications: what the sender is told when a recipient fails or is late. Pure: facts in, a
 * complete message out.
 *
 * Format: RFC 3464 inside RFC 6522 multipart/report: words for a person, fields for a program, and the header of
 * the message. Sent from the null reverse-path, marked Auto-Submitted (RFC 3834 section 5), and never sent in
 * answer to a null reverse-path (RFC 5321 section 4.5.5); the caller sees to that.
 */
import { formatId } from '../../shared/base/ids.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'

export interface Concerned {
  recipient: Recipient
  reply: Reply
  /** Given up because the time was over, not because somebody said no. */
  expired: boolean
}

export interface ReportFacts {
  kind: 'failed' | 'delayed'
  /** Of the report itself. */
  id: number
  about: Envelope
  concerned: readonly Concerned[]
  /** The original's header section, cut to size by the caller. */
  header: Uint8Array
  hostname: string
  now: number
  /** When tries will end, for a delay warning. */
  until: number
}

export function composeReport(facts: ReportFacts): Uint8Array {
  const boundary = `=_posthorn_${facts.id.toString(36)}`
  const utf8 =
    facts.concerned.some(({ recipient }) => !isAscii(recipient.address)) || !isAscii(facts.about.sender)
  const lines = [
    ...head(facts, boundary),
    `--${boundary}`,
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    ...words(facts),
    '',
    `--${boundary}`,
    // RFC 6533 section 3 for addresses that are not ASCII
    `Content-Type: message/${utf8 ? 'global-delivery-status' : 'delivery-status'}`,
    '',
    ...fields(facts),
    `--${boundary}`,
    `Content-Type: ${utf8 ? 'message/global-headers' : 'text/rfc822-headers'}`,
    '',
    '',
  ]
  const header = Buffer.from(facts.header)
  const tail = `${header.subarray(-2).toString('latin1') === '\r\n' ? '' : '\r\n'}\r\n--${boundary}--\r\n`
  return Buffer.concat([Buffer.from(lines.join('\r\n')), header, Buffer.from(tail)])
}

function head(facts: ReportFacts, boundary: string): string[] {
  const { hostname, now, about } = facts
  const subject = facts.kind === 'failed' ? 'Undelivered mail returned to sender' : 'Delivery is delayed'
  return [
    `Received: by ${hostname} (Posthorn) id ${formatId('T', facts.id)}; ${mailDate(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${about.sender}>`,
    `Subject: ${subject}`,
    `Date: ${mailDate(now)}`,
    `Message-ID: <${formatId('T', facts.id)}.report@${hostname}>`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"`,
    '',
    'This is a MIME-encapsulated message.',
    '',
  ]
}

function words(facts: ReportFacts): string[] {
  const { about, hostname, kind } = facts
  const opening =
    kind === 'failed'
      ? [
          `This is the mail system at ${hostname}. Your message could not be delivered to`,
          'the recipients below.',
        ]
      : [
          `This is the mail system at ${hostname}. Your message has not been delivered yet`,
          `to the recipients below. You need not send it again: it will be tried until`,
          `${mailDate(facts.until)}.`,
        ]
  const people = facts.concerned.flatMap(({ recipient, reply, expired }) => [
    '',
    `<${recipient.address}>${recipient.original ? ` (expanded from <${recipient.original}>)` : ''}:`,
    ...(expired ? ['    the time for delivery is over; the last answer was'] : []),
    ...(`${reply.host ? `${reply.host} said: ` : ''}${codes(reply)} ${clean(reply.text)}`
      .match(/.{1,70}(?:\s|$)|\S+/g)
      ?.map((line) => `    ${line.trimEnd()}`) ?? []),
  ])
  return [
    ...opening,
    ...people,
    '',
    `Message: ${formatId('T', about.id)}, received ${mailDate(about.receivedAt)}`,
  ]
}

/** RFC 3464 sections 2.2 and 2.3. */
function fields(facts: ReportFacts): string[] {
  const { about, hostname, kind } = facts
  const message = [
    `Reporting-MTA: dns; ${hostname}`,
    ...(about.envid ? [`Original-Envelope-Id: ${clean(about.envid)}`] : []),
    `Arrival-Date: ${mailDate(about.receivedAt)}`,
    '',
  ]
  const people = facts.concerned.flatMap(({ recipient, reply, expired }) => [
    ...(recipient.orcpt ? [`Original-Recipient: ${clean(recipient.orcpt)}`] : []),
    `Final-Recipient: ${isAscii(recipient.address) ? 'rfc822' : 'utf-8'}; ${recipient.address}`,
    `Action: ${kind}`,
    `Status: ${statusOf(reply, kind, expired)}`,
    ...(reply.host ? [`Remote-MTA: dns; ${clean(reply.host)}`] : []),
    ...(reply.host && reply.code > 0 ? [`Diagnostic-Code: smtp; ${codes(reply)} ${clean(reply.text)}`] : []),
    ...(kind === 'delayed' ? [`Will-Retry-Until: ${mailDate(facts.until)}`] : []),
    '',
  ])
  return [...message, ...people]
}

/** RFC 3463: a failure is class 5 and a delay class 4, whatever the last reply was. */
function statusOf(reply: Reply, kind: ReportFacts['kind'], expired: boolean): string {
  if (expired) return '5.4.7'
  const rest = /^[245](\.\d{1,3}\.\d{1,3})$/.exec(reply.enhanced)?.[1] ?? '.0.0'
  return `${kind === 'failed' ? 5 : 4}${rest}`
}

function codes(reply: Reply): string {
  return [reply.code > 0 ? String(reply.code) : '', reply.enhanced].filter(Boolean).join(' ')
}

/** One line, no control characters: what a remote host said goes into our header fields. */
function clean(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '')
    .slice(0, 900)
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

/** RFC 5322 section 3.3, in UTC. */
export function mailDate(at: number): string {
  const date = new Date(at)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${DAYS[date.getUTCDay()]}, ${two(date.getUTCDate())} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`
  return `${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`
}

/** The header section of a content (up to and without the empty line), at most `most` octets at a line's end. */
export function headerOf(content: Uint8Array, most = 65_536): Uint8Array {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.length)
  const end = buffer.indexOf('\r\n\r\n')
  const header = buffer.subarray(0, end < 0 ? buffer.length : end + 2)
  if (header.length <= most) return header
  return header.subarray(0, header.lastIndexOf('\r\n', most) + 2)
}
