/**
 * A load at a fixed rate, for latencies: messages are begun when their time has come, whatever became of the ones
 * before, over sessions that stay open. What is measured is the time from the end of the content to the reply.
 *
 * When every session is busy messages begin late; the result says how late at worst, and a rate that could not be
 * held is visible there. Fails: rejects when the server refuses a session or goes away, or when not all replies
 * have come PATIENCE_MS after the last message was begun.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../support/wait.ts'

const PATIENCE_MS = 60_000
const STEP_MS = 1
const LINE = `${'x'.repeat(70)}\r\n`

export interface Pace {
  port: number
  sessions: number
  perSecond: number
  messages: number
  /** Octets of each message. */
  size: number
  sender?: (n: number) => string
  recipient: string
  /** The content of message `n` is about to be sent. */
  onContent?: (n: number) => void
}

export interface Paced {
  /** Milliseconds from the end of the content to 250, one for each message that was accepted. */
  accepted: number[]
  /** Replies to the end of content that were not 250. */
  refused: number
  /** The longest that a message began behind its time. */
  latestMs: number
  /** The longest time in which nothing was accepted. */
  longestGapMs: number
}

interface Tally extends Omit<Paced, 'longestGapMs'> {
  /** When each was. */
  acceptedAt: number[]
}

export async function sendPaced(pace: Pace, signal: AbortSignal): Promise<Paced> {
  const result: Tally = { accepted: [], acceptedAt: [], refused: 0, latestMs: 0 }
  const sessions = Array.from({ length: pace.sessions }, () => new Session(pace, result))
  try {
    const ready = () => sessions.some(failed) || sessions.every((one) => one.idle)
    await until(`${pace.sessions} sessions to be ready`, ready, PATIENCE_MS)
    await drive(pace, sessions, result, signal)
    const all = () => sessions.some(failed) || result.accepted.length + result.refused >= pace.messages
    await until('the last replies', all, PATIENCE_MS)
    const [trouble] = sessions.flatMap((one) => one.trouble ?? [])
    if (trouble) throw new Error(`a session of the load ended: ${trouble}`)
    return { ...result, longestGapMs: longestGap(result.acceptedAt) }
  } finally {
    for (const one of sessions) one.end()
  }
}

const failed = (session: Session) => session.trouble !== null

/** Begins each message when it is due and a session is free. */
async function drive(pace: Pace, sessions: Session[], result: Tally, signal: AbortSignal): Promise<void> {
  const began = performance.now()
  let next = 0
  while (next < pace.messages && !sessions.some(failed)) {
    const now = performance.now()
    const due = Math.min(pace.messages, Math.floor(((now - began) * pace.perSecond) / 1000) + 1)
    for (const session of sessions) {
      if (next >= due) break
      if (!session.idle) continue
      result.latestMs = Math.max(result.latestMs, now - began - (next * 1000) / pace.perSecond)
      session.begin(next++)
    }
    await pause(STEP_MS, undefined, { signal })
  }
}

type Phase = 'greeting' | 'ehlo' | 'idle' | 'commands' | 'content'

class Session {
  readonly #pace: Pace
  readonly #result: Tally
  readonly #socket: Socket
  readonly #body: string
  #phase: Phase = 'greeting'
  #input = ''
  #open = 0
  #message = 0
  #sentAt = 0
  trouble: string | null = null

  constructor(pace: Pace, result: Tally) {
    this.#pace = pace
    this.#result = result
    this.#body = `${LINE.repeat(Math.max(1, Math.floor(pace.size / LINE.length)))}.\r\n`
    this.#socket = connect({ host: '127.0.0.1', port: pace.port })
    this.#socket.setNoDelay(true).setEncoding('latin1')
    this.#socket.on('data', (text) => this.#read(String(text)))
    this.#socket.on('error', (error) => this.#fail(error.message))
    this.#socket.on('close', () => this.#fail('closed'))
  }

  get idle(): boolean {
    return this.#phase === 'idle'
  }

  /** The three commands go in one piece (RFC 2920). */
  begin(message: number): void {
    const { sender, recipient } = this.#pace
    this.#message = message
    this.#phase = 'commands'
    this.#open = 3
    const from = sender?.(message) ?? 'sender@client.example'
    this.#socket.write(`MAIL FROM:<${from}>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`)
  }

  end(): void {
    this.#phase = 'greeting'
    this.#socket.end('QUIT\r\n')
    this.#socket.destroySoon()
  }

  #read(text: string): void {
    this.#input += text
    for (;;) {
      const end = this.#input.indexOf('\r\n')
      if (end < 0) return
      const line = this.#input.slice(0, end)
      this.#input = this.#input.slice(end + 2)
      if (line.charAt(3) !== '-') this.#reply(line)
    }
  }

  #reply(line: string): void {
    switch (this.#phase) {
      case 'greeting':
        this.#expect('220', line)
        this.#phase = 'ehlo'
        return void this.#socket.write('EHLO client.example\r\n')
      case 'ehlo':
        this.#expect('250', line)
        this.#phase = 'idle'
        return
      case 'commands':
        this.#open--
        this.#expect(this.#open > 0 ? '250' : '354', line)
        if (this.#open === 0 && !this.trouble) this.#sendContent()
        return
      case 'content':
        return this.#settled(line)
      case 'idle':
        return this.#fail(line)
      default: {
        const never: never = this.#phase
        throw new Error(`unknown phase ${String(never)}`)
      }
    }
  }

  #sendContent(): void {
    this.#phase = 'content'
    this.#pace.onContent?.(this.#message)
    this.#sentAt = performance.now()
    this.#socket.write(`Subject: ${this.#message}\r\n\r\n${this.#body}`)
  }

  #settled(line: string): void {
    const now = performance.now()
    this.#phase = 'idle'
    if (line.startsWith('250')) {
      this.#result.accepted.push(now - this.#sentAt)
      this.#result.acceptedAt.push(now)
    } else this.#result.refused++
  }

  #expect(code: string, line: string): void {
    if (!line.startsWith(code)) this.#fail(line)
  }

  #fail(why: string): void {
    this.trouble ??= why
  }
}

function longestGap(times: readonly number[]): number {
  return times.reduce((most, at, n) => Math.max(most, at - (times[n - 1] ?? at)), 0)
}

/** The least value that so large a part of the others does not exceed. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN
}
