/**
 * Through an HTTP proxy by CONNECT (RFC 9110 section 9.3.6) to a target, on a socket that is connected to the proxy;
 * with a name and password by the Basic scheme (RFC 7617), which nothing hides from who sees the wire.
 *
 * What the far side says at once, behind the proxy's answer, is kept for whoever takes the socket.
 * Fails: `failed`, once, for an answer that is not 2xx or is none, past MOST_ANSWER octets, and a connection that ends;
 * the socket is the caller's to close, and so is time.
 */
import { isIPv6, type Socket } from 'node:net'
import type { OutgoingProxy } from '../../shared/config/options-outgoing.ts'
import type { Passage } from '../../shared/smtp-client/socks.ts'
import type { Target } from './hosts.ts'

const MOST_ANSWER = 16 << 10
const END = '\r\n\r\n'

export function connectThrough(
  { host, port, login }: OutgoingProxy,
  socket: Socket,
  target: Pick<Target, 'address' | 'port'>,
  { through, failed }: Passage,
): void {
  let answer = Buffer.alloc(0)
  const leave = () => {
    socket.off('data', read).off('close', lost).off('end', lost)
    socket.pause()
  }
  const fail = (why: string) => {
    leave()
    failed(new Error(`proxy ${host}:${port}: ${why}`))
  }
  const lost = () => fail('the connection was closed')
  const read = (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk])
    const end = answer.indexOf(END)
    if (end < 0) return answer.length > MOST_ANSWER ? fail('no end to its answer') : undefined
    const [status = ''] = answer.toString('latin1', 0, end).split('\r\n', 1)
    if (!/^HTTP\/1\.[01] 2\d\d(?: |$)/.test(status)) return fail(printable(status))
    const early = answer.subarray(end + END.length)
    leave()
    if (early.length > 0) socket.unshift(early)
    through()
  }
  socket.on('data', read).on('close', lost).on('end', lost)
  socket.write(requestFor(target, login))
}

function requestFor(
  { address, port }: Pick<Target, 'address' | 'port'>,
  login: OutgoingProxy['login'],
): string {
  const authority = `${isIPv6(address) ? `[${address}]` : address}:${port}`
  const pair = login ? Buffer.from(`${login.user}:${login.password}`).toString('base64') : ''
  const fields = [`Host: ${authority}`, ...(login ? [`Proxy-Authorization: Basic ${pair}`] : [])]
  return [`CONNECT ${authority} HTTP/1.1`, ...fields, '', ''].join('\r\n')
}

function printable(status: string): string {
  return `answers ${JSON.stringify(status.slice(0, 100))}`
}
