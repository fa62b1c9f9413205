/**
 * Whether the unbound that we started answers: a question of its own knowledge (`localhost`, RFC 6761 section 6.3), one
 * datagram there and one back, and the kernel's word that the port is that process's, not somebody's who was faster.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** Header with RD and one question: localhost, A, IN (RFC 1035 section 4.1). */
const QUESTION = Buffer.concat([
  Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
  Buffer.from('\x09localhost\x00', 'latin1'),
  Buffer.from([0, 1, 0, 1]),
])

/** @param patience milliseconds. */
export function answers(port: number, patience: number): Promise<boolean> {
  return new Promise((resolve) => {
    const query = Buffer.from(QUESTION)
    query.writeUInt16BE(randomInt(0x10000))
    const socket = createSocket('udp4')
    const finish = (isThere: boolean) => {
      clearTimeout(timer)
      socket.removeAllListeners().on('error', () => undefined)
      socket.close()
      resolve(isThere)
    }
    const timer = setTimeout(() => finish(false), patience)
    socket.on('error', () => finish(false))
    socket.on('message', (message) => {
      if (message.length > 3 && message.readUInt16BE(0) === query.readUInt16BE(0)) finish(true)
    })
    socket.connect(port, '127.0.0.1', (error?: Error) => {
      if (error) finish(false)
      else socket.send(query, (failed) => failed && finish(false))
    })
  })
}

/** Whether this process has the UDP port of 127.0.0.1 (proc(5), `/proc/net/udp`). */
export function holdsPort(pid: number, port: number): boolean {
  try {
    const place = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
    const lines = readFileSync('/proc/net/udp', 'latin1').split('\n')
    const inodes = lines
      .map((line) => line.trim().split(/\s+/))
      .flatMap((f) => (f[1] === place ? [f[9]] : []))
    const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`))
    return readdirSync(`/proc/${pid}/fd`).some((fd) => wanted.has(linkOf(`/proc/${pid}/fd/${fd}`)))
  } catch {
    return false
  }
}

/** '' for a descriptor that has gone since. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
