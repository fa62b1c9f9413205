/**
 * Whether whoever made a socket may be handed mail: root, or the caller's own user (a server in development).
 *
 * The path's owner is looked at, not the peer's credentials: our server's sockets are bound by mcp and served by
 * processes of other users, so the peer proves less than the path, and stat costs no native module. A directory
 * in which everybody may replace the socket after the look is refused, too. Links are followed once, before the
 * look, and what they led to is what counts: who changes a link afterwards changes nothing.
 */
import { realpathSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'

const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/** Where the socket really is, or why it is not trusted, in one sentence. Throws with ENOENT when there is none. */
export function trustedPath(path: string, uid: number): { path: string } | { why: string } {
  const real = realpathSync(path)
  const why = whyUntrusted(real, uid)
  return why === '' ? { path: real } : { why }
}

function whyUntrusted(path: string, uid: number): string {
  const socket = statSync(path)
  if (!socket.isSocket()) return `${path} is not a socket`
  if (!isOurs(socket, uid)) return `${path} was made by uid ${socket.uid}, neither root nor you`
  const directory = statSync(dirname(path))
  const open = (directory.mode & OTHERS_WRITE) !== 0 && (directory.mode & STICKY) === 0
  if (!isOurs(directory, uid) && (directory.mode & STICKY) === 0)
    return `${dirname(path)} belongs to uid ${directory.uid}, neither root nor you`
  return open ? `${dirname(path)} may be written to by others` : ''
}

function isOurs(facts: Stats, uid: number): boolean {
  return facts.uid === 0 || facts.uid === uid
}
