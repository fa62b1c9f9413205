/**
 * Plain loads, smtp-source -> the server -> smtp-sink: servers are started once, warmed, and loaded in turn, so that
 * a slow moment of the machine meets all of them; the median of the runs is printed.
 */
import type { Programs } from '../support/debian.ts'
import { findTools } from './generator.ts'
import { measure, messagesFor, type Run } from './measure.ts'
import { type BenchOptions, type Case, UsageError } from './options.ts'
import { type Memory, memoryOf } from './process-tree.ts'
import { describeCase, medians, type Result, table } from './report.ts'
import { diskFolder, type Server, type ServerName, startLocalServer, startServer } from './servers.ts'

const WARM_UP_MESSAGES = 2000

export interface Entrant {
  server: Server
  idle: Memory
}

/** Runs `work` with the servers up, those that could be started, and ends them whatever becomes of it. */
export async function withServers(
  start: readonly (() => Promise<Server | null>)[],
  work: (entrants: Entrant[]) => Promise<void>,
): Promise<void> {
  const entrants: Entrant[] = []
  try {
    for (const one of start) {
      const server = await one()
      if (server) entrants.push({ server, idle: memoryOf(server.pid) })
    }
    await work(entrants)
  } finally {
    for (const { server } of entrants) await server.stop()
  }
}

export async function benchCases(
  options: BenchOptions,
  { cases, local }: { cases: readonly Case[]; local: boolean },
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const tools = findTools()
  const folder = diskFolder()
  const names = ['posthorn', ...options.peers] as const
  const starts = names.map((name) => () => start(name, local, tools, folder))
  await withServers(starts, async (entrants) => {
    if (!options.json) say(`queues below ${folder}, sync on; medians of ${options.repeat} [least..most]`)
    for (const load of cases) {
      const results = await runCase(entrants, tools, load, options.repeat, signal)
      const figures = { case: load, results: results.map((one) => ({ ...one, median: medians(one.runs) })) }
      say(options.json ? JSON.stringify(figures) : `\n${describeCase(load)}\n${table(results)}`)
    }
  })
}

function start(name: ServerName, local: boolean, tools: Programs, folder: string): Promise<Server> {
  if (!local) return startServer(name, tools, folder)
  if (name === 'posthorn' || name === 'postfix') return startLocalServer(name, folder)
  throw new UsageError(`--local: ${name} is not made ready for that`)
}

export type Attempt = <T>(server: Server, what: () => Promise<T>) => Promise<T | null>

/** Nothing is forgiven: the first failure ends the bench. */
const strict: Attempt = (_server, what) => what()

/** Warm-up, then `repeat` rounds in which every server has its turn. Null of `attempt` leaves a run out. */
export async function runCase(
  entrants: readonly Entrant[],
  tools: Programs,
  load: Case,
  repeat: number,
  signal: AbortSignal,
  attempt = strict,
): Promise<Result[]> {
  const results: Result[] = entrants.map(({ server, idle }) => ({
    name: server.name,
    runs: [] as Run[],
    idle,
    loaded: { processes: 0, pssMiB: 0 },
  }))
  const run = ({ server }: Entrant, messages: number) =>
    attempt(server, () => measure(server, tools, load, messages, signal))
  for (const entrant of entrants)
    await run(entrant, Math.min(WARM_UP_MESSAGES, messagesFor(entrant.server, load)))
  for (let round = 0; round < repeat; round++) {
    for (const [at, entrant] of entrants.entries()) {
      const result = results[at]
      const figures = await run(entrant, messagesFor(entrant.server, load))
      if (!figures || !result) continue
      result.runs.push(figures)
      result.loaded = memoryOf(entrant.server.pid)
    }
  }
  return results
}
