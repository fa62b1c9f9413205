/**
 * Whether a client that has just connected gets a session at all: how many there are, who may connect, and what the
 * access rules say of clients alone. Pure; who is turned away here costs qmgr nothing and hears one reply. What depends
 * on a client's name is decided when that is known, and qmgr has let it in: `whyBarred`.
 * Next: `listener.ts`, `access.ts`, `enrolment.ts`.
 */
import type { ListenerSlice } from '../../shared/config/slices.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { type AccessRule, rulesBeforeName, rulesFor, whyTurnedAway } from './access.ts'
import { replies } from './replies.ts'
import type { Matches } from './setting.ts'

export interface Door {
  slice: Pick<ListenerSlice, 'sessionLimit'>
  matches: Pick<Matches, 'allow'>
  access: readonly AccessRule[]
}

/** `place` is `file:line:column` of the access rule that decided; null where none did. */
export interface Barred {
  reply: SmtpReply
  place: string | null
}

/**
 * Null: it may come in, or be asked for its name.
 *
 * @param sessions that are open in this process.
 */
export function whyNotAdmitted(
  { slice, matches, access }: Door,
  client: string,
  sessions: number,
): Barred | null {
  if (sessions >= slice.sessionLimit) return { reply: replies.tooManySessions, place: null }
  if (matches.allow(client, null) === 'no') return { reply: replies.clientRefused, place: null }
  return whyTurnedAway(rulesBeforeName(access, client))
}

/** @param name null: it cannot be told now, so nobody is refused for good by it, nor let in. */
export function whyBarred(
  { matches, access }: Pick<Door, 'matches' | 'access'>,
  client: string,
  name: string | null,
): Barred | null {
  const allowed = matches.allow(client, name)
  if (allowed === 'no') return { reply: replies.clientRefused, place: null }
  if (allowed === 'unclear') return { reply: replies.clientNameNotNow, place: null }
  return whyTurnedAway(rulesFor(access, client, name))
}
