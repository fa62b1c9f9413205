/**
 * What a slow disk does to sessions: every sync of the queue's database is made to take longer by strace, from
 * outside, on the one thread that syncs; meanwhile mail comes in at a fixed rate, and other sessions time the
 * replies to commands that need no disk. Wanted: 99 of 100 within WANTED_MS.
 *
 * The bench's own event loop is in every time it takes, so its lag is printed beside them. A run in which acceptance
 * did not take at least the delay has proved nothing and is an Error. Needs root.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { connectTo, type SmtpClient, sendMail } from '../support/client.ts'
import { debianPrograms } from '../support/debian.ts'
import type { Posthorn } from '../support/posthorn.ts'
import { until } from '../support/wait.ts'
import { findTools } from './generator.ts'
import { quantile, sendPaced } from './paced.ts'
import { diskFolder, startServer } from './servers.ts'
import { longestCommit } from './stall.ts'

const WANTED_MS = 5
const LOAD = { sessions: 50, perSecond: 300, messages: 6000, size: 4096 }
const PROBES = 8
const RESOLUTION_MS = 1
const BETWEEN_MS = 10
const SYNCS = 'fsync,fdatasync'

export async function benchSlowSync(
  delayMs: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const strace = process.getuid?.() === 0 ? debianPrograms('strace')?.find('strace') : null
  if (!strace) throw new Error('--slow-sync needs root and strace')
  const server = await startServer('posthorn', findTools(), diskFolder())
  const { posthorn, port } = server
  if (!posthorn) throw new Error('only Posthorn has a store thread')
  const slow = new Slowness(strace)
  const measure = async () => {
    const own = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    own.enable()
    const load = sendPaced({ ...LOAD, port, recipient: server.recipient }, signal)
    const replies = await probe(port, load)
    const { accepted: acceptance } = await load
    own.disable()
    return { acceptance, replies, lagMs: own.percentile(99) / 1e6 - RESOLUTION_MS }
  }
  say(`${LOAD.perSecond} messages/s come in, ${PROBES} sessions ask meanwhile`)
  try {
    await measure() // to warm up
    report('as it is', await measure(), say)
    await slow.begin(posthorn, port, delayMs)
    const slowed = await measure()
    await slow.end()
    report(`each sync takes ${delayMs} ms longer`, slowed, say)
    judge(slowed, delayMs, say)
    say(await longestCommit(posthorn, 3 * LOAD.messages))
  } finally {
    await slow.end()
    await server.stop()
  }
}

/** strace on the store's thread, which delays each of its syncs. */
class Slowness {
  readonly #strace: string
  #child: ChildProcess | null = null

  constructor(strace: string) {
    this.#strace = strace
  }

  async begin(posthorn: Posthorn, port: number, delayMs: number): Promise<void> {
    const thread = await this.#findThread(posthorn.worker('qmgr'), port)
    const delay = `inject=${SYNCS}:delay_exit=${delayMs * 1000}`
    await this.#attach(['-e', `trace=${SYNCS}`, '-e', delay, '-p', String(thread)])
  }

  async end(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGINT')
    await once(child, 'exit')
  }

  /** The thread of qmgr that syncs when a message comes. */
  async #findThread(pid: number, port: number): Promise<number> {
    const output = await this.#attach(['-f', '-e', `trace=${SYNCS}`, '-p', String(pid)])
    const content = 'Subject: which thread\r\n\r\nsyncs?\r\n'
    await sendMail(port, { from: 'a@client.example', to: ['user@relay.example'], content })
    const found = await until('a sync', () => /\[pid +(\d+)\] f(?:data)?sync\(/.exec(output()))
    await this.end()
    return Number(found[1])
  }

  /** Resolves when it has taken hold; gives what it has written so far. */
  async #attach(words: string[]): Promise<() => string> {
    const child = spawn(this.#strace, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    let output = ''
    child.stderr.on('data', (text: Buffer) => {
      output += text.toString()
    })
    await until('strace to attach', () => output.includes('attached'))
    return () => output
  }
}

type Times = Map<string, number[]>

/** Sessions that go through their commands again and again until the load is over. */
async function probe(port: number, load: Promise<unknown>): Promise<Times> {
  const state = { over: false }
  const end = () => {
    state.over = true
  }
  const ended = load.then(end, end)
  const times: Times = new Map()
  await Promise.all(Array.from({ length: PROBES }, () => probeSession(port, times, state)))
  await ended
  return times
}

async function probeSession(port: number, times: Times, state: { over: boolean }): Promise<void> {
  const client = await connectTo(port)
  await client.reply()
  while (!state.over) {
    for (const command of [
      'EHLO client.example',
      'MAIL FROM:<a@b.example>',
      'RCPT TO:<user@relay.example>',
      'NOOP',
      'RSET',
    ])
      await timed(client, command, times)
  }
  await client.quit()
}

async function timed(client: SmtpClient, command: string, times: Times): Promise<void> {
  const began = performance.now()
  const { code, text } = await client.say(command)
  const took = performance.now() - began
  if (code !== 250) throw new Error(`${command}: ${code} ${text}`)
  const verb = command.slice(0, 4)
  const all = times.get(verb) ?? []
  all.push(took)
  times.set(verb, all)
  await pause(BETWEEN_MS)
}

interface Slowed {
  /** Milliseconds from the end of the content to 250. */
  acceptance: number[]
  replies: Times
  /** Of the bench itself, at p99. */
  lagMs: number
}

function report(title: string, { acceptance, replies, lagMs }: Slowed, say: (line: string) => void): void {
  const show = (name: string, values: readonly number[]) =>
    say(
      `  ${name.padEnd(28)} p50 ${quantile(values, 0.5).toFixed(2)} ms, p99 ${quantile(values, 0.99).toFixed(2)} ms`,
    )
  say(`${title}; the bench's own event loop lags by ${lagMs.toFixed(2)} ms at p99`)
  show('250 after the content', acceptance)
  for (const [verb, values] of replies) show(`reply to ${verb}`, values)
  show('all replies but 250 to content', [...replies.values()].flat())
}

function judge({ acceptance, replies }: Slowed, delayMs: number, say: (line: string) => void): void {
  const middle = quantile(acceptance, 0.5)
  if (middle < delayMs) throw new Error(`acceptance took ${middle.toFixed(1)} ms: syncs were not delayed`)
  const all = [...replies.values()].flat()
  const verdict = quantile(all, 0.99) < WANTED_MS ? 'reached' : 'MISSED'
  say(`wanted: p99 of ${all.length} replies below ${WANTED_MS} ms: ${verdict}`)
}
