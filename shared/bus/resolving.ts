/**
 * Where an address leads: the question of smtpd and qmgr, and the resolver's answer; the parts of `messages.ts` that
 * would be too long there.
 */
import { boolean, integer, list, nullable, oneOf, optional, string, struct, union } from '../base/shape.ts'
import { replyShape } from '../message/outcome.ts'
import { targetShape } from '../message/route.ts'

export const resolveQuestion = {
  address: string,
  /** False: the client has no right to relay, so class remote is answered without a look at DNS. */
  mayRelay: optional(boolean),
  /** True: an alias made this address (the recipient has an `original`), so no alias is applied again. */
  expanded: optional(boolean),
  /** Whose copy it is, where that is known: rules of routing may ask. attempt: the one that is to come, from 1 on. */
  mail: optional(
    struct({
      sender: string,
      size: integer,
      attempt: integer,
      /** A user here has it sent on to this address. */
      forwarded: optional(boolean),
      uid: optional(integer),
      user: optional(string),
    }),
  ),
  /** `address` is a command or a file of this one's alias, and still has to be. */
  via: optional(string),
  /** Say what decided, in `why`: a line for each rule, alias and file. */
  explain: optional(boolean),
}

export const resolveAnswer = union({
  /** remote: only for clients with the right to relay. */
  found: {
    class: oneOf('local', 'relay', 'remote'),
    zone: string,
    targets: list(targetShape),
    /** Milliseconds that a client may wait for a delivery to this zone; absent: none. */
    cutThrough: optional(integer),
    /** Only mail that is signed for its sender goes there. */
    requireSignature: optional(boolean),
    /** What becomes of mail that fails DMARC; absent: it is marked. */
    forged: optional(oneOf('quarantine', 'reject')),
    /** It is the reverse-path of something that was sent on: only reports go back there. */
    bouncesOnly: optional(boolean),
    /** The same answer holds for every local part of this domain. */
    wholeDomain: optional(boolean),
    why: optional(list(string, 100)),
  },
  /** Never: unknown user, null MX, no such domain. */
  refused: { reply: replyShape, why: optional(list(string, 100)) },
  /** Our trouble or DNS's: ask again later. */
  later: { reply: replyShape, why: optional(list(string, 100)) },
})

/** Of a list; `after` is the last answer's `next`, and the questions for one list follow one another. */
export const expandQuestion = { address: string, after: nullable(string) }

export const expandAnswer = union({
  /** Each member once. next: null at the end. */
  found: {
    members: list(
      struct({
        address: string,
        /** The reverse-path of what goes to it, where that is the list's owner. */
        sender: optional(string),
        via: optional(string),
      }),
      2000,
    ),
    next: nullable(string),
  },
  refused: { reply: replyShape },
  /** Ours: to be begun anew, later. */
  later: { reply: replyShape },
})
