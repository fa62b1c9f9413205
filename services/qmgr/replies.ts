/**
 * What qmgr says to clients, through smtpd: to sessions that may not begin, and to messages that it does not take.
 * RFC 5321 section 4.2.3 for the codes, RFC 3463 for the enhanced ones.
 *
 * `…` in a text is filled in when it is said. What becomes of a recipient later is no reply but an outcome.
 */
import type { Reply } from '../../shared/message/outcome.ts'
import { defineReply, type SmtpReply } from '../../shared/smtp/reply.ts'

export const replies = {
  tooManySessions: defineReply(421, '4.3.2', 'too many sessions, try again later'),
  tooBusy: defineReply(421, '4.3.2', 'too busy, try again later (…)'),
  /** For who is not there any more to hear it. */
  clientGone: defineReply(421, '4.3.2', 'the client has gone'),
  tooManyConnections: defineReply(421, '4.7.0', 'too many … from …, try again later'),
  tooMuchMail: defineReply(450, '4.7.1', 'too many … from …, try again later'),
  notWhole: defineReply(451, '4.3.0', 'the message did not arrive whole'),
  unwritable: defineReply(451, '4.3.0', 'the queue cannot be written now'),
  noRoom: defineReply(452, '4.3.1', 'no room now (…)'),
  tooLarge: defineReply(552, '5.3.4', 'the message is too large'),
} as const satisfies Record<string, SmtpReply>

export type ReplyName = keyof typeof replies

/** @param words for each `…`, in order. */
export function refusal(name: ReplyName, ...words: readonly string[]): Reply {
  const { code, enhanced, text } = replies[name]
  let n = 0
  return { code, enhanced, text: text.replace(/…/g, () => words[n++] ?? ''), host: '' }
}
