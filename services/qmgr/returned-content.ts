/**
 * What of the original goes back with a report (RFC 3461 section 4.3): all of it when the sender asked for that
 * by RET=FULL, the report is of a failure, and the message is no larger than `return-limit`; else its header,
 * cut at the end of a line when it is endless. Pure.
 */
import { isAscii } from 'node:buffer'
import type { Envelope } from '../../shared/message/envelope.ts'
import type { NoticeKind } from './notice.ts'

/** Octets of a header that are quoted at most. */
const MOST_HEADER = 65_536

export interface Returned {
  whole: boolean
  content: Uint8Array
}

export const NOTHING_RETURNED: Returned = { whole: false, content: new Uint8Array() }

export function returnsWhole(about: Envelope, kind: NoticeKind, limit: number): boolean {
  // RFC 3030 section 3: binary content may not stand in a report, which is text
  if (about.body === 'binarymime') return false
  // RFC 8689 section 5: nor what must not travel unprotected
  if (about.requireTls) return false
  // RFC 3461 section 4.3: without a failure only the header is returned
  return about.ret === 'full' && kind === 'failed' && about.size <= limit
}

/** @param content all of the message, or so much of its begin as the caller has at hand. */
export function returnedFrom(
  content: Uint8Array,
  about: Envelope,
  kind: NoticeKind,
  limit: number,
): Returned {
  const whole = returnsWhole(about, kind, limit) && content.length === about.size
  return { whole, content: whole ? content : headerOf(content) }
}

/** The header section: up to and without the empty line. */
export function headerOf(content: Uint8Array, most = MOST_HEADER): Uint8Array {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.length)
  const end = buffer.indexOf('\r\n\r\n')
  const header = buffer.subarray(0, end < 0 ? buffer.length : end + 2)
  if (header.length <= most) return header
  const cut = header.lastIndexOf('\r\n', most - 2)
  return header.subarray(0, cut < 0 ? 0 : cut + 2)
}

/** RFC 6522 section 3; RFC 6533 section 4 where the header is beyond ASCII and the sender can read that. */
export function returnedType({ whole, content }: Returned, utf8: boolean): string {
  const global = utf8 && !isAscii(whole ? headerOf(content) : content)
  if (whole) return global ? 'message/global' : 'message/rfc822'
  return global ? 'message/global-headers' : 'text/rfc822-headers'
}
