/**
 * One question to one server: a datagram from a port of its own, and TCP when the answer does not fit.
 *
 * Forgery is made hard as RFC 5452 asks: a random id and a new port for each try, a connected socket so that the
 * kernel drops what comes from elsewhere, and the question compared, which goes out in letters of random case. What
 * does not fit is ignored and the wait goes on; after MOST_STRAYS of it, and where everything fits but the case of the
 * letters, the question is asked again over TCP, which nobody forges from afar.
 * Fails by rejecting with Unanswered and a reason for the log; sockets are gone either way.
 */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import type { Trouble } from './answer.ts'
import { type DnsReply, decodeReply, encodeQuery, loadCodec, type Question, RCODE } from './message.ts'
import { mixCase } from './mixed-case.ts'

export interface Server {
  address: string
  port: number
  /** Its word on DNSSEC (the AD bit) is believed. */
  trusted: boolean
}

export class Unanswered extends Error {
  override name = 'Unanswered'
  readonly trouble: Trouble
  constructor(message: string, trouble: Trouble) {
    super(message)
    this.trouble = trouble
  }
}

const MOST_STRAYS = 32

export async function ask(server: Server, question: Question, timeout: number): Promise<DnsReply> {
  const reply = await overUdp(server, question, timeout, true)
  // RFC 6891 section 7: a server that does not know EDNS
  const withoutEdns = reply !== 'over-tcp' && (reply.rcode === RCODE.FORMERR || reply.rcode === RCODE.NOTIMP)
  const final = withoutEdns ? await overUdp(server, question, timeout, false) : reply
  // RFC 7766 section 5
  if (final === 'over-tcp' || final.truncated) return overTcp(server, question, timeout)
  return final.caseKept ? final : certified(server, question, timeout, final)
}

/** Without TCP, a server that changes the case of letters is believed like those that were never asked in mixed case. */
async function certified(
  server: Server,
  question: Question,
  timeout: number,
  unsure: DnsReply,
): Promise<DnsReply> {
  try {
    return await overTcp(server, question, timeout)
  } catch (error) {
    if (error instanceof Unanswered && error.trouble === 'unreachable') return unsure
    throw error
  }
}

async function overUdp(
  server: Server,
  question: Question,
  timeout: number,
  edns: boolean,
): Promise<DnsReply | 'over-tcp'> {
  const codec = await loadCodec()
  const id = randomInt(0x10000)
  const sent = { ...question, name: mixCase(question.name) }
  const query = encodeQuery(codec, id, sent, edns)
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4')
    let strays = 0
    let done = false
    const finish = (outcome: DnsReply | 'over-tcp' | Unanswered) => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.close()
      if (outcome instanceof Unanswered) reject(outcome)
      else resolve(outcome)
    }
    const timer = setTimeout(() => finish(new Unanswered('no answer in time', 'silent')), timeout)
    socket.on('error', (error) => finish(new Unanswered(error.message, 'unreachable')))
    socket.on('message', (message) => {
      const reply = decodeReply(codec, message, id, sent)
      if (reply) finish(reply)
      else if (++strays >= MOST_STRAYS) finish('over-tcp')
    })
    socket.connect(server.port, server.address, (error?: Error) => {
      if (error) finish(new Unanswered(error.message, 'unreachable'))
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
    const received = new FirstMessage()
    const finish = (outcome: DnsReply | Unanswered) => {
      clearTimeout(timer)
      socket.destroy()
      if (outcome instanceof Unanswered) reject(outcome)
      else resolve(outcome)
    }
    const fail = (why: string, trouble: Trouble) => finish(new Unanswered(why, trouble))
    const timer = setTimeout(() => fail('no answer in time over TCP', 'silent'), timeout)
    socket.on('error', (error) => fail(error.message, 'unreachable'))
    socket.once('close', () => fail('TCP connection closed early', 'unreachable'))
    socket.once('connect', () => socket.write(Buffer.concat([prefix, query])))
    socket.on('data', (chunk: Buffer) => {
      const whole = received.take(chunk)
      if (!whole) return
      const reply = decodeReply(codec, whole, id, question)
      if (reply) finish(reply)
      else fail('a strange answer over TCP', 'said')
    })
  })
}

/** RFC 1035 section 4.2.2: two octets of length, then the message. However it is cut up, it is copied once. */
class FirstMessage {
  readonly #data = Buffer.alloc(2 + 0xffff)
  #length = 0

  /** Null while it is not complete. */
  take(chunk: Buffer): Buffer | null {
    this.#length += chunk.copy(this.#data, this.#length)
    if (this.#length < 2) return null
    const end = 2 + this.#data.readUInt16BE(0)
    return this.#length < end ? null : this.#data.subarray(2, end)
  }
}
