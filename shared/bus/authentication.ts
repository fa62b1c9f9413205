/**
 * What smtpd asks the resolver about the sender of a message: a part of `messages.ts` that would be too long there.
 */
import { oneOf, optional, string, struct } from '../base/shape.ts'

/** sender: the reverse-path; empty: HELO is asked about. */
export const senderPolicyQuestion = { client: string, helo: string, sender: string }

/** RFC 7208 section 2.6. explanation: what the domain says of a `fail`, in ASCII. */
export const senderPolicyAnswer = struct({
  result: oneOf('none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror'),
  explanation: optional(string),
})
