/**
 * Who may join the resolver's bus: a worker of our own build, of a role that asks the resolver, running as the
 * user that has this role; and the commands of root and of our own user. Pure.
 *
 * Where the kernel cannot tell who is there, the directory of the socket (0750) is all the proof there is.
 */
import type { Credentials, Identity } from '../../shared/bus/peer.ts'

export interface House {
  build: string
  /** Role to uids; null: no root, everything runs as its caller. */
  busUids: Record<string, number[]> | null
  ownUid: number | undefined
}

const GUESTS: ReadonlySet<string> = new Set(['smtpd', 'qmgr', 'command'])
const ROOT = 0

/** Why the peer is refused, or null. */
export function admit(identity: Identity, credentials: Credentials | null, house: House): string | null {
  const { role, build } = identity
  if (build !== house.build) return `build ${build} cannot talk to build ${house.build}`
  if (!GUESTS.has(role)) return `${role} has no business here`
  // whoever runs the server: the directory of the socket lets nobody else in either
  if (role === 'command')
    return !credentials || [ROOT, house.ownUid].includes(credentials.uid)
      ? null
      : `uid ${credentials.uid} does not run this server`
  const wanted = house.busUids ? house.busUids[role] : [house.ownUid]
  if (wanted === undefined) return `no user is known for ${role}`
  if (credentials && !wanted.includes(credentials.uid)) return `uid ${credentials.uid} is not ${role}`
  return null
}
