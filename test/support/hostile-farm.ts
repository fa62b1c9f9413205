/**
 * Hosts that misbehave, one way at one stage each: what every mail client meets on the Internet sooner or later.
 *
 * A host is good but for its plan. It never forgives: QUIT, or any other command, where content belongs is counted, as
 * is every content that was ended by its dot. `style` says how its replies leave: whole, octet by octet, or cut in two
 * at a place that changes from reply to reply.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY } from './localhost-certificate.ts'

/** `rcpt` is the second recipient; `body` is while content is on its way and nobody reads it. */
export const STAGES = [
  'banner',
  'ehlo',
  'starttls',
  'tls-ehlo',
  'mail',
  'rcpt',
  'data',
  'body',
  'dot',
  'quit',
] as const
export type HostileStage = (typeof STAGES)[number]

/** What is said instead; anything else is done, not said. */
const SAID: Readonly<Record<string, string>> = {
  '4xx': '451 4.3.0 busy\r\n',
  '5xx': '554 5.7.1 no\r\n',
  '421': '421 4.3.2 leaving\r\n',
  '1xx': '150 on the way\r\n',
  '2xx': '250 2.0.0 fine\r\n',
  '3xx': '354 tell me\r\n',
  garbage: 'what is this?\r\n',
  binary: '\u0000\u0001\u00ff\r\r\n\n\u0016\u0003',
  'half a reply': '250-and then',
}
export const MISBEHAVIOURS = [
  'hang',
  'close',
  'reset',
  'half-close',
  'endless',
  'endless line',
  ...Object.keys(SAID),
] as const
export type Misbehaviour = string

export interface HostilePlan {
  stage: HostileStage
  does: Misbehaviour
  /** Of EHLO. */
  offers?: readonly string[]
  style?: 'whole' | 'dribbled' | 'split'
  /** Behind the good reply of the stage, or ahead of it. */
  more?: { text: string; ahead?: boolean }
  /** Reads one command of each segment, whatever PIPELINING said. */
  deaf?: boolean
}

export interface HostileHost {
  port: number
  /** Commands, of all connections. */
  lines: string[]
  /** Contents that were ended by a dot, and those that got 250 for it. */
  ended: number
  taken: number
  /** Commands seen where content belongs. */
  strays: string[]
  connections: number
  sockets: Set<Socket>
  close: () => Promise<void>
}

export async function openHostile(plan: HostilePlan): Promise<HostileHost> {
  const server = createServer({ noDelay: true }, (socket) => {
    host.connections++
    host.sockets.add(socket)
    socket.on('close', () => host.sockets.delete(socket))
    new Talk(socket, plan, host)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const host: HostileHost = {
    port: (server.address() as AddressInfo).port,
    lines: [],
    ended: 0,
    taken: 0,
    strays: [],
    connections: 0,
    sockets: new Set(),
    close: async () => {
      server.close()
      for (const socket of host.sockets) socket.destroy()
      await once(server, 'close')
    },
  }
  return host
}

const END = '\r\n.\r\n'

class Talk {
  readonly #plan: HostilePlan
  readonly #host: HostileHost
  #socket: Socket
  /** The connection itself, where `#socket` is TLS. */
  readonly #wire: Socket
  #input = ''
  #inBody = false
  #secured = false
  #recipients = 0
  #replies = 0
  /** Replies leave in order, whatever the style. */
  #sending: Promise<void> = Promise.resolve()
  #mute = false

  constructor(socket: Socket, plan: HostilePlan, host: HostileHost) {
    this.#socket = socket
    this.#wire = socket
    this.#plan = plan
    this.#host = host
    this.#listen()
    this.#reply('banner', '220 hostile.example ESMTP\r\n')
  }

  #listen(): void {
    this.#socket.on('error', () => undefined)
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk.toString('latin1')))
  }

  #read(text: string): void {
    this.#input += text
    let lines = 0
    while (!this.#mute && !this.#socket.destroyed) {
      if (this.#inBody ? !this.#readBody() : !this.#readLine()) break
      if (this.#plan.deaf && ++lines === 1 && !this.#inBody) this.#input = ''
    }
    if (this.#mute && this.#inBody) this.#watchBody()
  }

  #readLine(): boolean {
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#input.slice(0, end)
    this.#input = this.#input.slice(end + 2)
    this.#host.lines.push(line)
    this.#command(line)
    return true
  }

  #readBody(): boolean {
    const found = this.#input.startsWith('.\r\n') ? -2 : this.#input.indexOf(END)
    if (found === -1) {
      this.#watchBody()
      return false
    }
    this.#input = this.#input.slice(found + END.length)
    this.#inBody = false
    this.#host.ended++
    if (this.#reply('dot', '250 2.0.0 taken\r\n')) this.#host.taken++
    return true
  }

  /** Content of the tests has no line that looks like a command. */
  #watchBody(): void {
    const stray = /(?:^|\n)(QUIT|RSET|MAIL FROM|EHLO)\b[^\r]*\r/.exec(this.#input)
    if (stray) this.#host.strays.push(stray[1] ?? '')
    this.#input = this.#input.slice(-100)
  }

  #command(line: string): void {
    switch (line.slice(0, 4).toUpperCase()) {
      case 'EHLO':
      case 'HELO':
        return void this.#reply(this.#secured ? 'tls-ehlo' : 'ehlo', this.#ehlo())
      case 'STAR':
        if (this.#reply('starttls', '220 go\r\n')) void this.#sending.then(() => this.#secure())
        return
      case 'MAIL':
        this.#recipients = 0
        return void this.#reply('mail', '250 2.1.0 ok\r\n')
      case 'RCPT':
        return void this.#reply(++this.#recipients === 2 ? 'rcpt' : null, '250 2.1.5 ok\r\n')
      case 'DATA':
        return this.#data()
      case 'QUIT':
        if (this.#reply('quit', '221 2.0.0 bye\r\n')) void this.#sending.then(() => this.#socket.end())
        return
      default:
        this.#reply(null, '250 2.0.0 ok\r\n')
    }
  }

  #data(): void {
    const { stage, does } = this.#plan
    const went = this.#reply('data', '354 go on\r\n')
    this.#inBody = went || (stage === 'data' && does === '3xx')
    if (stage !== 'body') return
    this.#mute = true
    this.#socket.pause() // the window closes
    void this.#sending.then(() => this.#misbehave())
  }

  #ehlo(): string {
    const { offers = ['PIPELINING', '8BITMIME'] } = this.#plan
    const all = this.#secured ? offers.filter((word) => word !== 'STARTTLS') : offers
    return `250-hostile.example\r\n${all.map((word) => `250-${word}\r\n`).join('')}250 HELP\r\n`
  }

  #secure(): void {
    this.#secured = true
    this.#socket.removeAllListeners('data')
    this.#socket = new TLSSocket(this.#socket, {
      isServer: true,
      key: LOCALHOST_KEY,
      cert: LOCALHOST_CERTIFICATE,
    })
    this.#listen()
  }

  /** @returns whether the good reply was given. */
  #reply(stage: HostileStage | null, good: string): boolean {
    const plan = this.#plan
    if (this.#mute) return false
    if (stage !== plan.stage) this.#say(good)
    else if (plan.more) this.#say(plan.more.ahead ? plan.more.text + good : good + plan.more.text)
    else this.#misbehave()
    return stage !== plan.stage || plan.more !== undefined || (stage === 'dot' && plan.does === '2xx')
  }

  #misbehave(): void {
    const { does } = this.#plan
    const said = SAID[does]
    if (said !== undefined) {
      this.#say(said)
      if (does === '421') void this.#sending.then(() => this.#socket.end())
      if (does === 'half a reply') this.#mute = true
      return
    }
    this.#mute = true
    if (does === 'close') this.#socket.destroy()
    else if (does === 'reset') this.#wire.resetAndDestroy()
    else if (does === 'half-close') this.#socket.end()
    else if (does.startsWith('endless'))
      this.#flood(does === 'endless' ? '250-and so on\r\n' : 'x'.repeat(99))
  }

  #flood(piece: string): void {
    const socket = this.#socket
    const pour = () => {
      while (!socket.destroyed && socket.write(piece.repeat(500)));
      if (!socket.destroyed) socket.once('drain', pour)
    }
    socket.write('250-') // so that an endless line is one of a reply
    pour()
  }

  #say(text: string): void {
    const { style = 'whole' } = this.#plan
    const octets = Buffer.from(text, 'latin1')
    if (style === 'whole') return void this.#socket.write(octets)
    const cut = this.#replies++ % octets.length
    const pieces = style === 'split' ? [octets.subarray(0, cut), octets.subarray(cut)] : [...octets]
    this.#sending = this.#sending.then(() => this.#inPieces(pieces))
  }

  async #inPieces(pieces: readonly (number | Buffer)[]): Promise<void> {
    for (const piece of pieces) {
      if (this.#socket.destroyed) return
      const octets = typeof piece === 'number' ? Buffer.of(piece) : piece
      await new Promise((resolve) => this.#socket.write(octets, resolve))
    }
  }
}
