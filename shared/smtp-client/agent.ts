/**
 * What the agent of a user and those who bring it mail have agreed on: where its socket is, and how it says that a
 * message is none of its business.
 */
import { join } from 'node:path'
import type { Reply } from '../message/outcome.ts'
import { own } from './commands.ts'

/** As systemd makes it, for those who have no XDG_RUNTIME_DIR. */
export function usualRuntimeDirectory(uid: number): string {
  return `/run/user/${uid}`
}

export function usualStateDirectory(home: string): string {
  return join(home, '.local/state')
}

/** @param base a runtime directory, or, for users without one, a state directory. */
export function agentSocketIn(base: string): string {
  return join(base, 'posthorn/agent.sock')
}

/** RFC 5321 section 4.2.3, code 551: not here. The mail server sends such a message by itself. */
const NOT_MINE = 551
const NO_ACCOUNT = 'no account is for '

export function noAccountReply(who: string): Reply {
  return own(NOT_MINE, '5.7.1', `${NO_ACCOUNT}${who}, and none is the default`)
}

export function saysNoAccount({ code, text }: Reply): boolean {
  return code === NOT_MINE && text.startsWith(NO_ACCOUNT)
}
