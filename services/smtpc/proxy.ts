/**
 * Through a SOCKS5 proxy (RFC 1928) to a target, on a socket that is connected to the proxy.
 *
 * What the far side says at once, in the same segment as the proxy's last word, is kept for whoever takes the socket.
 * Fails: `failed`, once, with what the proxy said; the socket is the caller's to close. Time is the caller's affair.
 */
import type { Socket } from 'node:net'
import { SocksClient } from 'socks'
import type { SocksProxy } from '../../shared/config/options-outgoing.ts'
import type { Target } from './hosts.ts'

/** Longer than any phase may be: the caller is the first to lose patience. */
const PATIENCE_MS = 2 ** 31 - 1

export function goThrough(
  proxy: SocksProxy,
  socket: Socket,
  { address, port }: Target,
  done: { through: () => void; failed: (error: Error) => void },
): void {
  const { host, port: proxyPort, login } = proxy
  const client = new SocksClient({
    proxy: {
      host,
      port: proxyPort,
      type: 5,
      ...(login && { userId: login.user, password: login.password }),
    },
    command: 'connect',
    destination: { host: address, port },
    timeout: PATIENCE_MS,
  })
  client.once('error', (error) => done.failed(new Error(`proxy ${host}:${proxyPort}: ${error.message}`)))
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
