/**
 * The accepting side of the bus: takes connections on a listening socket, has each prove itself by hello, and
 * hands the accepted ones to the service.
 *
 * `admit` decides with what the kernel says of the peer (uid, gid, pid by SO_PEERCRED; null where the platform
 * cannot tell) and what the peer says of itself. A connection that says nothing for HELLO_PATIENCE_MS is closed.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../base/log.ts'
import type { Role } from './messages.ts'
import { type Credentials, type Handlers, type Identity, Peer } from './peer.ts'
import { takeOver } from './reading.ts'

const HELLO_PATIENCE_MS = 10_000

export type Admission =
  | { kind: 'welcome'; epoch: number; serial: number }
  | { kind: 'refused'; reason: string }

export interface HubOptions {
  self: Role
  handlers: Handlers
  log: Log
  credentials: (socket: Socket) => Credentials | null
  admit: (identity: Identity, credentials: Credentials | null) => Admission
  onJoin?: (peer: Peer) => void
  onLeave?: (peer: Peer) => void
}

export interface Hub {
  readonly peers: ReadonlySet<Peer>
  /** Takes a connection that came another way (lda's, through mcp). `known` replaces the kernel's word. */
  adopt(socket: Socket, known?: Credentials): void
  listen(target: { fd: number } | { path: string }): Promise<void>
  close(): void
}

const ROLES: readonly string[] = ['smtpd', 'smtpc', 'resolver', 'qmgr', 'lda', 'command'] satisfies Role[]

export function openHub(options: HubOptions): Hub {
  const peers = new Set<Peer>()
  let server: Server | null = null
  const adopt = (socket: Socket, known?: Credentials) => accept(options, peers, socket, known)
  return {
    peers,
    adopt,
    listen: (target) =>
      new Promise((resolve, reject) => {
        server = createServer({ pauseOnConnect: true }, (socket) => adopt(socket))
        // Later on: a connection that could not be accepted (EMFILE). Its peer dials again.
        server.on('error', (error) => options.log.warn({ err: error }, 'bus connection not accepted'))
        server.once('error', reject)
        server.listen(target, () => resolve())
      }),
    close: () => {
      server?.close()
      for (const peer of peers) peer.close()
    },
  }
}

function accept(
  options: HubOptions,
  peers: Set<Peer>,
  accepted: Socket,
  known: Credentials | undefined,
): void {
  const { socket, listen } = takeOver(accepted)
  const credentials = known ?? options.credentials(socket)
  const patience = setTimeout(() => peer.destroy('no hello'), HELLO_PATIENCE_MS)
  const peer: Peer = new Peer({
    socket,
    listen,
    self: options.self,
    handlers: {
      ...options.handlers,
      hello: (payload) => {
        clearTimeout(patience)
        if (peer.identity) return { kind: 'refused', reason: 'hello was said before' }
        const identity = identify(payload)
        const admission: Admission = identity
          ? options.admit(identity, credentials)
          : { kind: 'refused', reason: `unknown role ${payload.role}` }
        if (admission.kind === 'welcome' && identity) welcome(identity)
        else setImmediate(() => peer.close())
        return admission
      },
    },
    onEnd: (trouble) => {
      clearTimeout(patience)
      if (trouble) options.log.error({ peer: peer.identity?.name, credentials, trouble }, 'bus peer ended')
      if (peers.delete(peer)) options.onLeave?.(peer)
    },
    onPanic: (error, message) => options.log.error({ err: error, message }, 'bus handler failed'),
  })
  peer.credentials = credentials
  const welcome = (identity: Identity) => {
    peer.identity = identity
    peer.setRemoteRole(identity.role)
    peers.add(peer)
    setImmediate(() => {
      if (!peer.ended) options.onJoin?.(peer)
    })
  }
}

function identify(payload: {
  role: string
  name: string
  pid: number
  build: string
  epoch: number
}): Identity | null {
  return ROLES.includes(payload.role) ? { ...payload, role: payload.role as Role } : null
}
