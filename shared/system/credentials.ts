/**
 * Who is at the other end of a unix socket, by the kernel's word: SO_PEERCRED, unix(7).
 *
 * The answer is of the moment when the connection was made and cannot be forged. Null where the platform cannot
 * tell or the socket is no connected unix socket any more; a caller that decides on rights must take null as no.
 * A uid that the caller's user namespace does not map arrives as OVERFLOW_UID and proves nothing.
 */
import type { Socket } from 'node:net'
import { nativeCalls, whyNoNative } from './native.ts'

export interface PeerCredentials {
  pid: number
  uid: number
  gid: number
}

export const OVERFLOW_UID = 65534

const SOL_SOCKET = 1
const SO_PEERCRED = 17
/** struct ucred: three 32-bit numbers. */
const UCRED_OCTETS = 12
const NOBODY = 0xffffffff

export function peerCredentials(socket: Socket): PeerCredentials | null {
  const fd = descriptorOf(socket)
  const calls = fd === null ? null : nativeCalls()
  if (fd === null || calls === null) return null
  const value = new Uint8Array(UCRED_OCTETS)
  const length: [number] = [UCRED_OCTETS]
  if (calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) return null
  if (length[0] !== UCRED_OCTETS) return null
  const [pid = 0, uid = NOBODY, gid = NOBODY] = new Uint32Array(value.buffer)
  // a socket that is not a unix socket answers with pid 0 and ids of -1
  return pid === 0 || uid === NOBODY ? null : { pid, uid, gid }
}

/** What this machine cannot do, one sentence each; loads the native part to find out. */
export function systemProbe(): string[] {
  const why = whyNoNative()
  return why ? [`${why}: local callers cannot be told apart by their uid`] : []
}

/** Node keeps the descriptor on the handle, which its types do not mention. */
function descriptorOf(socket: Socket): number | null {
  const handle = (socket as unknown as { _handle?: { fd?: number } | null })._handle
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : null
}
