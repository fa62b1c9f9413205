/**
 * What a submitted message gets that lacks it (RFC 6409 section 8): From, Date, Message-ID.
 *
 * Pure, on the header as text (one octet a character, so nothing is lost); gives the fields to put in front.
 * A header longer than what the caller holds (128 KiB) counts as what is held.
 */
import { formatId } from '../../shared/base/ids.ts'
import { formatDate } from './date.ts'

export interface Submission {
  id: number
  hostname: string
  sender: string
  startedAt: number
}

const FIELDS = /^(from|date|message-id)[ \t]*:/gim

export function missingFields(header: string, submission: Submission): string {
  const there = new Set<string>()
  FIELDS.lastIndex = 0
  for (let found = FIELDS.exec(header); found; found = FIELDS.exec(header))
    there.add((found[1] as string).toLowerCase())
  const { id, hostname, sender, startedAt } = submission
  return [
    // RFC 5322 section 3.6: From and Date are what a message must have
    there.has('from') || sender === '' ? '' : `From: <${sender}>\r\n`,
    there.has('date') ? '' : `Date: ${formatDate(startedAt)}\r\n`,
    there.has('message-id') ? '' : `Message-ID: <${formatId('T', id)}.${startedAt}@${hostname}>\r\n`,
  ].join('')
}
