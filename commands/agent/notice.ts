/**
 * A report to the user about mail of theirs that failed for good: a delivery status notification (RFC 3464) with the
 * header of the message. Pure: facts in, text out. `told.ts` hands it over.
 *
 * None is made for whom its sender wants none (NOTIFY=NEVER, RFC 3461 section 4.1), nor for the null reverse-path.
 */
import type { Reply } from '../../shared/message/outcome.ts'
import type { OutboxMessage } from './outbox.ts'

export interface Failure {
  address: string
  notify: string | null
  /** The last that was said about it; null: nothing, it has waited too long. */
  reply: Reply | null
}

export interface Report {
  message: OutboxMessage
  failures: readonly Failure[]
  /** Of the message, with CRLF, as latin1. */
  header: string
  user: string
  host: string
  now: Date
  boundary: string
}

export function wantsReport({ sender }: OutboxMessage, { notify }: Failure): boolean {
  return sender !== '' && (notify === null || /(^|,)failure(,|$)/i.test(notify))
}

/** The message, with CRLF, as UTF-8. */
export function renderReport(report: Report): string {
  const { message, failures, header, user, now, boundary } = report
  const part = (type: string, body: string) => `--${boundary}\r\nContent-Type: ${type}\r\n\r\n${body}\r\n`
  return [
    `From: "Posthorn agent" <${user}>\r\nTo: <${user}>\r\nDate: ${now.toUTCString().replace('GMT', '+0000')}\r\n`,
    `Subject: Not delivered: ${plain(message.subject) || '(no subject)'}\r\n`,
    'Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n', // RFC 3834 section 5
    `Content-Type: multipart/report; report-type=delivery-status; boundary="${boundary}"\r\n\r\n`,
    part('text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit', wordsFor(message, failures)),
    part('message/delivery-status', statusOf(report)),
    part('text/rfc822-headers', `${Buffer.from(header, 'latin1').toString()}`),
    `--${boundary}--\r\n`,
  ].join('')
}

function wordsFor({ id, account }: OutboxMessage, failures: readonly Failure[]): string {
  const said = failures.map(({ address, reply }) => `  <${plain(address)}>\r\n    ${saidOf(reply)}\r\n`)
  return [
    `Your message, sent by account ${plain(account)}, was not delivered to\r\n\r\n`,
    ...said,
    `\r\nIt is tried no more for them, and stays in your outbox as ${id}:\r\n`,
    `"posthorn outbox list" shows it, "posthorn outbox remove ${id}" takes it out.\r\n`,
  ].join('')
}

function saidOf(reply: Reply | null): string {
  if (!reply) return 'it has waited too long'
  const { code, enhanced, text } = reply
  return [String(code), enhanced, plain(text)].filter((word) => word !== '').join(' ')
}

/** RFC 3464 section 2. */
function statusOf({ host, failures }: Report): string {
  const groups = failures.map(({ address, reply }) => {
    const status = /^5\.\d+\.\d+$/.test(reply?.enhanced ?? '') ? reply?.enhanced : '5.0.0'
    const expired = !reply || reply.code < 500
    return [
      `\r\nFinal-Recipient: rfc822; ${plain(address)}`,
      'Action: failed',
      `Status: ${expired ? '4.4.7' : status}`,
      ...(reply ? [`Diagnostic-Code: smtp; ${saidOf(reply)}`] : []),
      '',
    ].join('\r\n')
  })
  return `Reporting-MTA: dns; ${host}\r\n${groups.join('')}`
}

/** In one line, whatever a provider or a program wrote. */
function plain(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').trim()
}
