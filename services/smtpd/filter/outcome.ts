/**
 * What filters have made of a message's content, as it is to be handed on: content that was whole stays whole; of
 * content that is with qmgr already only the first octets are replaced, by a patch that goes with `submit`. A new body
 * of such content takes it back (`content.abandon`) and travels within the frame.
 *
 * Fails: what is larger than the listener takes, or than a frame may hold, is refused with 552.
 */

import type { SmtpReply } from '../../../shared/smtp/reply.ts'
import type { Content } from '../content.ts'
import { PATCH_ROOM } from '../content-plan.ts'
import { replies } from '../replies.ts'
import type { Change } from '../state.ts'
import type { Examination, Examined } from './examination.ts'

/** In place of the first `octets` of the content that was streamed. */
export interface Patch {
  octets: number
  data: Buffer
}

export interface Outcome {
  refusal: SmtpReply | null
  change?: Change
  inline: Buffer | null
  patch: Patch | null
}

/** Well below what a frame may hold. */
const MOST_INLINE = 16 << 20

type Filters = Pick<Examination, 'whole' | 'finish'>

/** @param inline the whole content; null: it was streamed, and `patch` is what is to be changed of it already. */
export async function examine(
  content: Content,
  filters: Filters,
  { inline, patch: before }: { inline: Buffer | null; patch: Patch | null },
): Promise<Outcome> {
  // the client may go, and the buffer with it, while filters still read
  const own = inline && Buffer.from(inline)
  const { headerAt, sizeLimit } = content
  const front = own ? own.subarray(0, headerAt) : frontOf(content, before)
  const examined = own ? await filters.whole(own.subarray(headerAt)) : await filters.finish()
  const { refusal, revision } = examined
  if (refusal) return refused(refusal)
  const whole = own ? remade(front, own.subarray(headerAt), examined) : anew(front, examined)
  if (whole) {
    if (whole.length > Math.min(sizeLimit + headerAt, MOST_INLINE)) return refused(replies.tooLarge)
    return { refusal: null, change: { size: whole.length, revision }, inline: whole, patch: null }
  }
  const patch = patchOf(front, examined) ?? before
  const grown = patch ? patch.data.length - patch.octets : 0
  if (grown > PATCH_ROOM) return refused(replies.longHeader)
  return { refusal: null, change: { size: content.size + grown, revision }, inline: null, patch }
}

function refused(refusal: SmtpReply): Outcome {
  return { refusal, inline: null, patch: null }
}

/** What is above the client's header: what was reserved there, and our Received. */
function frontOf({ received }: Content, before: Patch | null): Buffer {
  return Buffer.concat([before?.data ?? Buffer.alloc(0), Buffer.from(received)])
}

function remade(front: Buffer, content: Buffer, { head, headOctets, body }: Examined): Buffer {
  return Buffer.concat([front, head ?? content.subarray(0, headOctets), body ?? content.subarray(headOctets)])
}

/** Null: the body is the one that was streamed. */
function anew(front: Buffer, { head, headBefore, body }: Examined): Buffer | null {
  return body && Buffer.concat([front, head ?? headBefore, body])
}

function patchOf(front: Buffer, { head, headOctets }: Examined): Patch | null {
  return head && { octets: front.length + headOctets, data: Buffer.concat([front, head]) }
}
