/**
 * The part of a report that programs read (RFC 3464 section 2): fields about the message, then a group of fields
 * for each recipient. Pure.
 *
 * `utf8` writes addresses and replies as they are (message/global-delivery-status); without it nothing beyond
 * ASCII comes out, and addresses take the form utf-8-addr-xtext (RFC 6533 section 3).
 * What others said comes through `oneLine`, so that none of it can begin a field of its own.
 */
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { decodeXtext, encodeUtf8Address, parseTypedAddress } from '../../shared/smtp/xtext.ts'
import { mailDate } from './mail-date.ts'
import type { Notice, NoticeKind } from './notice.ts'

export interface StatusFacts {
  kind: NoticeKind
  about: Envelope
  notices: readonly Notice[]
  hostname: string
  now: number
}

export function statusFields(facts: StatusFacts, utf8: boolean): string[] {
  const { about, hostname } = facts
  // RFC 3461 section 6.3: the envelope id goes back as the sender made it
  const envid = about.envid === undefined ? null : decodeXtext(about.envid)
  return [
    `Reporting-MTA: dns; ${hostname}`,
    ...(envid === null ? [] : [`Original-Envelope-Id: ${envid}`]),
    `Arrival-Date: ${mailDate(about.receivedAt)}`,
    '',
    ...facts.notices.flatMap((notice) => recipientFields(facts, notice, utf8)),
  ]
}

function recipientFields(facts: StatusFacts, notice: Notice, utf8: boolean): string[] {
  const { recipient, reply } = notice
  const { kind } = facts
  const failing = kind === 'failed' || kind === 'delayed'
  return [
    ...originalRecipient(recipient, utf8),
    `Final-Recipient: ${typed(recipient.address, utf8)}`,
    `Action: ${kind}`,
    `Status: ${statusOf(notice, kind)}`,
    ...(reply.host ? [`Remote-MTA: dns; ${oneLine(reply.host, utf8)}`] : []),
    ...(reply.host || failing ? [`Diagnostic-Code: ${diagnostic(reply, utf8)}`] : []),
    ...(failing ? [`Last-Attempt-Date: ${mailDate(facts.now)}`] : []),
    ...(notice.until === undefined ? [] : [`Will-Retry-Until: ${mailDate(notice.until)}`]),
    '',
  ]
}

/** RFC 3464 section 2.3.1: what the sender wrote, by its own word, or as the address that was expanded. */
function originalRecipient({ orcpt, original }: Recipient, utf8: boolean): string[] {
  const given = orcpt === undefined ? null : parseTypedAddress(orcpt, true)
  if (given?.type.toLowerCase() === 'utf-8') return [`Original-Recipient: ${typed(given.address, utf8)}`]
  if (given) return [`Original-Recipient: ${given.type}; ${given.address}`]
  return original === undefined ? [] : [`Original-Recipient: ${typed(original, utf8)}`]
}

// RFC 6533 section 3
function typed(address: string, utf8: boolean): string {
  if (isPlain(address)) return `rfc822; ${address}`
  return `utf-8; ${utf8 ? oneLine(address, true) : encodeUtf8Address(address)}`
}

/** RFC 3463: a failure is class 5, a delay 4 and a success 2, whatever the last reply was. */
function statusOf({ reply, expired }: Notice, kind: NoticeKind): string {
  if (expired) return '5.4.7'
  const rest = /^[245](\.\d{1,3}\.\d{1,3})$/.exec(reply.enhanced)?.[1] ?? '.0.0'
  return `${CLASS[kind]}${rest}`
}

const CLASS: Readonly<Record<NoticeKind, 2 | 4 | 5>> = {
  failed: 5,
  delayed: 4,
  delivered: 2,
  relayed: 2,
  expanded: 2,
}

/** RFC 3464 section 2.3.6: what is no reply of an SMTP server has a type of its own. */
function diagnostic(reply: Reply, utf8: boolean): string {
  return `${reply.host ? 'smtp' : 'x-posthorn'}; ${codes(reply)} ${oneLine(reply.text, utf8)}`
}

export function codes(reply: Reply): string {
  return [reply.code > 0 ? String(reply.code) : '', oneLine(reply.enhanced, false)].filter(Boolean).join(' ')
}

/** Characters that keep a line within 998 octets (RFC 5322 section 2.1.1), at one octet each and at four. */
const LONGEST_ASCII = 900
const LONGEST_UTF8 = 230

/** One line, no control characters. */
export function oneLine(text: string, utf8: boolean): string {
  const line = text
    .replace(/\s+/g, ' ')
    .replace(/[\p{Cc}\p{Cs}]/gu, '')
    .trim()
  if (isPlain(line)) return line.slice(0, LONGEST_ASCII)
  if (!utf8) return line.replace(/[^\x20-\x7e]/gu, '?').slice(0, LONGEST_ASCII)
  return [...line].slice(0, LONGEST_UTF8).join('')
}

function isPlain(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}
