/**
 * What the tests of sendmail share: the command as it is installed (`bin/sendmail`, or a link to it), and a server of
 * the test's own on a unix socket, which misbehaves on request.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { within } from '../support/wait.ts'
import { makeRig } from '../support/worker.ts'

const PATIENCE_MS = 60_000

export interface Received {
  envelope: string[]
  content: string
}

/** Gives a reply to a command or to the final dot; null for the ordinary one, 'close' or 'hang' instead. */
export type Answer = (line: string) => string | null

export interface LocalServer {
  path: string
  received: Received[]
  commands: string[]
  close: () => Promise<void>
}

const ORDINARY: Readonly<Record<string, string>> = {
  CONNECT: '220 mx.example.org ESMTP',
  EHLO: '250-mx\r\n250-PIPELINING\r\n250-SIZE 3000000\r\n250 8BITMIME',
  DATA: '354 go',
  QUIT: '221 bye',
}

class LocalSession {
  readonly #socket: Socket
  readonly #server: LocalServer
  readonly #answer: Answer
  #buffer = ''
  #inData = false
  #envelope: string[] = []

  constructor(socket: Socket, server: LocalServer, answer: Answer) {
    this.#socket = socket
    this.#server = server
    this.#answer = answer
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => this.#read(chunk.toString('latin1')))
    this.#reply('CONNECT', ORDINARY['CONNECT'] ?? '')
  }

  #read(text: string): void {
    this.#buffer += text
    for (;;) {
      const end = this.#inData ? this.#buffer.indexOf('\r\n.\r\n') + 2 : this.#buffer.indexOf('\r\n')
      if (end < (this.#inData ? 2 : 0)) return
      const line = this.#buffer.slice(0, end)
      this.#buffer = this.#buffer.slice(end + (this.#inData ? 3 : 2))
      if (this.#inData) this.#dot(line)
      else this.#command(line)
    }
  }

  #command(line: string): void {
    this.#server.commands.push(line)
    const verb = line.slice(0, 4)
    if (verb === 'MAIL') this.#envelope = []
    if (verb === 'MAIL' || verb === 'RCPT') this.#envelope.push(line)
    const reply = this.#reply(line, ORDINARY[verb] ?? '250 2.1.0 fine')
    this.#inData = verb === 'DATA' && reply.startsWith('354')
  }

  #dot(content: string): void {
    this.#inData = false
    const reply = this.#reply('DOT', '250 2.0.0 queued')
    if (!reply.startsWith('250')) return
    this.#server.received.push({ envelope: this.#envelope, content: content.replaceAll('\r\n.', '\r\n') })
  }

  #reply(line: string, ordinary: string): string {
    const reply = this.#answer(line) ?? ordinary
    if (reply === 'close') this.#socket.destroy()
    else if (reply !== 'hang') this.#socket.write(`${reply}\r\n`)
    return reply
  }
}

export async function openServer(
  t: TestContext,
  answer: Answer = () => null,
  at?: string,
): Promise<LocalServer> {
  const rig = makeRig()
  const sockets = new Set<Socket>()
  const path = at ?? join(rig.directory, 'submit.sock')
  const listener: Server = createServer((socket) => {
    sockets.add(socket)
    new LocalSession(socket, server, answer)
  })
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    if (listener.listening) await new Promise((done) => listener.close(done))
    rig.close()
  }
  const server: LocalServer = { path, received: [], commands: [], close }
  listener.listen(path)
  await once(listener, 'listening')
  t.after(close)
  return server
}

export interface Result {
  code: number | null
  out: string
  err: string
}

export interface Call {
  input?: string | Buffer
  /** All of the environment. */
  env?: Record<string, string>
  /** sendmail's other names. */
  name?: string
  uid?: number
  cwd?: string
  /** More descriptors, from 3 on. */
  extra?: readonly 'pipe'[]
  /** What a shell does with it: "$0" is the command, "$@" the words. */
  shell?: string
}

export function startSendmail(argv: readonly string[], call: Call = {}): ChildProcess {
  const { env = {}, name = 'sendmail', uid, cwd, extra = [], shell } = call
  const owner = uid === undefined ? {} : { uid, gid: uid }
  const program = resolve('bin', name)
  const [file, words] = shell === undefined ? [program, argv] : ['/bin/sh', ['-c', shell, program, ...argv]]
  const stdio = ['pipe', 'pipe', 'pipe', ...extra] as const
  return spawn(file, [...words], { env, stdio: [...stdio], ...owner, ...(cwd && { cwd }) })
}

export async function sendmail(argv: readonly string[], call: Call = {}): Promise<Result> {
  const child = startSendmail(argv, call)
  const result = resultOf(child)
  child.stdin?.on('error', () => undefined) // it may leave without reading
  child.stdin?.end(call.input ?? 'Subject: x\n\nbody\n')
  return result
}

/** What it prints, and what it leaves with. */
export async function resultOf(child: ChildProcess): Promise<Result> {
  const result: Result = { code: null, out: '', err: '' }
  child.stdout?.on('data', (chunk) => {
    result.out += String(chunk)
  })
  child.stderr?.on('data', (chunk) => {
    result.err += String(chunk)
  })
  const [code] = await within(`${child.spawnargs.join(' ')}`, PATIENCE_MS, once(child, 'close'))
  result.code = code as number | null
  return result
}
