/**
 * An SMTP client for tests that says exactly what it is told, right or wrong, and reads replies one by one.
 *
 * Fails: `reply` rejects when the server closes the connection or says nothing for PATIENCE_MS; `closed`
 * resolves at the end of the connection, whoever ended it.
 * Next: `load.ts` for many clients at once, `sink.ts` for the other side.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { within } from './wait.ts'

const PATIENCE_MS = 60_000

export interface ClientReply {
  code: number
  /** `5.1.1`, or '' where there is none. */
  enhanced: string
  lines: string[]
  /** The lines without codes, joined by `\n`. */
  text: string
}

/** A TCP port on loopback, or a unix socket's path. */
export type Target = number | string

export class SmtpClient {
  readonly socket: Socket
  readonly closed: Promise<void>
  readonly #replies: ClientReply[] = []
  #lines: string[] = []
  #partial = ''
  #ended = false
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.setEncoding('utf8')
    socket.on('data', (text) => this.#read(String(text)))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  async reply(patience = PATIENCE_MS): Promise<ClientReply> {
    const next = this.#replies.shift()
    if (next) return next
    if (this.#ended) throw new Error('the server closed the connection')
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await within('a reply', patience, woken)
    return this.reply(patience)
  }

  /** One command, one reply. */
  say(line: string): Promise<ClientReply> {
    this.write(`${line}\r\n`)
    return this.reply()
  }

  write(data: string | Uint8Array): boolean {
    return !this.socket.destroyed && this.socket.write(data)
  }

  /** Resolves when the kernel has taken what was written, or the connection is over. */
  async drained(): Promise<void> {
    if (this.socket.writableLength === 0 || this.#ended) return
    const drain = new Promise<void>((resolve) => this.socket.once('drain', () => resolve()))
    await within('the server reading', PATIENCE_MS, Promise.race([drain, this.closed]))
  }

  async quit(): Promise<void> {
    if (!this.#ended) this.write('QUIT\r\n')
    await this.closed
  }

  destroy(): void {
    this.socket.destroy()
  }

  #read(text: string): void {
    const lines = (this.#partial + text).split('\r\n')
    this.#partial = lines.pop() ?? ''
    for (const line of lines) {
      this.#lines.push(line)
      if (line.charAt(3) === '-') continue
      this.#replies.push(readReply(this.#lines))
      this.#lines = []
    }
    this.#wake()
  }
}

function readReply(lines: string[]): ClientReply {
  const texts = lines.map((line) => line.slice(4))
  const enhanced = /^[245]\.\d{1,3}\.\d{1,3}(?= |$)/.exec(texts.at(-1) ?? '')?.[0] ?? ''
  return { code: Number(lines[0]?.slice(0, 3)), enhanced, lines, text: texts.join('\n') }
}

/** Connected, nothing read yet: not even the greeting. */
export function connectTo(target: Target, more: Partial<NetConnectOpts> = {}): Promise<SmtpClient> {
  const where = typeof target === 'number' ? { host: '127.0.0.1', port: target } : { path: target }
  const socket = connect({ ...where, ...more } as NetConnectOpts)
  socket.setNoDelay(true)
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => resolve(new SmtpClient(socket)))
  })
}

/** Connected, greeted and after EHLO. */
export async function openSession(target: Target, name = 'client.example'): Promise<SmtpClient> {
  const client = await connectTo(target)
  const greeting = await client.reply()
  if (greeting.code !== 220) throw new Error(`greeted with ${greeting.lines.join(' / ')}`)
  await client.say(`EHLO ${name}`)
  return client
}

export interface Mail {
  from: string
  to: string[]
  content: string | Uint8Array
}

/** One transaction in an open session; the reply that settled it: to the first refused command, or to the dot. */
export async function transact(
  client: SmtpClient,
  mail: Mail,
  /** Called when the content is about to be sent: from now on the server may have it. */
  onContent: () => void = () => undefined,
): Promise<ClientReply> {
  const from = await client.say(`MAIL FROM:<${mail.from}>`)
  if (from.code !== 250) return from
  for (const to of mail.to) {
    const reply = await client.say(`RCPT TO:<${to}>`)
    if (reply.code !== 250) return reply
  }
  const data = await client.say('DATA')
  if (data.code !== 354) return data
  onContent()
  client.write(dotted(mail.content))
  return client.reply()
}

/** Content as it goes over the wire after 354: stuffed, ended (RFC 5321 section 4.5.2). */
export function dotted(content: string | Uint8Array): Uint8Array {
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('latin1')
  const stuffed = text.replace(/^\./gm, '..')
  const end = stuffed.endsWith('\r\n') ? '.\r\n' : '\r\n.\r\n'
  return Buffer.from(stuffed + end, typeof content === 'string' ? 'utf8' : 'latin1')
}

/** A session of its own for one mail. */
export async function sendMail(target: Target, mail: Mail): Promise<ClientReply> {
  const client = await openSession(target)
  const reply = await transact(client, mail)
  await client.quit()
  return reply
}
