/**
 * The ways out: SMTP with a program or a socket, or a program in sendmail's manner. The shell around `conversation.ts`.
 *
 * Never rejects for what the other side does; that is everybody's fate. Bounded: each answer, and each piece of
 * content that the other side takes, has `timeout` milliseconds. `beforeLast` runs when the next octets may make the
 * other side accept the message; they leave when it has come to its end.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { DotStuffer } from '../../shared/smtp/dot-stuffer.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { trustedPath } from '../sendmail/trust.ts'
import {
  begin,
  type Envelope,
  type Fate,
  type Fates,
  fatesAfter,
  onReply,
  type State,
} from './conversation.ts'
import type { SendWay } from './sign-config.ts'

const FAREWELL_MS = 5000

export interface Load extends Envelope {
  /** The message, in pieces, as it leaves. */
  content: readonly Buffer[]
}

export interface Terms {
  /** Milliseconds. */
  timeout: number
  /** Everybody who would be in doubt, should we die. */
  beforeLast: (recipients: readonly string[]) => void
}

export async function send(way: SendWay, load: Load, terms: Terms): Promise<Fates> {
  switch (way.kind) {
    case 'socket':
      return overSocket(way.path, load, terms)
    case 'smtp-command': {
      const [program = '', ...words] = way.words
      const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] })
      const fates = await converse(duplexOf(child), load, terms)
      await leaveTimeFor(child)
      return fates
    }
    case 'command':
      return pipe(way.words, load, terms)
    default:
      return way satisfies never
  }
}

/** A socket that anybody could have put there gets no mail. */
async function overSocket(path: string, load: Load, terms: Terms): Promise<Fates> {
  try {
    const found = trustedPath(path, process.getuid?.() ?? 0)
    if ('why' in found)
      return everybody(load, { kind: 'refused', reply: { code: 550, enhanced: '5.7.0', text: found.why } })
    return await converse(connect(found.path), load, terms)
  } catch (error) {
    return everybody(load, later(`cannot reach ${path}: ${(error as Error).message}`))
  }
}

/** To say goodbye in. */
async function leaveTimeFor(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const patience = setTimeout(() => child.kill(), FAREWELL_MS)
  await new Promise((resolve) => child.once('exit', resolve))
  clearTimeout(patience)
}

/** One stream of a child's two; an error of either ends both. */
function duplexOf(child: ChildProcess): Duplex {
  const { stdin, stdout } = child
  if (!stdin || !stdout) throw new Error('a child without pipes')
  const both = Duplex.from({ readable: stdout, writable: stdin })
  child.once('error', (error) => both.destroy(error))
  return both
}

function converse(stream: Duplex, load: Load, terms: Terms): Promise<Fates> {
  return new Promise((done) => new Conversation(stream, load, terms, done).start())
}

class Conversation {
  readonly #stream: Duplex
  readonly #load: Load
  readonly #terms: Terms
  readonly #done: (fates: Fates) => void
  readonly #replies = new ReplyReader()
  #state: State = begin
  #timer: NodeJS.Timeout | null = null
  #sent = false

  constructor(stream: Duplex, load: Load, terms: Terms, done: (fates: Fates) => void) {
    this.#stream = stream
    this.#load = load
    this.#terms = terms
    this.#done = done
  }

  start(): void {
    this.#stream.on('data', (chunk: Buffer) => this.#replies.push(chunk, (reply) => this.#heard(reply)))
    this.#stream.on('error', (error) => this.#broken(error.message))
    this.#stream.on('close', () => this.#broken('the connection was lost'))
    this.#stream.on('end', () => this.#broken('the connection was lost'))
    this.#arm()
  }

  #heard(reply: Parameters<Parameters<ReplyReader['push']>[1]>[0]): void {
    if (this.#state.phase === 'done') return
    if (reply === GARBAGE) return this.#broken('whatever answers does not speak SMTP')
    // an answer before the end of the content can only be a refusal
    if (this.#state.phase === 'content' && !this.#sent && reply.code < 400)
      return this.#broken('an answer before the message was sent')
    const { state, write } = onReply(this.#load, this.#state, reply)
    this.#state = state
    this.#arm()
    if (write.length > 0) this.#stream.write(write.map((line) => `${line}\r\n`).join(''))
    if (state.phase === 'done') this.#finish(state.fates)
    else if (state.phase === 'content') void this.#content()
  }

  async #content(): Promise<void> {
    const dots = new DotStuffer()
    for (const piece of this.#load.content) {
      if (this.#state.phase !== 'content') return
      this.#arm()
      if (!this.#stream.write(dots.push(piece))) await this.#drained()
    }
    if (this.#state.phase !== 'content') return
    const { fates } = this.#state
    try {
      this.#terms.beforeLast(this.#load.recipients.filter((recipient) => !fates.has(recipient)))
    } catch (error) {
      // what cannot be remembered must not be sent
      this.#state = { phase: 'data', fates }
      return this.#broken(String(error))
    }
    this.#sent = true
    this.#arm()
    this.#stream.write(dots.end())
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.once('drain', resolve)
      this.#stream.once('close', () => resolve())
    })
  }

  #arm(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#broken('no answer in time'), this.#terms.timeout)
  }

  #broken(why: string): void {
    if (this.#state.phase === 'done') return
    // without the last dot nothing can have been accepted
    const before: State =
      this.#state.phase === 'content' && !this.#sent
        ? { phase: 'data', fates: this.#state.fates }
        : this.#state
    const fates = fatesAfter(this.#load, before, why)
    this.#state = { phase: 'done', fates }
    this.#finish(fates)
  }

  #finish(fates: Fates): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#stream.end(() => this.#stream.destroy())
    this.#done(fates)
  }
}

/** Nothing that a shell on the way (ssh makes one line of its words) could take for something else. */
const HARMLESS = /^[A-Za-z0-9_+=.%@-]+$/
const TEMPFAIL = 75

/** What such a program says is one number, for all; 0 and 75 (sysexits(3)) are clear, others may mean some. */
async function pipe(way: readonly string[], load: Load, terms: Terms): Promise<Fates> {
  const harmful = [load.sender, ...load.recipients].find(
    (address) => !HARMLESS.test(address) && address !== '',
  )
  if (harmful !== undefined)
    return everybody(load, refused(`${harmful} cannot be given to a command; use \`send smtp-command\``))
  const [program = '', ...words] = way
  terms.beforeLast(load.recipients)
  const env = {
    ...process.env,
    GOSENDMAIL_SENDER: load.sender,
    GOSENDMAIL_RECIPIENTS: load.recipients.join(', '),
  }
  const sender = load.sender === '' ? [] : ['-f', load.sender]
  const child = spawn(program, [...words, ...sender, '--', ...load.recipients], {
    stdio: ['pipe', 'ignore', 'inherit'],
    timeout: terms.timeout,
    env,
  })
  child.stdin.on('error', () => undefined) // it may leave before it has read all
  for (const piece of load.content) child.stdin.write(unixLines(piece))
  child.stdin.end()
  return new Promise((done) => {
    child.once('error', (error) => done(everybody(load, later(`${program}: ${error.message}`))))
    child.once('close', (code, signal) => done(everybody(load, verdictOf(load, program, code, signal))))
  })
}

function verdictOf(load: Load, program: string, code: number | null, signal: string | null): Fate {
  if (code === 0)
    return { kind: 'sent', reply: { code: 250, enhanced: '2.0.0', text: `taken by ${program}` } }
  if (code === TEMPFAIL) return later(`${program} left with ${code}`)
  if (code === null) return { kind: 'doubt', why: `${program} was killed by ${signal}` }
  if (load.recipients.length === 1) return refused(`${program} left with ${code}`)
  return { kind: 'doubt', why: `${program} left with ${code}: some may have been refused` }
}

function later(text: string): Fate {
  return { kind: 'later', reply: { code: 451, enhanced: '4.3.0', text } }
}

function refused(text: string): Fate {
  return { kind: 'refused', reply: { code: 550, enhanced: '5.3.0', text } }
}

function everybody({ recipients }: Load, fate: Fate): Fates {
  return new Map(recipients.map((recipient) => [recipient, fate]))
}

/** Programs take LF for a line's end; the pieces end with whole lines. */
function unixLines(piece: Buffer): Buffer {
  return Buffer.from(piece.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')
}
