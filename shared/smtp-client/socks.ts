/**
 * Through a SOCKS5 proxy (RFC 1928) to a host, on a socket that is connected to the proxy.
 *
 * What the far side says at once, in the same segment as the proxy's last word, is kept for whoever takes the socket.
 * The library is the caller's to load: smtpc has it from the start, since later it sees no files; a command loads it
 * only when there is a proxy.
 * Fails: `failed`, once, with what the proxy said; the socket is the caller's to close.
 */
import type { Socket } from 'node:net'
import type { SocksClient } from 'socks'

export interface SocksHop {
  host: string
  port: number
  login: { user: string; password: string } | null
}

export interface Passage {
  through: () => void
  failed: (error: Error) => void
}

/** Longer than any phase may be: time is the caller's affair. */
const PATIENCE_MS = 2 ** 31 - 1

/** @param destination a name is looked up by the proxy. */
export function goThroughSocks(
  Client: typeof SocksClient,
  { host, port, login }: SocksHop,
  socket: Socket,
  destination: { host: string; port: number },
  done: Passage,
): void {
  const client = new Client({
    proxy: { host, port, type: 5, ...(login && { userId: login.user, password: login.password }) },
    command: 'connect',
    destination,
    timeout: PATIENCE_MS,
  })
  client.once('error', (error) => done.failed(new Error(`proxy ${host}:${port}: ${error.message}`)))
  client.once('established', () => {
    const early: Buffer[] = []
    const keep = (octets: Buffer) => early.push(octets)
    socket.on('data', keep)
    // the library hands on what came early in the next tick
    setImmediate(() => {
      socket.removeListener('data', keep)
      socket.pause()
      if (early.length > 0) socket.unshift(Buffer.concat(early))
      done.through()
    })
  })
  client.connect(socket)
}
