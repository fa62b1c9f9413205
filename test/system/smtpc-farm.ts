/**
 * A host that smtpc meets in tests where `sink.ts` is too well-behaved: line by line under the test's control,
 * with STARTTLS that works, is refused or breaks, and with LMTP's reply per recipient.
 *
 * `answer` is asked for each line (and once with '' at connect, with '.' at the end of data) and gives what is
 * written, raw; null: nothing. Content is kept as it came, still dot-stuffed, in `bodies`.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

export interface FarmHost {
  port: number
  lines: string[]
  bodies: Buffer[]
  sockets: Set<Socket>
  connections: () => number
  close: () => Promise<void>
}

export interface FarmSession {
  socket: Socket
  recipients: number
  close: () => void
  /** Speaks TLS from here on. */
  secure: () => void
  /** Says 354 late, and takes the content. */
  take: (reply: string) => void
  lastLine: () => string
}
export type FarmAnswer = (line: string, session: FarmSession) => string | null

export async function openFarmHost(answer: FarmAnswer): Promise<FarmHost> {
  const host = { lines: [] as string[], bodies: [] as Buffer[], sockets: new Set<Socket>() }
  let connections = 0
  const server = createServer({ noDelay: true }, (socket) => {
    connections++
    host.sockets.add(socket)
    socket.on('close', () => host.sockets.delete(socket))
    new FarmTalk(socket, answer, host)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    ...host,
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close: async () => {
      server.close()
      for (const socket of host.sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

class FarmTalk implements FarmSession {
  socket: Socket
  recipients = 0
  readonly #answer: FarmAnswer
  readonly #host: { lines: string[]; bodies: Buffer[] }
  #input = Buffer.alloc(0)
  #inBody = false
  #last = ''
  readonly #read = (chunk: Buffer) => this.#take(chunk)

  constructor(socket: Socket, answer: FarmAnswer, host: { lines: string[]; bodies: Buffer[] }) {
    this.socket = socket
    this.#answer = answer
    this.#host = host
    this.#listen()
    this.#say('')
  }

  close(): void {
    this.socket.destroy()
  }

  secure(): void {
    this.socket.removeListener('data', this.#read)
    this.socket = new TLSSocket(this.socket, { isServer: true, key: KEY, cert: CERTIFICATE })
    this.#listen()
  }

  take(reply: string): void {
    this.#inBody = true
    this.socket.write(reply)
  }

  lastLine(): string {
    return this.#last
  }

  #listen(): void {
    this.socket.on('error', () => undefined)
    this.socket.on('data', this.#read)
  }

  #say(line: string): void {
    const { socket } = this
    const text = this.#answer(line, this)
    if (text !== null && !socket.destroyed) socket.write(text)
    if (text?.startsWith('354')) this.#inBody = true
    if (/^RCPT/.test(line) && text?.startsWith('250')) this.recipients++
  }

  #take(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk])
    while (!this.socket.destroyed && (this.#inBody ? this.#takeBody() : this.#takeLine()));
  }

  #takeLine(): boolean {
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#input.toString('utf8', 0, end)
    this.#input = this.#input.subarray(end + 2)
    this.#host.lines.push(line)
    this.#last = line
    this.#say(line)
    return true
  }

  #takeBody(): boolean {
    const lone = this.#input.subarray(0, 3).toString('latin1') === '.\r\n'
    const end = lone ? -2 : this.#input.indexOf('\r\n.\r\n')
    if (end === -1) return false
    this.#host.bodies.push(this.#input.subarray(0, end + 2))
    this.#input = this.#input.subarray(end + 5)
    this.#inBody = false
    this.#say('.')
    return true
  }
}

/** A server that does everything right, for answers that differ in one place only. */
export function goodAnswer(extensions: readonly string[] = ['PIPELINING', '8BITMIME']): FarmAnswer {
  return (line, session) => {
    switch (line.slice(0, 4).toUpperCase()) {
      case '':
        return '220 farm.example ESMTP\r\n'
      case 'EHLO':
      case 'LHLO':
        return `250-farm.example\r\n${extensions.map((word) => `250-${word}\r\n`).join('')}250 SIZE\r\n`
      case 'DATA':
        return '354 go on\r\n'
      case 'QUIT':
        session.socket.end('221 2.0.0 bye\r\n')
        return null
      default:
        return '250 2.0.0 ok\r\n'
    }
  }
}

/** Made for these tests, worth nothing elsewhere. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGQFBCgjM2y0KLaex
Z+iJDYsAoZFz0H/G2wIycX1unAWhRANCAAQSmJWnAS33PVEFCk5/cogEYIwwSuyS
MVUdsfSkTeYGy7GHmn3A9gd+tg33V0kb5pOknDZEBiJpGbQhGSVvtt/w
-----END PRIVATE KEY-----`
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUOnPdbbZeIA3RaGNw8N5zqECUSRswCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHbXgudGVzdDAgFw0yNjExMjEwODQ3MDNaGA8yMTI2MTAyODA4
NDcwM1owEjEQMA4GA1UEAwwHbXgudGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABBKYlacBLfc9UQUKTn9yiARgjDBK7JIxVR2x9KRN5gbLsYeafcD2B362DfdX
SRvmk6ScNkQGImkZtCEZJW+23/CjUzBRMB0GA1UdDgQWBBQp6g+ATPpQwx6J0S/f
QISxJXpF4jAfBgNVHSMEGDAWgBQp6g+ATPpQwx6J0S/fQISxJXpF4jAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIGZXm3oHN0/kcvkk0P8gjBMPtiNn
Ueur3Vt95UiIAOTQAiEAnQkFcc3scGmCYnbl5dtw6HSgHSgJhnQXkkR1XyP4Rmw=
-----END CERTIFICATE-----`
