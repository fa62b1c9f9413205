/**
 * What a call of `sendmail` costs: wall time and memory of one for a one-line message, beside those of a Node that
 * does nothing, which is the floor; then PARALLEL at once, each of which must leave with 0 or 75, and every 0 must
 * have arrived once, every 75 never.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Posthorn, type Result, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { quantile } from './paced.ts'
import { median } from './report.ts'
import { diskFolder } from './servers.ts'

const CALLS = 21
const PARALLEL = 50
const MESSAGE = 'Subject: one line\n\nThis is it.\n'
const RECIPIENT = 'user@relay.example'
/** As programs call it, and what it comes to. */
const INSTALLED = resolve('bin/sendmail')
const SENDMAIL = resolve('dist/commands/sendmail.js')
/** Loaded first, Node prints its own most resident KiB at exit. */
const TELL_MEMORY = "process.on('exit', () => process.stderr.write('KiB=' + process.resourceUsage().maxRSS))"

export async function benchInjection(say: (line: string) => void): Promise<void> {
  const sink = await openSink()
  const directory = mkdtempSync(join(diskFolder(), 'posthorn-injection-'))
  try {
    const posthorn = await startPosthorn({
      directory,
      config: (paths) => testConfig(paths, { relayPort: sink.port }),
    })
    try {
      alone(posthorn, directory, say)
      await together(posthorn, sink, say)
    } finally {
      await posthorn.stop()
    }
  } finally {
    await sink.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

interface Cost {
  wallMs: number
  residentMiB: number
}

function alone({ paths }: Posthorn, directory: string, say: (line: string) => void): void {
  const telling = join(directory, 'tell-memory.cjs')
  writeFileSync(telling, TELL_MEMORY)
  const env = { POSTHORN_SOCKET: paths.submit }
  const calls = Array.from({ length: CALLS }, () => ({
    ours: {
      wallMs: wall(INSTALLED, [RECIPIENT], env),
      residentMiB: memory(telling, [SENDMAIL, RECIPIENT], env),
    },
    bare: {
      wallMs: wall(process.execPath, ['-e', '0'], env),
      residentMiB: memory(telling, ['-e', '0'], env),
    },
  }))
  const show = (what: string, costs: Cost[]) => {
    const wall = median(costs.map(({ wallMs }) => wallMs))
    const resident = median(costs.map(({ residentMiB }) => residentMiB))
    say(`${what}: ${wall.toFixed(0)} ms, ${resident.toFixed(0)} MiB, medians of ${CALLS}`)
  }
  show(
    'sendmail, one line',
    calls.map(({ ours }) => ours),
  )
  show(
    'node that does nothing',
    calls.map(({ bare }) => bare),
  )
}

function wall(file: string, words: string[], env: Record<string, string>): number {
  const began = performance.now()
  call(file, words, env)
  return performance.now() - began
}

/** A run of its own: what tells the memory takes time, too. */
function memory(telling: string, words: string[], env: Record<string, string>): number {
  const told = /KiB=(\d+)/.exec(call(process.execPath, ['--require', telling, ...words], env))?.[1]
  return Number(told) / 1024
}

function call(file: string, words: string[], env: Record<string, string>): string {
  const made = spawnSync(file, words, {
    input: MESSAGE,
    encoding: 'utf8',
    // as scripts have it; what else stands in an environment, Node's own options above all, is not what is measured
    env: { PATH: process.env['PATH'], ...env },
    timeout: 60_000,
  })
  if (made.status !== 0) throw new Error(`${words.join(' ')} left with ${made.status}: ${made.stderr}`)
  return made.stderr
}

async function together(posthorn: Posthorn, sink: Sink, say: (line: string) => void): Promise<void> {
  await sink.received(2 * CALLS)
  const began = performance.now()
  const took: number[] = []
  const call = async (_none: unknown, n: number): Promise<Result> => {
    const result = await posthorn.sendmail(MESSAGE.replace('one line', marked(n)), RECIPIENT)
    took.push(performance.now() - began)
    return result
  }
  const results = await Promise.all(Array.from({ length: PARALLEL }, call))
  const sent = results.filter(({ code }) => code === 0).length
  const later = results.filter(({ code }) => code === 75).length
  await sink.received(2 * CALLS + sent)
  // what came twice, or came for a 75, is there when nothing is left to be sent
  await posthorn.queueEmpty()
  const [half = 0, last = 0] = [quantile(took, 0.5), quantile(took, 1)]
  say(`${PARALLEL} at once: half after ${half.toFixed(0)} ms, all after ${last.toFixed(0)} ms`)
  say(`${sent} left with 0 and arrived, ${later} with 75`)
  const wrong = results.find(({ code }) => code !== 0 && code !== 75)
  if (wrong) throw new Error(`one left with ${wrong.code}: ${wrong.stderr}`)
  const bad = results.flatMap(({ code }, n) => {
    const times = sink.mails.filter(({ content }) => content.includes(`${marked(n)}\r\n`)).length
    return times === (code === 0 ? 1 : 0) ? [] : [`number ${n} left with ${code} and arrived ${times} times`]
  })
  if (bad.length > 0) throw new Error(bad.join('; '))
}

function marked(n: number): string {
  return `call ${n} of ${PARALLEL}`
}
