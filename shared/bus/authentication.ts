/**
 * What smtpd asks the resolver about the sender of a message, and what is asked of the smtpd that has the keys: a part of
 * `messages.ts` that would be too long there.
 */
import { bytes, oneOf, optional, string, struct, union } from '../base/shape.ts'

/** sender: the reverse-path; empty: HELO is asked about. */
export const policyQuestion = { client: string, helo: string, sender: string }

/** RFC 7208 section 2.6. explanation: what the domain says of a `fail`, in ASCII. */
export const policyAnswer = struct({
  result: oneOf('none', 'neutral', 'pass', 'fail', 'softfail', 'temperror', 'permerror'),
  explanation: optional(string),
})

/** The header without its empty line, and the hashes of the body by canonicalization (RFC 6376 section 3.4). */
export const signQuestion = { header: bytes, relaxed: optional(bytes), simple: optional(bytes) }

/** field: DKIM-Signature with its line end, maybe several. none: its author has no key here. failed: a key is missing. */
export const signAnswer = union({ signed: { field: string }, none: {}, failed: {} })
