/**
 * Makes messages of notices: one report for all recipients of an attempt that the same thing happened to, from
 * the null reverse-path to the sender (RFC 3461 section 6.1). The caller commits them together with the
 * changes they tell of, so that a crash leaves both or neither (design rule D4).
 *
 * Never rejects: content that cannot be read is left out, and the log says so.
 */
import { isAscii } from 'node:buffer'
import { formatId, type IdSource } from '../../shared/base/ids.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { encodeEnvelope } from './envelope-codec.ts'
import { expandedNotice, type Notice, type NoticeKind } from './notice.ts'
import { composeReport } from './report.ts'
import { NOTHING_RETURNED, type Returned, returnedFrom, returnsWhole } from './returned-content.ts'
import type { StoredMessage } from './store.ts'

/** A message of our own, ready to be stored and then admitted. */
export interface Report {
  envelope: Envelope
  content: Uint8Array
  stored: StoredMessage
}

export interface ReportsOptions {
  policy: () => { hostname: string; returnLimit: number }
  ids: IdSource
  log: Log
  now: () => number
  /** At least the first `octets` of a message that is not in memory, if it has so many. */
  read: (id: number, size: number, octets: number) => Promise<Uint8Array>
  /** With DKIM signatures, where there are keys; never rejects. */
  sign: (content: Buffer) => Promise<Buffer>
}

/** A message that is told of; `content` null: it is not in memory. */
export interface Subject {
  envelope: Envelope
  content: Uint8Array | null
}

/** Enough for any header that is quoted. */
const HEADER_OCTETS = 65_536
const KINDS: readonly NoticeKind[] = ['failed', 'delayed', 'delivered', 'relayed', 'expanded']

export class Reports {
  readonly #options: ReportsOptions

  constructor(options: ReportsOptions) {
    this.#options = options
  }

  async about(subject: Subject, notices: readonly Notice[]): Promise<Report[]> {
    const reports: Report[] = []
    for (const kind of KINDS) {
      const alike = notices.filter((notice) => notice.kind === kind)
      if (alike.length > 0) reports.push(await this.#report(subject, kind, alike))
    }
    return reports
  }

  /** For a message on its way in: addresses that stood for several, and whose sender wants to know. */
  async ofExpansion(subject: Subject): Promise<Report[]> {
    const { expanded = [], sender } = subject.envelope
    return sender === '' ? [] : this.about(subject, expanded.map(expandedNotice))
  }

  async #report(subject: Subject, kind: NoticeKind, notices: readonly Notice[]): Promise<Report> {
    const { policy, ids, log, now, sign } = this.#options
    const { hostname } = policy()
    const about = subject.envelope
    const returned = await this.#returned(subject, kind)
    const id = ids.next()
    const composed = composeReport({ kind, id, about, notices, returned, hostname, now: now() })
    const content = await sign(composed)
    const envelope = reportEnvelope(id, about, content, now())
    log.info(
      { message: formatId('T', about.id), report: formatId('T', id), to: about.sender, about: kind },
      'report',
    )
    return { envelope, content, stored: { id, envelope: encodeEnvelope(envelope), content } }
  }

  async #returned({ envelope, content }: Subject, kind: NoticeKind): Promise<Returned> {
    const { policy, read, log } = this.#options
    const limit = policy().returnLimit
    const octets = returnsWhole(envelope, kind, limit) ? envelope.size : HEADER_OCTETS
    try {
      return returnedFrom(content ?? (await read(envelope.id, envelope.size, octets)), envelope, kind, limit)
    } catch (error) {
      log.error({ err: error, message: formatId('T', envelope.id) }, 'content for a report cannot be read')
      return NOTHING_RETURNED
    }
  }
}

/** RFC 3461 section 6.1: nobody is told of what becomes of a report. */
function reportEnvelope(id: number, about: Envelope, content: Uint8Array, now: number): Envelope {
  const to = about.sender
  return {
    id,
    sender: '',
    recipients: [{ address: to, notify: 'NEVER' }],
    size: content.length,
    body: isAscii(content) ? '7bit' : '8bitmime',
    // RFC 6531 section 3.4: what follows the header needs no more than 8BITMIME
    // RFC 8689 section 5: a report is as worthy of protection as what it tells of
    ...(about.requireTls && { requireTls: true }),
    ...(about.tlsDemand && about.tlsDemand !== 'none' && { tlsDemand: about.tlsDemand }),
    smtputf8: !/^[\x20-\x7e]*$/.test(to),
    receivedAt: now,
    origin: { listener: 'dsn', session: '', client: '' },
  }
}
