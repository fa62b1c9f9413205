/**
 * Binding without listening: the sockets that workers will listen on, made while we may.
 *
 * mcp keeps every descriptor open as long as it runs, and hands copies to workers at fork. It never listens and
 * never accepts: a process that listens too would be given connections. Because the socket lives here, a worker's
 * death refuses no connection: the backlog waits for its successor.
 *
 * `net._createServerHandle` is Node's own way to a bound handle (cluster uses it). libuv keeps "address in use"
 * of a TCP bind back until listen; getsockname tells it at once. Closing a unix handle removes its path.
 * Fails: `BindFailed`, with a sentence for the administrator.
 */
import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs'
import * as net from 'node:net'
import { getSystemErrorName } from 'node:util'

export type Where = { address: string; port: number } | { path: string }

export interface BoundPort {
  /** What the worker knows it by: a listener's name, `bus`, `queue`. */
  name: string
  fd: number
  where: Where
  close: () => void
}

export interface UnixPlace {
  path: string
  mode: number
  owner: { uid: number; gid: number } | null
}

export class BindFailed extends Error {
  override name = 'BindFailed'
  readonly code: string
  constructor(message: string, code: string) {
    super(message)
    this.code = code
  }
}

interface Handle {
  fd: number
  getsockname: (out: { address?: string; port?: number }) => number
  close: () => void
}
type CreateHandle = (place: string, port: number, type: 4 | 6 | -1, fd: -1, flags: number) => Handle | number
const { _createServerHandle: createHandle } = net as unknown as { _createServerHandle: CreateHandle }

/** Without UV_TCP_IPV6ONLY: `::` takes IPv4 as well, which is what the config means by it. */
const BOTH_FAMILIES = 0
const UNIX = -1
/** As libuv gives them, errno(3) of Linux. */
const EACCES = -13
const EADDRINUSE = -98
/** Nobody may connect before owner and mode are set. */
const CLOSED_UMASK = 0o777

export function bindTcp(name: string, address: string, port: number): BoundPort {
  const family = net.isIPv6(address) ? 6 : 4
  const handle = createHandle(address, port, family, -1, BOTH_FAMILIES)
  const label = `listener "${name}": ${family === 6 ? `[${address}]` : address} port ${port}`
  if (typeof handle === 'number') throw failure(label, handle)
  const actual: { address?: string; port?: number } = {}
  const error = handle.getsockname(actual)
  if (error !== 0 || (port !== 0 && actual.port !== port)) {
    handle.close()
    throw failure(label, error)
  }
  return {
    name,
    fd: handle.fd,
    where: { address: actual.address ?? address, port: actual.port ?? port },
    close: () => handle.close(),
  }
}

export function bindUnix(name: string, { path, mode, owner }: UnixPlace): BoundPort {
  const label = `socket "${name}": ${path}`
  const umask = process.umask(CLOSED_UMASK)
  try {
    const handle = createHandle(path, UNIX, UNIX, -1, 0)
    // libuv says EACCES for a missing directory, too
    if (handle === EACCES)
      throw new BindFailed(`${label}: its directory is missing or closed to us`, 'EACCES')
    if (typeof handle === 'number') throw failure(label, handle)
    if (owner) chownSync(path, owner.uid, owner.gid)
    chmodSync(path, mode)
    return { name, fd: handle.fd, where: { path }, close: () => handle.close() }
  } finally {
    process.umask(umask)
  }
}

/**
 * Removes what a predecessor left at a socket's path. Nothing but a socket is removed, and no socket at which
 * somebody answers: that one belongs to another program.
 */
export async function clearStalePath(name: string, path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket()) throw new BindFailed(`socket "${name}": ${path} is there and is no socket`, 'EEXIST')
  if (await answers(path)) throw failure(`socket "${name}": ${path}`, EADDRINUSE)
  unlinkSync(path)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there already',
  EACCES: 'not permitted; ports below 1024 need root',
  EADDRNOTAVAIL: 'this machine has no such address',
}

function failure(label: string, error: number): BindFailed {
  const code = error === 0 ? 'EADDRINUSE' : getSystemErrorName(error)
  return new BindFailed(`${label}: ${REASONS[code] ?? 'cannot be bound'} (${code})`, code)
}
