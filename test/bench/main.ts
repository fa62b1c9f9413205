/**
 * `npm run bench`: how fast Posthorn relays, how much CPU and memory it takes, beside a peer when asked.
 *
 * smtp-source -> the server -> smtp-sink, all on this machine's loopback, sync to disk on. Servers are started once,
 * warmed, and loaded in turn, so that a slow moment of the machine meets both; the median of the runs is printed.
 * Only ratios of one call mean something: absolute figures move with the machine. Everything that was started is
 * stopped, also after ctrl-C. Leaves with 64 for wrong words, 1 for a run that failed.
 */
import type { Programs } from '../support/debian.ts'
import { findTools } from './generator.ts'
import { measure, type Run } from './measure.ts'
import { type BenchOptions, type Case, readOptions, USAGE, UsageError } from './options.ts'
import { type Memory, memoryOf } from './process-tree.ts'
import { describeCase, medians, type Result, table } from './report.ts'
import { diskFolder, type Server, startServer } from './servers.ts'

const WARM_UP_MESSAGES = 2000

const say = (line: string) => process.stdout.write(`${line}\n`)

interface Entrant {
  server: Server
  idle: Memory
}

async function bench(options: BenchOptions, signal: AbortSignal): Promise<void> {
  const tools = findTools()
  const folder = diskFolder()
  const entrants: Entrant[] = []
  try {
    for (const name of options.peer ? (['posthorn', options.peer] as const) : (['posthorn'] as const)) {
      const server = await startServer(name, tools, folder)
      entrants.push({ server, idle: memoryOf(server.pid) })
    }
    if (!options.json) say(`queues below ${folder}, sync on; medians of ${options.repeat} [least..most]`)
    for (const load of options.cases) await benchCase(entrants, tools, load, options, signal)
  } finally {
    for (const { server } of entrants) await server.stop()
  }
}

async function benchCase(
  entrants: readonly Entrant[],
  tools: Programs,
  load: Case,
  options: BenchOptions,
  signal: AbortSignal,
): Promise<void> {
  const results: Result[] = entrants.map(({ server, idle }) => ({
    name: server.name,
    runs: [] as Run[],
    idle,
    loaded: { processes: 0, pssMiB: 0 },
  }))
  for (const { server } of entrants) {
    const share = messagesFor(server, load)
    await measure(server, tools, load, Math.min(WARM_UP_MESSAGES, share), signal)
  }
  for (let run = 0; run < options.repeat; run++) {
    for (const [at, { server }] of entrants.entries()) {
      const result = results[at]
      result?.runs.push(await measure(server, tools, load, messagesFor(server, load), signal))
      if (result) result.loaded = memoryOf(server.pid)
    }
  }
  const figures = { case: load, results: results.map((one) => ({ ...one, median: medians(one.runs) })) }
  say(options.json ? JSON.stringify(figures) : `\n${describeCase(load)}\n${table(results)}`)
}

function messagesFor(server: Server, load: Case): number {
  return server.name === 'posthorn' ? load.messages : load.peerMessages
}

async function main(): Promise<number> {
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort())
  try {
    await bench(readOptions(process.argv.slice(2)), stop.signal)
    return 0
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`)
    if (error instanceof UsageError) process.stderr.write(`${USAGE}\n`)
    return error instanceof UsageError ? 64 : 1
  }
}

process.exitCode = await main()
