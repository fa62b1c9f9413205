/**
 * What smtpd asks the resolver about clients, and what it hears: the parts of `messages.ts` that would be too long
 * there.
 */
import { boolean, integer, list, nullable, oneOf, optional, string, struct, union } from '../base/shape.ts'

/** TXT records of a name, each with its strings put together. */
export const texts = union({
  /** An empty list where there are none. */
  found: {
    texts: list(string, 64),
    /** There is no such name, nor any below it (RFC 8020). */
    absent: optional(boolean),
  },
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

/** Who a uid is; `groups` are all of them, by name. */
export const callerAnswer = union({
  known: { name: string, fullName: string, groups: list(string) },
  unknown: {},
})

export const nameQuestion = { client: string }

export const nameAnswer = union({
  /** It leads back to the address (RFC 1912 section 2.1); in lower case, as A-labels. */
  confirmed: { name: string },
  /** It does not. */
  unconfirmed: { name: string },
  none: {},
  /** DNS did not say; `name` where it said so much. */
  later: { name: optional(string) },
})

export const greylistQuestion = { client: string, sender: string, recipient: string }

export const greylistAnswer = struct({
  /** Seconds until it may come again; 0: it passes. */
  wait: integer,
  /** All mail of this network passes. */
  known: boolean,
})

const greylistKey = { network: string, sender: string, recipient: string }

export const actQuestion = {
  act: oneOf('list', 'remove', 'flush'),
  /** remove: an address or network of clients, a sender or a recipient. */
  what: optional(string),
  /** list: the last answer's `next`. */
  after: nullable(struct(greylistKey)),
  limit: integer,
}

export const actAnswer = struct({
  /** sender and recipient are '' where it is about the network as a whole; times in milliseconds since 1970. */
  entries: list(struct({ ...greylistKey, first: integer, last: integer, passed: integer }), 1000),
  next: nullable(struct(greylistKey)),
  removed: integer,
})
