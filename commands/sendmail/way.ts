/**
 * Which way a message goes: to the mail server of this machine, to the caller's own agent (`posthorn agent`), or,
 * on a development machine with POSTHORN_SANDBOX, into a folder and nowhere else.
 *
 * The server comes first where there is one, for it knows local users; `-a` asks for the agent. A server that is
 * named or whose socket is there is never passed over because it is down: it may hold mail of the same run.
 */
import { statSync } from 'node:fs'
import { findPlaces, hasAccounts, type Places } from '../accounts/places.ts'

export const DEFAULT_SOCKET = '/run/posthorn/submit.sock'

export type Direction =
  | { kind: 'server'; path: string }
  | { kind: 'agent'; places: Places }
  | { kind: 'sandbox'; directory: string }

export interface Asked {
  socket: string | null
  account: string | null
}

export function directionOf({ socket, account }: Asked, env: NodeJS.ProcessEnv): Direction {
  const directory = env['POSTHORN_SANDBOX']
  if (directory) return { kind: 'sandbox', directory }
  const named = socket ?? env['POSTHORN_SOCKET']
  if (account === null && named) return { kind: 'server', path: named }
  const places = findPlaces(env)
  const served = statSync(DEFAULT_SOCKET, { throwIfNoEntry: false })?.isSocket() ?? false
  if (account !== null || (!served && hasAccounts(places))) return { kind: 'agent', places }
  return { kind: 'server', path: DEFAULT_SOCKET }
}
