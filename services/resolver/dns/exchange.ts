/**
 * One question to one server: a datagram from a port of its own, and TCP when the answer does not fit.
 *
 * Forgery is made hard as RFC 5452 asks: a random id and a new port for each try, a connected socket so that the
 * kernel drops what comes from elsewhere, and the question compared. What does not fit is ignored, up to
 * MOST_STRAYS, and the wait goes on. Fails by rejecting with a reason for the log; sockets are gone either way.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { type DnsReply, decodeReply, encodeQuery, loadCodec, type Question, RCODE } from './message.ts'

export interface Server {
  address: string
  port: number
}

const MOST_STRAYS = 32

export async function ask(server: Server, question: Question, timeout: number): Promise<DnsReply> {
  const reply = await overUdp(server, question, timeout, true)
  // RFC 6891 section 7: a server that does not know EDNS
  const withoutEdns = reply.rcode === RCODE.FORMERR || reply.rcode === RCODE.NOTIMP
  const final = withoutEdns ? await overUdp(server, question, timeout, false) : reply
  // RFC 7766 section 5
  return final.truncated ? overTcp(server, question, timeout) : final
}

async function overUdp(
  server: Server,
  question: Question,
  timeout: number,
  edns: boolean,
): Promise<DnsReply> {
  const codec = await loadCodec()
  const id = randomInt(0x10000)
  const query = encodeQuery(codec, id, question, edns)
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4')
    let strays = 0
    let done = false
    const finish = (reply: DnsReply | null, why: string) => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.close()
      if (reply) resolve(reply)
      else reject(new Error(why))
    }
    const timer = setTimeout(() => finish(null, 'no answer in time'), timeout)
    socket.on('error', (error) => finish(null, error.message))
    socket.on('message', (message) => {
      const reply = decodeReply(codec, message, id, question)
      if (reply) finish(reply, '')
      else if (++strays >= MOST_STRAYS) finish(null, 'only strange answers')
    })
    socket.connect(server.port, server.address, (error?: Error) => {
      if (error) finish(null, error.message)
      else if (!done) socket.send(query)
    })
  })
}

async function overTcp(server: Server, question: Question, timeout: number): Promise<DnsReply> {
  const codec = await loadCodec()
  const id = randomInt(0x10000)
  const query = encodeQuery(codec, id, question, true)
  const prefix = Buffer.alloc(2)
  prefix.writeUInt16BE(query.length)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port })
    const chunks: Buffer[] = []
    const finish = (reply: DnsReply | null, why: string) => {
      clearTimeout(timer)
      socket.destroy()
      if (reply) resolve(reply)
      else reject(new Error(why))
    }
    const timer = setTimeout(() => finish(null, 'no answer in time over TCP'), timeout)
    socket.on('error', (error) => finish(null, error.message))
    socket.once('close', () => finish(null, 'TCP connection closed early'))
    socket.once('connect', () => socket.write(Buffer.concat([prefix, query])))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      const whole = firstMessage(chunks)
      if (whole) finish(decodeReply(codec, whole, id, question), 'a strange answer over TCP')
    })
  })
}

/** RFC 1035 section 4.2.2: two octets of length, then the message; null while it is not complete. */
function firstMessage(chunks: readonly Buffer[]): Buffer | null {
  const data = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
  if (data.length < 2) return null
  const end = 2 + data.readUInt16BE(0)
  return data.length < end ? null : data.subarray(2, end)
}
