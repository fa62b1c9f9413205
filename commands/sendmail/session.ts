/**
 * The shell around `conversation.ts`: a socket, a clock, and another try while the server is being restarted.
 *
 * Bounded in every phase: connecting by the retry window, each answer by PATIENCE (or --timeout), content by
 * progress. Never rejects for what a server or a network does; that is a verdict. It does reject when the content
 * cannot be read: the connection is cut before the final dot, so half a message is never accepted.
 */
import { connect, type Socket } from 'node:net'
import { DotStuffer } from '../../shared/smtp/dot-stuffer.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { GARBAGE, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { inBatches } from './batches.ts'
import { begin, type Effect, type Job, onReply, onTrouble, PATIENCE, type State } from './conversation.ts'
import { exitCodes } from './exit-code.ts'
import type { Verdict } from './judgement.ts'
import { tooLarge } from './mail-command.ts'
import { trustedPath } from './trust.ts'

const FIRST_WAIT_MS = 50
const LONGEST_WAIT_MS = 1000
/** What connecting to a server that is on its way down or up can give. */
const PASSING = new Set(['ECONNREFUSED', 'ENOENT', 'EAGAIN', 'ECONNRESET', 'EPIPE'])

export interface Way {
  path: string
  uid: number
  /** Seconds: see `options.ts`. */
  retryWindow: number
  patience: number | null
  /** -v: what is said, with `>>> ` before what we say. */
  trace?: (line: string) => void
  /** What -bv finds out. */
  tell?: (line: string) => void
}

/** In which form it leaves. */
export interface Form {
  /** With its Bcc, for a server that reads the header itself and takes it out. */
  whole: boolean
  /** Without the From that the server makes. */
  byName: boolean
}
/** To be called once. */
export type Content = (form: Form) => AsyncIterable<Buffer>

export async function handOver(way: Way, job: Job, content: Content): Promise<Verdict> {
  const verdict = await insist<Verdict>(way, () => attempt(way, job, content))
  if (!verdict.batches) return verdict
  const again = recorded(content)
  const { tell: _tell, ...quiet } = way
  const part = (by: Way, verify: boolean) => (recipients: readonly string[]) => {
    const some = { ...job, header: null, recipients, verify }
    return insist<Verdict>(by, () => attempt(by, some, again))
  }
  const ask = part(job.verify ? way : quiet, true)
  return inBatches(verdict.batches, { ask, send: job.verify ? async () => NOTHING_SENT : part(way, false) })
}

const NOTHING_SENT: Verdict = { exit: exitCodes.ok, lines: [], again: false }

/** The same content as often as it is asked for, always in the form of the first time. It stays in memory. */
function recorded(content: Content): Content {
  const pieces: Buffer[] = []
  let rest: AsyncIterator<Buffer> | null = null
  return async function* (form) {
    rest ??= content(form)[Symbol.asyncIterator]()
    for (let n = 0; ; n++) {
      if (n === pieces.length) {
        const next = await rest.next()
        if (next.done) return
        pieces.push(next.value)
      }
      yield pieces[n] as Buffer
    }
  }
}

/** A connected socket, or why there was none in all of the retry window. */
export async function reach(way: Way): Promise<Socket | Verdict> {
  return insist<Socket>(way, () => open(way))
}

/** Again and again, as long as it is worth it and the retry window lasts. */
async function insist<T extends object>(way: Way, act: () => Promise<T | Verdict>): Promise<T | Verdict> {
  const until = Date.now() + way.retryWindow * 1000
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
    const result = await act()
    if (!isVerdict(result) || !result.again || Date.now() + wait > until) return result
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
}

function isVerdict(result: object): result is Verdict {
  return 'exit' in result
}

async function attempt(way: Way, job: Job, content: Content): Promise<Verdict> {
  const socket = await open(way)
  return isVerdict(socket) ? socket : new Session(socket, way, job, content).run()
}

/** A connected socket, or why there is none. */
async function open({ path, uid }: Way): Promise<Socket | Verdict> {
  try {
    const trusted = trustedPath(path, uid)
    if ('why' in trusted) return { exit: exitCodes.policy, lines: [trusted.why], again: false }
    const socket = connect(trusted.path)
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return socket
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    const exit = code === 'EACCES' || code === 'EPERM' ? exitCodes.policy : exitCodes.temporary
    return { exit, lines: [`cannot reach the mail server at ${path} (${code})`], again: PASSING.has(code) }
  }
}

class Session {
  readonly #socket: Socket
  readonly #way: Way
  readonly #job: Job
  readonly #content: Content
  readonly #replies = new ReplyReader()
  #state: State = begin
  #timer: NodeJS.Timeout | null = null
  #contentSent = false
  #end: (verdict: Verdict) => void = () => undefined
  #fail: (error: unknown) => void = () => undefined

  constructor(socket: Socket, way: Way, job: Job, content: Content) {
    this.#socket = socket
    this.#way = way
    this.#job = job
    this.#content = content
  }

  run(): Promise<Verdict> {
    const verdict = new Promise<Verdict>((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    this.#socket.on('data', (chunk: Buffer) => this.#replies.push(chunk, (reply) => this.#heard(reply)))
    this.#socket.on('error', () => undefined) // 'close' follows
    this.#socket.on('close', () => this.#trouble('lost'))
    this.#arm()
    return verdict.finally(() => {
      if (this.#timer) clearTimeout(this.#timer)
      this.#socket.destroySoon()
    })
  }

  #heard(reply: Parameters<Parameters<ReplyReader['push']>[1]>[0]): void {
    if (this.#state.phase === 'done') return
    if (reply === GARBAGE) return this.#trouble('garbage')
    // an answer before the end of the content can only be a refusal
    if (this.#state.phase === 'content' && !this.#contentSent && reply.code < 400)
      return this.#trouble('garbage')
    this.#way.trace?.(wireLine(reply))
    const { state, effects } = onReply(this.#job, this.#state, reply)
    this.#state = state
    this.#arm()
    this.#carryOut(effects)
  }

  #carryOut(effects: readonly Effect[]): void {
    const lines = effects.flatMap((effect) => (effect.kind === 'write' ? [`${effect.line}\r\n`] : []))
    if (lines.length > 0) this.#socket.write(lines.join(''))
    for (const effect of effects) {
      if (effect.kind === 'write') this.#way.trace?.(`>>> ${effect.line}`)
      if (effect.kind === 'tell') this.#way.tell?.(effect.line)
      if (effect.kind === 'verdict') this.#end(effect.verdict)
      if (effect.kind === 'send-content') void this.#send(effect).catch(this.#fail)
    }
  }

  async #send({ limit, ...form }: Extract<Effect, { kind: 'send-content' }>): Promise<void> {
    const dots = new DotStuffer()
    let octets = 0
    for await (const piece of this.#content(form)) {
      if (this.#state.phase !== 'content') return
      octets += piece.length
      if (limit > 0 && octets > limit)
        return this.#end({ exit: exitCodes.data, lines: [tooLarge(limit)], again: false })
      this.#arm()
      if (!this.#socket.write(dots.push(piece))) await this.#drained()
    }
    if (this.#state.phase !== 'content') return
    this.#contentSent = true
    this.#arm()
    this.#socket.write(dots.end())
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('drain', resolve)
      this.#socket.once('close', () => resolve())
    })
  }

  #trouble(trouble: 'timeout' | 'lost' | 'garbage'): void {
    if (this.#state.phase === 'done') return
    const verdict = onTrouble(this.#state, trouble, this.#job.lmtp)
    this.#state = { phase: 'done' }
    this.#socket.destroy()
    this.#end(verdict)
  }

  #arm(): void {
    const seconds = this.#way.patience ?? PATIENCE[this.#state.phase]
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#trouble('timeout'), seconds * 1000)
  }
}

function wireLine({ code, enhanced, text }: SmtpReply): string {
  const mark = enhanced ? `${enhanced} ` : ''
  const lines = text.split('\n')
  return lines.map((line, n) => `${code}${n < lines.length - 1 ? '-' : ' '}${mark}${line}`).join('\n')
}
