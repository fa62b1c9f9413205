/**
 * What becomes of the header of a submitted message (RFC 6409 section 8, RFC 5322 section 3.6).
 *
 * Date, Message-ID and From are added where they are missing; names without a domain get ours; Sender says who
 * handed the message in when From does not, and no Sender of somebody else stays; Bcc, Return-Path and
 * Content-Length go. A message that is sent on gets all this in its newest Resent- block, and its From stays.
 * With XASIS of a trusted user only Bcc goes.
 *
 * Pure, on the header as text (one octet a character, so nothing is lost). A field that cannot be read as an
 * address list stays as it is and is nobody's own. With RCPTHDR the header also says who shall get the message.
 */
import { formatId } from '../../shared/base/ids.ts'
import { readMailboxes } from '../../shared/message/address-list.ts'
import {
  addressesOf,
  bodyOf,
  decodeOctets,
  type Field,
  type HeaderAddresses,
  headerRecipients,
  newestResentBlock,
  splitHeader,
} from '../../shared/message/header.ts'
import { renderPhrase } from '../../shared/message/phrase.ts'
import { formatDate } from './date.ts'
import type { Setting, Transaction } from './state.ts'

/** Who hands a message in. */
export interface Author {
  address: string
  fullName: string
}

export interface Submission {
  id: number
  hostname: string
  qualifyDomain: string
  sender: string
  startedAt: number
  /** Null where nobody has proved who he is. */
  author: Author | null
  /** Whether an address is the author's own, so that it needs no Sender beside it. */
  owns: (address: string) => boolean
  /** Whether it may stand in From. */
  mayWrite: (address: string) => boolean
  /** RCPTHDR: the header is asked for recipients, and for the sender where that is null. */
  asksHeader: boolean
  /** XASIS, from one who may. */
  asIs: boolean
}

/** What RCPTHDR found. */
export interface Named {
  recipients: HeaderAddresses
  /** Null when no single address can be told. */
  sender: string | null
}

export type Completed =
  | { kind: 'refused' }
  /** `header` with its blank line in place of the first `length` characters; null: nothing is to be changed. */
  | { kind: 'good'; header: string | null; length: number; named: Named | null }

export function submissionOf(setting: Setting, transaction: Transaction): Submission {
  const { author, hostname, judge, qualifyDomain } = setting
  const { id, sender, startedAt, asksHeader, asIs, authorName } = transaction
  return {
    ...{ id, hostname, qualifyDomain, sender, startedAt, asksHeader, asIs },
    author: author && { ...author, fullName: authorName ?? author.fullName },
    owns: judge.owns,
    mayWrite: judge.mayWrite,
  }
}

/** @param text the header with its blank line, or all there is where there is no blank line. */
export function completeHeader(text: string, submission: Submission): Completed {
  const split = splitHeader(text, true) ?? { fields: [], envelopeLines: [], body: text }
  const { fields, body } = split
  if (!addressed(fields, /^(resent-)?from$/).every(submission.mayWrite)) return { kind: 'refused' }
  const length = text.length - body.length
  const header = render(completed(fields, submission))
  const ended = length === 2 || text.slice(0, length).endsWith('\r\n\r\n')
  const whole = ended || body !== '' ? `${header}\r\n` : header
  const named = submission.asksHeader ? nameOf(fields) : null
  return { kind: 'good', header: whole === text.slice(0, length) ? null : whole, length, named }
}

function completed(fields: readonly Field[], submission: Submission): Field[] {
  if (submission.asIs) return fields.filter(({ name }) => !/^(resent-)?bcc$/.test(name))
  const prefix = newestResentBlock(fields).length > 0 ? 'Resent-' : ''
  const qualified = fields
    .filter(({ name }) => !DROPPED.has(name))
    .map((field) => qualify(field, submission.qualifyDomain))
  const kept = withoutStrangers(qualified, `${prefix}sender`.toLowerCase(), submission)
  // fields of one Resent- block stand together
  const at = prefix === '' ? 0 : kept.findIndex(({ name }) => name.startsWith('resent-'))
  return kept.toSpliced(Math.max(at, 0), 0, ...missing(kept, prefix, submission))
}

const DROPPED = new Set(['bcc', 'resent-bcc', 'return-path', 'content-length'])
const ADDRESSED = /^(resent-)?(from|sender|to|cc)$|^reply-to$/

/** RFC 6409 section 8.1: a name without a domain is one of ours. */
function qualify(field: Field, domain: string): Field {
  if (domain === '' || !ADDRESSED.test(field.name)) return field
  const octets = bodyOf(field)
  const text = decodeOctets(octets)
  const read = readMailboxes(text)
  if (read.kind === 'bad' || read.list.every(({ qualified }) => qualified)) return field
  // what is no UTF-8 would not come back as it was
  if (octetsOf(text) !== octets) return field
  let body = ''
  let from = 0
  for (const { end, qualified } of read.list) {
    if (qualified) continue
    body += `${text.slice(from, end)}@${domain}`
    from = end
  }
  return { name: field.name, raw: field.raw.slice(0, -octets.length) + octetsOf(body + text.slice(from)) }
}

/** A Sender that names somebody else is a lie. */
function withoutStrangers(fields: Field[], name: string, { author, owns }: Submission): Field[] {
  if (!author) return fields
  return fields.filter((field) => field.name !== name || allOwned([field], owns))
}

function missing(fields: readonly Field[], prefix: string, submission: Submission): Field[] {
  const { author, hostname, id, owns, startedAt } = submission
  const has = (name: string) => fields.some((field) => field.name === (prefix + name).toLowerCase())
  const made: Field[] = []
  const make = (name: string, value: string) =>
    made.push({ name: (prefix + name).toLowerCase(), raw: `${prefix}${name}: ${value}\r\n` })
  const from = fields.filter(({ name }) => name === `${prefix}from`.toLowerCase())
  const address = submission.sender || author?.address || ''
  // RFC 5322 section 3.6: From and Date are what a message must have
  if (from.length === 0 && address !== '') make('From', phrased(author?.fullName ?? '', address))
  const foreign = from.length > 0 ? !allOwned(from, owns) : !owns(address)
  // RFC 5322 section 3.6.2
  if (author && foreign && !has('Sender')) make('Sender', octetsOf(`<${author.address}>`))
  if (!has('Date')) make('Date', formatDate(startedAt))
  if (!has('Message-ID')) make('Message-ID', `<${formatId('T', id)}.${startedAt}@${hostname}>`)
  return made
}

function phrased(fullName: string, address: string): string {
  return octetsOf(fullName === '' ? `<${address}>` : `${renderPhrase(fullName)} <${address}>`)
}

function octetsOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

/** A field that cannot be read has an owner that nobody knows. */
function allOwned(fields: readonly Field[], owns: (address: string) => boolean): boolean {
  const read = addressesOf(fields)
  return read.kind === 'good' && read.list.every(owns)
}

/** What cannot be read is handed on whole, which no rule allows. */
function addressed(fields: readonly Field[], names: RegExp): string[] {
  const read = addressesOf(fields.filter(({ name }) => names.test(name)))
  return read.kind === 'good' ? read.list : [read.what]
}

function nameOf(fields: readonly Field[]): Named {
  const resent = newestResentBlock(fields)
  const [all, prefix] = resent.length > 0 ? [resent, 'resent-'] : [fields, '']
  const sender = all.filter(({ name }) => name === `${prefix}sender`)
  const from = all.filter(({ name }) => name === `${prefix}from`)
  const read = addressesOf(sender.length > 0 ? sender : from)
  return {
    recipients: headerRecipients(fields),
    sender: read.kind === 'good' ? (read.list[0] ?? null) : null,
  }
}

function render(fields: readonly Field[]): string {
  return fields.map(({ raw }) => raw).join('')
}
