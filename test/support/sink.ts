/**
 * The next hop of a test: an SMTP server in the test's own process that takes every message, remembers it, and
 * misbehaves on request at any stage.
 *
 * `answer` is asked at each stage and may give a reply (without CRLF), 'hang' (say nothing for ever), 'close'
 * (drop the connection), or null for the ordinary reply. Content beyond KEPT octets is only counted and hashed.
 */
import { createHash, type Hash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { within } from './wait.ts'

const KEPT = 1 << 20
const PATIENCE_MS = 60_000

export type Stage = 'connect' | 'ehlo' | 'mail' | 'rcpt' | 'data' | 'dot' | 'rset' | 'quit'
export type Answer = (stage: Stage, argument: string) => string | null

export interface SunkMail {
  from: string
  to: string[]
  /** MAIL and each RCPT that was taken, as they came. */
  commands: string[]
  /** Un-dotted; only the beginning when the message was large. */
  content: Buffer
  octets: number
  sha256: string
  /** Of the body alone: headers grow on the way. */
  bodySha256: string
}

export interface Sink {
  port: number
  mails: SunkMail[]
  connections: () => number
  setAnswer: (answer: Answer) => void
  /** Resolves when so many messages have come. */
  received: (count: number, patience?: number) => Promise<SunkMail[]>
  /** Frees the port and drops every connection; `open` with the same port brings it back. */
  close: () => Promise<void>
}

interface Body {
  hash: Hash
  bodyHash: Hash
  /** The header as far as it has come; null once the body has begun. */
  header: Buffer | null
  kept: Buffer[]
  octets: number
}

interface Shared {
  mails: SunkMail[]
  events: EventEmitter
  answer: Answer
}

export async function openSink(answer: Answer = () => null, port = 0): Promise<Sink> {
  const shared: Shared = { mails: [], events: new EventEmitter(), answer }
  const sockets = new Set<Socket>()
  let connections = 0
  const server: Server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    new SinkSession(socket, shared)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    mails: shared.mails,
    connections: () => connections,
    setAnswer: (next) => {
      shared.answer = next
    },
    received: (count, patience = PATIENCE_MS) => {
      const all = async () => {
        while (shared.mails.length < count) await once(shared.events, 'mail')
        return shared.mails
      }
      return within(`${count} messages at the sink (${shared.mails.length} so far)`, patience, all())
    },
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

class SinkSession {
  readonly #socket: Socket
  readonly #shared: Shared
  #input: Buffer = Buffer.alloc(0)
  #from = ''
  #to: string[] = []
  #commands: string[] = []
  #body: Body | null = null
  #hung = false

  constructor(socket: Socket, shared: Shared) {
    this.#socket = socket
    this.#shared = shared
    socket.setNoDelay(true)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#say('connect', '', '220 sink.example ESMTP')
  }

  #say(stage: Stage, argument: string, ordinary: string): boolean {
    const reply = this.#shared.answer(stage, argument) ?? ordinary
    if (reply === 'close') this.#socket.destroy()
    if (reply === 'hang') this.#hung = true
    if (reply === 'close' || reply === 'hang') return false
    this.#socket.write(`${reply}\r\n`)
    return reply === ordinary || /^[23]/.test(reply)
  }

  #read(chunk: Buffer): void {
    this.#input = this.#input.length > 0 ? Buffer.concat([this.#input, chunk]) : chunk
    while (this.#input.length > 0 && !this.#hung && !this.#socket.destroyed) {
      if (!(this.#body ? this.#readBody(this.#body) : this.#readLine())) return
    }
  }

  #readLine(): boolean {
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#input.toString('latin1', 0, end)
    this.#input = this.#input.subarray(end + 2)
    this.#command(line)
    return true
  }

  #command(line: string): void {
    const path = /<(.*?)>/.exec(line)?.[1] ?? ''
    switch (line.slice(0, 4).toUpperCase()) {
      case 'EHLO':
        return void this.#say('ehlo', line, '250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE')
      case 'HELO':
        return void this.#say('ehlo', line, '250 sink.example')
      case 'MAIL':
        this.#from = path
        this.#to = []
        this.#commands = [line]
        return void this.#say('mail', path, '250 2.1.0 ok')
      case 'RCPT':
        if (!this.#say('rcpt', path, '250 2.1.5 ok')) return
        this.#to.push(path)
        this.#commands.push(line)
        return
      case 'DATA':
        if (this.#to.length === 0) return void this.#socket.write('554 5.5.1 no valid recipients\r\n')
        if (this.#say('data', '', '354 go on')) this.#body = newBody()
        return
      case 'RSET':
        this.#to = []
        return void this.#say('rset', '', '250 2.0.0 ok')
      case 'QUIT':
        if (this.#say('quit', '', '221 2.0.0 bye')) this.#socket.end()
        return
      default:
        this.#socket.write('500 5.5.1 what?\r\n')
    }
  }

  /** Takes whole lines; the last, unfinished one waits, so that a dot is never split from its line. */
  #readBody(body: Body): boolean {
    const dot = this.#input.subarray(0, 3).equals(END) ? 0 : this.#input.indexOf(LINE_END_DOT)
    const end = dot > 0 ? dot + 2 : dot
    const upTo = end >= 0 ? end : this.#input.lastIndexOf('\n') + 1
    if (upTo > 0) this.#take(body, this.#input.subarray(0, upTo))
    this.#input = this.#input.subarray(end >= 0 ? upTo + 3 : upTo)
    if (end >= 0) this.#finish(body)
    return end >= 0
  }

  #take(body: Body, stuffed: Buffer): void {
    const whole = unstuff(stuffed)
    body.hash.update(whole)
    hashBody(body, whole)
    if (body.octets < KEPT) body.kept.push(whole)
    body.octets += whole.length
  }

  #finish(body: Body): void {
    this.#body = null
    const content = Buffer.concat(body.kept)
    if (!this.#say('dot', this.#from, '250 2.0.0 taken')) return
    this.#shared.mails.push({
      from: this.#from,
      to: this.#to,
      commands: this.#commands,
      content,
      octets: body.octets,
      sha256: body.hash.digest('hex'),
      bodySha256: body.bodyHash.digest('hex'),
    })
    this.#shared.events.emit('mail')
  }
}

function newBody(): Body {
  return {
    hash: createHash('sha256'),
    bodyHash: createHash('sha256'),
    header: Buffer.alloc(0),
    kept: [],
    octets: 0,
  }
}

function hashBody(body: Body, piece: Buffer): void {
  if (!body.header) return void body.bodyHash.update(piece)
  const header = Buffer.concat([body.header, piece])
  const end = header.indexOf('\r\n\r\n')
  if (end >= 0) body.bodyHash.update(header.subarray(end + 4))
  body.header = end >= 0 ? null : header
}

const END = Buffer.from('.\r\n')
const LINE_END_DOT = Buffer.from('\r\n.\r\n')

/** RFC 5321 section 4.5.2, the receiving side; `lines` begins at the start of a line. */
function unstuff(lines: Buffer): Buffer {
  if (lines[0] !== 0x2e && lines.indexOf('\n.') < 0) return Buffer.from(lines)
  return Buffer.from(lines.toString('latin1').replace(/^\.(?=.)/gm, ''), 'latin1')
}
