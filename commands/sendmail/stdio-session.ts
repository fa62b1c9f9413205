/**
 * -bs: a whole SMTP session on standard input and output, for programs that bring their own client. What they
 * say goes to the server's local socket as it is, so the same rules hold as for everyone.
 *
 * Bounded: connecting by the retry window, the greeting and any silence after it by the patience of `conversation.ts`;
 * a caller who thinks for so long has heard the server's 421 by then. Without a server the caller gets a 421, which is
 * what a client understands. Leaves with 0 when the session came to its end, 75 when the server was away, went away or fell silent.
 */
import type { Socket } from 'node:net'
import { PATIENCE } from './conversation.ts'
import { type ExitCode, exitCodes } from './exit-code.ts'
import { reach, type Way } from './session.ts'

export interface StdioEnd {
  exit: ExitCode
  lines: string[]
}

const TAIL_LENGTH = 600

export async function relayStdio(way: Way): Promise<StdioEnd> {
  const socket = await reach(way)
  if (!('exit' in socket)) return new Relay(socket, way).run()
  const { exit, lines } = socket
  process.stdout.write('421 4.3.2 The mail server cannot be reached, try again later\r\n')
  return { exit, lines }
}

class Relay {
  readonly #socket: Socket
  readonly #patience: number
  #timer: NodeJS.Timeout | null = null
  /** The end of what the server has said. */
  #tail = ''
  #greeted = false
  #inputOver = false
  #trouble = ''
  #end: (end: StdioEnd) => void = () => undefined

  constructor(socket: Socket, { patience }: Way) {
    this.#socket = socket
    this.#patience = patience ?? PATIENCE.content
  }

  run(): Promise<StdioEnd> {
    const socket = this.#socket
    const over = new Promise<StdioEnd>((resolve) => {
      this.#end = resolve
    })
    this.#await(Math.min(this.#patience, PATIENCE.greeting))
    socket.on('data', (chunk) => this.#heard(chunk))
    socket.on('error', () => undefined) // 'close' follows
    socket.on('close', () => this.#close())
    process.stdout.on('error', () => socket.destroy()) // the caller has gone
    process.stdin.on('data', (chunk) => this.#said(chunk))
    process.stdin.on('end', () => this.#hangUp())
    process.stdin.on('error', () => this.#hangUp())
    return over
  }

  #said(chunk: Buffer): void {
    if (this.#greeted) this.#await(this.#patience)
    if (this.#socket.destroyed || this.#socket.write(chunk)) return
    process.stdin.pause()
    this.#socket.once('drain', () => process.stdin.resume())
  }

  #heard(chunk: Buffer): void {
    this.#greeted = true
    this.#await(this.#patience)
    this.#tail = (this.#tail + chunk.toString('latin1')).slice(-TAIL_LENGTH)
    if (process.stdout.write(chunk)) return
    this.#socket.pause()
    process.stdout.once('drain', () => this.#socket.resume())
  }

  #hangUp(): void {
    this.#inputOver = true
    this.#socket.end()
  }

  #await(seconds: number): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#trouble = 'no answer in time'
      this.#socket.destroy()
    }, seconds * 1000)
  }

  #close(): void {
    if (this.#timer) clearTimeout(this.#timer)
    const said221 = /(?:^|\n)221[ -]/.test(this.#tail)
    const trouble = this.#trouble || (said221 || this.#inputOver ? '' : 'the connection was lost')
    if (trouble === '') return this.#end({ exit: exitCodes.ok, lines: [] })
    this.#end({ exit: exitCodes.temporary, lines: [trouble] })
  }
}
