/**
 * Whether a client that has just connected gets a session at all: how many there are, who may connect, and what the
 * access rules say of clients alone. Pure; who is turned away here costs qmgr nothing and hears one reply.
 * Next: `listener.ts`, `access.ts`.
 */
import type { ListenerSlice } from '../../shared/config/slices.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { type AccessRule, rulesFor, whyTurnedAway } from './access.ts'
import { replies } from './replies.ts'
import type { Matches } from './setting.ts'

export interface Door {
  slice: Pick<ListenerSlice, 'sessionLimit'>
  matches: Pick<Matches, 'allow'>
  access: readonly AccessRule[]
}

/**
 * Null: it may come in. `place` is `file:line:column` of the access rule that decided; null where none did.
 *
 * @param sessions that are open in this process.
 */
export function whyNotAdmitted(
  { slice, matches, access }: Door,
  client: string,
  sessions: number,
): { reply: SmtpReply; place: string | null } | null {
  if (sessions >= slice.sessionLimit) return { reply: replies.tooManySessions, place: null }
  if (!matches.allow(client)) return { reply: replies.clientRefused, place: null }
  return whyTurnedAway(rulesFor(access, client))
}
