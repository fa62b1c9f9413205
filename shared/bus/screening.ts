/**
 * What smtpd asks the resolver about clients, and what it hears: the parts of `messages.ts` that would be too long
 * there.
 */
import { integer, list, optional, string, struct, union } from '../base/shape.ts'

/** TXT records of a name, each with its strings put together. */
export const textsShape = union({
  /** An empty list where there are none. */
  found: { texts: list(string, 64) },
  /** DNS did not say. */
  later: {},
})

/** helo: what EHLO said; absent: it is of no interest, or nothing was said yet. */
export const screenQuestion = { screening: string, client: string, helo: optional(string) }

export const screenAnswer = struct({
  score: integer,
  /** What led to it: the name of a list or of an option, and what it is worth. */
  signs: list(struct({ name: string, score: integer }), 100),
})
