/**
 * Takes the PROXY header off a socket before anything else reads from it (`proxy-header.ts` for what it says). What
 * came behind the header goes back into the socket.
 *
 * Fails: with null for a header that is none, a client that leaves, and one that is silent for PATIENCE_MS; the socket
 * is destroyed then, without a word, because what is at the other end does not speak as it was told to.
 */
import type { Socket } from 'node:net'
import { type ProxyHeader, parseProxyHeader } from './proxy-header.ts'

const PATIENCE_MS = 10_000

export function takeProxyHeader(socket: Socket, answer: (header: ProxyHeader | null) => void): void {
  let octets = Buffer.alloc(0)
  const end = (header: ProxyHeader | null) => {
    clearTimeout(patience)
    socket.removeListener('readable', read)
    socket.removeListener('close', lost)
    socket.removeListener('end', lost)
    if (header && octets.length > header.octets) socket.unshift(octets.subarray(header.octets))
    if (!header) socket.destroy()
    answer(header)
  }
  const lost = () => end(null)
  const read = () => {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      octets = Buffer.concat([octets, chunk])
      const reading = parseProxyHeader(octets)
      if (reading.kind !== 'more') return end(reading.kind === 'good' ? reading : null)
    }
  }
  const patience = setTimeout(lost, PATIENCE_MS)
  socket.on('error', () => undefined)
  socket.on('readable', read)
  socket.once('close', lost)
  socket.once('end', lost)
}
