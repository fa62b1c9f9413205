/**
 * How urgent a message is: mail of local users and programs before the rest, mail to many after it. Pure.
 *
 * Bulk is what says so itself (`Precedence: bulk`, `list` or `junk`, RFC 2076 section 3.9; or a List-Id, RFC 2919)
 * and what has many recipients. MT-PRIORITY (RFC 6710) above and below 0 says it outright.
 */
import type { Envelope } from '../../shared/message/envelope.ts'

export type Priority = 'urgent' | 'normal' | 'bulk'

const MANY_RECIPIENTS = 50
/** Lists set their marks early; a header that hides them later is treated as ordinary mail. */
const LOOK_AT = 8192
const MARK = /^(?:Precedence:[ \t]*(?:bulk|list|junk)\b|List-Id:)/im

export function priorityOf(envelope: Envelope, content: Uint8Array | null): Priority {
  // RFC 6710 section 4.1: what the sender says goes before what we guess
  if (envelope.priority) return envelope.priority > 0 ? 'urgent' : 'bulk'
  if (envelope.recipients.length > MANY_RECIPIENTS) return 'bulk'
  if (content && isMarked(content)) return 'bulk'
  return envelope.origin.uid !== undefined || envelope.origin.user !== undefined ? 'urgent' : 'normal'
}

function isMarked(content: Uint8Array): boolean {
  const buffer = Buffer.from(content.buffer, content.byteOffset, Math.min(content.length, LOOK_AT))
  const end = buffer.indexOf('\r\n\r\n')
  return MARK.test(buffer.toString('latin1', 0, end < 0 ? buffer.length : end))
}
