/**
 * Sockets that read into one buffer, the same for all of them: Node takes 64 KiB of new memory for each read
 * otherwise, and collecting it was a third of the CPU that a large message cost.
 *
 * Whoever listens must be done with the octets, or have copied them, when it returns.
 */
import { connect, Socket } from 'node:net'

/** As much as the kernel keeps for a unix stream socket by default. */
const READ_OCTETS = 256 << 10

export type OnOctets = (octets: Buffer) => void

export interface ReadingSocket {
  socket: Socket
  /** Before the next turn of the event loop. */
  listen: (onOctets: OnOctets) => void
}

let shared: Buffer | null = null

export function dial(path: string): ReadingSocket {
  const { onread, listen } = reader()
  return { socket: connect({ path, onread }), listen }
}

export function openDescriptor(fd: number): ReadingSocket {
  const { onread, listen } = reader()
  return { socket: socketOf({ fd, onread }), listen }
}

/**
 * A connection that a server has accepted with `pauseOnConnect`, or mcp has sent, in the same turn: nothing of it has
 * been read. Node lets only whoever dials say where to read into, so its handle moves into a socket of ours.
 *
 * @param octets that are read at once, at most.
 */
export function takeOver(
  accepted: Socket,
  { octets = READ_OCTETS, allowHalfOpen = false } = {},
): ReadingSocket {
  const source = accepted as unknown as { _handle: { reading: boolean; readStop: () => void } | null }
  const handle = source._handle
  const { onread, listen } = reader(octets)
  if (!handle) return { socket: accepted, listen: (onOctets) => void accepted.on('data', onOctets) }
  source._handle = null
  handle.readStop()
  handle.reading = false
  return { socket: socketOf({ handle, onread, allowHalfOpen }), listen }
}

/** The types know neither `onread`, which is documented, nor `handle`, which is what servers use. */
function socketOf(source: object): Socket {
  return new Socket({ ...source, readable: true, writable: true } as ConstructorParameters<typeof Socket>[0])
}

function reader(octets = READ_OCTETS) {
  shared ??= Buffer.allocUnsafeSlow(READ_OCTETS)
  const buffer = shared.subarray(0, octets)
  let hear: OnOctets = () => undefined
  const callback = (read: number): boolean => {
    hear(buffer.subarray(0, read))
    return true
  }
  const listen = (onOctets: OnOctets) => {
    hear = onOctets
  }
  return { onread: { buffer, callback }, listen }
}
