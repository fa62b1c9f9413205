/**
 * A running server, as a command asks it: where its sockets are, and one conversation over one of them.
 *
 * The sockets are found through the configuration, read leniently: a file with mistakes must not keep anybody from
 * `status` and `stop`. Fails with `Trouble`: nobody there 69, no answer 75, not allowed 77.
 */
import { connect, type Socket } from 'node:net'
import { join, resolve } from 'node:path'
import type { Answer, Payload, RequestName } from '../../shared/bus/messages.ts'
import { BusTimeout, Peer } from '../../shared/bus/peer.ts'
import { loadLeniently } from '../../shared/config/check.ts'
import { BUILD } from '../../shared/runtime/build.ts'
import { exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

const DEFAULT_CONFIG = '/etc/posthorn/posthorn.conf'
const RESOLVER_SOCKET = 'bus/resolver.sock'
const DEFAULT_SOCKETS = {
  mcp: '/run/posthorn/control.sock',
  qmgr: '/run/posthorn/queue.sock',
  resolver: `/run/posthorn/${RESOLVER_SOCKET}`,
}

export type Remote = 'mcp' | 'qmgr' | 'resolver'

export function configFile({ values }: Call): string {
  return resolve(values.config ?? process.env['POSTHORN_CONFIG'] ?? DEFAULT_CONFIG)
}

export function socketPath(call: Call, remote: Remote): string {
  const options = { mcp: 'control-socket', qmgr: 'queue-socket', resolver: null } as const
  const option = options[remote]
  const given = option === null ? undefined : call.values[option]
  if (given !== undefined) return given
  const { directory } = call.values
  const overrides = { usersMayBeMissing: true, ...(directory && { directory: resolve(directory) }) }
  const mcp = loadLeniently(configFile(call), overrides)?.mcp
  if (!mcp) return DEFAULT_SOCKETS[remote]
  if (remote === 'resolver') return join(mcp.runDirectory, RESOLVER_SOCKET)
  return remote === 'mcp' ? mcp.controlSocket : mcp.queueSocket
}

export interface Server {
  ask<N extends RequestName>(name: N, payload: Payload<N>): Promise<Answer<N>>
  /** Resolves when the other end has gone. */
  gone: Promise<void>
  close: () => void
}

export async function openServer(path: string, remote: Remote): Promise<Server> {
  const socket = await dial(path)
  let left: () => void = () => undefined
  const gone = new Promise<void>((done) => {
    left = done
  })
  const peer = new Peer({
    socket,
    self: 'command',
    handlers: {},
    onEnd: () => left(),
    onPanic: () => undefined,
  })
  peer.setRemoteRole(remote)
  const server: Server = {
    ask: (name, payload) => peer.request(name, payload).catch((error: unknown) => fail(error)),
    gone,
    close: () => peer.close(),
  }
  const identity = { role: 'command', name: 'posthorn', pid: process.pid, build: BUILD, epoch: 0 }
  const answer = await server.ask('hello', identity)
  if (answer.kind === 'refused') throw new Trouble(exits.forbidden, `the server refuses: ${answer.reason}`)
  return server
}

/** One conversation, closed at its end. */
export async function withServer<T>(
  path: string,
  remote: Remote,
  talk: (server: Server) => Promise<T>,
): Promise<T> {
  const server = await openServer(path, remote)
  try {
    return await talk(server)
  } finally {
    server.close()
  }
}

function dial(path: string): Promise<Socket> {
  return new Promise((done, fails) => {
    const socket = connect(path, () => done(socket))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => fails(unreachable(path, code ?? '')))
  })
}

function unreachable(path: string, code: string): Trouble {
  if (code === 'EACCES' || code === 'EPERM')
    return new Trouble(exits.forbidden, `${path} is not for you to use`)
  return new Trouble(exits.unavailable, `Posthorn does not run: nobody answers at ${path} (${code})`)
}

function fail(error: unknown): never {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof BusTimeout) throw new Trouble(exits.temporary, 'the server does not answer')
  throw new Trouble(exits.temporary, `the server did not answer: ${text}`)
}
