/**
 * Every target in one run: each row of the table is a load that Posthorn and its peers meet in turn, medians of the
 * rounds, and says what ratio to Postfix is wanted and whether it was reached. Latencies are those of the end of
 * the content, at half the rate that Postfix relays over kept connections in this run, the same for all.
 *
 * Other peers than Postfix are printed where they can be run; one that cannot says why and is left out.
 */
import { loadavg } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { Programs } from '../support/debian.ts'
import { type Attempt, type Entrant, runCase, withServers } from './cases.ts'
import { findTools } from './generator.ts'
import { measure, messagesFor } from './measure.ts'
import { type BenchOptions, type Case, type PeerName, plainCase } from './options.ts'
import { quantile, sendPaced } from './paced.ts'
import { memoryOf } from './process-tree.ts'
import { describeCase, median, medians, type Result } from './report.ts'
import { diskFolder, type Server, startLocalServer, startServer } from './servers.ts'
import { longestCommit } from './stall.ts'

/** One line of the table: a figure of each server, and what ours must be of Postfix's. */
export interface Row {
  title: string
  unit: string
  digits: number
  wanted: { least: number } | { most: number } | null
  figures: Partial<Record<Server['name'], number>>
}

const PACED_SECONDS = 10
const PACED_SESSIONS = 50
const SAMPLE_MS = 1000

interface Bench {
  entrants: readonly Entrant[]
  tools: Programs
  repeat: number
  signal: AbortSignal
  messages: number
  add: (row: Row) => void
  attempt: Attempt
}

export async function benchTargets(
  options: BenchOptions,
  messages: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const tools = findTools()
  const folder = diskFolder()
  const rows: Row[] = []
  const add = (row: Row) => {
    rows.push(row)
    say(options.json ? JSON.stringify(row) : describeRow(row))
  }
  const common = { tools, repeat: options.repeat, signal, messages, add, attempt: lenient(say, signal) }
  const head = `queues below ${folder}, sync on; medians of ${options.repeat}; ${loadAverage()} at the start\n`
  if (!options.json) say(head)
  const starts = relayStarts(options, tools, folder, say)
  await withServers(starts, async (entrants) => {
    const bench = { ...common, entrants }
    const rate = await fastRows(bench)
    await memoryRow(bench)
    await latencyRow(bench, rate / 2)
    await otherRows(bench)
    const ours = entrants[0]?.server
    if (ours?.posthorn && !options.json) say(await longestCommit(ours.posthorn, ours.delivered()))
  })
  const locals = (['posthorn', 'postfix'] as const).map((name) => () => startLocalServer(name, folder))
  await withServers(locals, (entrants) => localRow({ ...common, entrants }))
  if (!options.json) say(`\n${renderRows(rows)}\n${loadAverage()} at the end`)
}

function loadAverage(): string {
  return `load average ${loadavg()[0]?.toFixed(1)}`
}

/** A peer that nothing is asked of loses its place in the row when it fails; it may have messages left over. */
function lenient(say: (line: string) => void, signal: AbortSignal): Attempt {
  const failed = new Set<string>()
  return async (server, what) => {
    if (failed.has(server.name)) return null
    if (server.name === 'posthorn' || server.name === 'postfix') return what()
    return what().catch((error: unknown) => {
      if (signal.aborted) throw error
      failed.add(server.name)
      say(`${server.name} is left out from here: ${error instanceof Error ? error.message : error}`)
      return null
    })
  }
}

/** Posthorn and Postfix must run. */
function relayStarts(
  options: BenchOptions,
  tools: Programs,
  folder: string,
  say: (line: string) => void,
): (() => Promise<Server | null>)[] {
  const others = options.peers.filter((name): name is Exclude<PeerName, 'postfix'> => name !== 'postfix')
  const optional = others.map(
    (name) => () =>
      startServer(name, tools, folder).catch((error: unknown) => {
        say(`${name} is left out: ${error instanceof Error ? error.message : error}`)
        return null
      }),
  )
  const needed = (['posthorn', 'postfix'] as const).map((name) => () => startServer(name, tools, folder))
  return [...needed, ...optional]
}

/** Gives the rate at which Postfix relays over kept connections. */
async function fastRows(bench: Bench): Promise<number> {
  const main = await relayRow(bench, plainCase(bench.messages, 1), 5)
  bench.add({
    title: 'CPU per message, all processes, the same load',
    unit: 'ms',
    digits: 3,
    wanted: { most: 0.25 },
    figures: figuresOf(main, 'cpuMs'),
  })
  return figuresOf(main, 'delivered').postfix ?? Number.NaN
}

/** After the rows about memory and latency, so that large messages have no part in those. */
async function otherRows(bench: Bench): Promise<void> {
  const { messages, entrants } = bench
  await relayRow(bench, plainCase(messages, 2, { reconnect: true }), 3)
  await relayRow(bench, plainCase(messages, 4, { sessions: 1 }), 1.3)
  await relayRow(bench, plainCase(messages, 10, { sessions: 20, recipients: 50 }), 3)
  await relayRow(bench, plainCase(messages, 20, { sessions: 10, size: 1 << 20 }), 1.2)
  const figures = Object.fromEntries(entrants.map(({ server }) => [server.name, memoryOf(server.pid).pssMiB]))
  bench.add({ title: 'PSS after all of these', unit: 'MiB', digits: 0, wanted: null, figures })
}

async function relayRow(bench: Bench, load: Case, least: number): Promise<Result[]> {
  const { entrants, tools, repeat, signal, add, attempt } = bench
  const results = await runCase(entrants, tools, load, repeat, signal, attempt)
  add({
    title: `relay, ${describeCase(load)}`,
    unit: '/s',
    digits: 0,
    wanted: { least },
    figures: figuresOf(results, 'delivered'),
  })
  return results
}

async function localRow(bench: Bench): Promise<void> {
  const load = plainCase(bench.messages, 4, { sessions: 20 })
  const results = await runCase(bench.entrants, bench.tools, load, bench.repeat, bench.signal)
  bench.add({
    title: `into a Maildir, ${describeCase(load)}`,
    unit: '/s',
    digits: 0,
    wanted: { least: 2 },
    figures: figuresOf(results, 'delivered'),
  })
}

/** The most that a sample finds while 100 sessions send. */
async function memoryRow(bench: Bench): Promise<void> {
  const load = plainCase(bench.messages, 1, { sessions: 100 })
  const figures = await inTurn(bench, async (server) => {
    const done = new AbortController()
    const samples = sampleMemory(server.pid, done.signal)
    await measure(server, bench.tools, load, messagesFor(server, load), bench.signal).finally(() =>
      done.abort(),
    )
    return Math.max(...(await samples), memoryOf(server.pid).pssMiB)
  })
  bench.add({ title: 'PSS at 100 sessions', unit: 'MiB', digits: 0, wanted: { most: 1 }, figures })
}

async function sampleMemory(pid: number, signal: AbortSignal): Promise<number[]> {
  const samples: number[] = []
  while (await pause(SAMPLE_MS, true, { signal }).catch(() => false)) samples.push(memoryOf(pid).pssMiB)
  return samples
}

async function latencyRow(bench: Bench, perSecond: number): Promise<void> {
  const gaps: number[] = []
  const figures = await inTurn(bench, async (server) => {
    const messages = Math.ceil(perSecond * PACED_SECONDS)
    const pace = { port: server.port, sessions: PACED_SESSIONS, perSecond, messages, size: 4096 }
    const before = server.delivered()
    const paced = await sendPaced({ ...pace, recipient: server.recipient }, bench.signal)
    if (server.name === 'posthorn') gaps.push(paced.longestGapMs)
    await drained(server, before + messages, bench.signal)
    return quantile(paced.accepted, 0.99)
  })
  const rate = `${perSecond.toFixed(0)}/s`
  const title = `acceptance p99 at ${rate}, half of Postfix's rate`
  bench.add({ title, unit: 'ms', digits: 2, wanted: { most: 1 }, figures })
  const longest = { posthorn: Math.max(...gaps) }
  bench.add({
    title: `longest time without a 250 at ${rate}`,
    unit: 'ms',
    digits: 0,
    wanted: null,
    figures: longest,
  })
}

/** What one server has left over must not be the next one's load. */
async function drained(server: Server, count: number, signal: AbortSignal): Promise<void> {
  for (let step = 0; step < 600 && server.delivered() < count; step++) await pause(100, undefined, { signal })
  if (server.delivered() < count)
    throw new Error(`${server.name} has not delivered everything after a minute`)
}

/** The median of each server's rounds. */
async function inTurn(
  { entrants, repeat, attempt }: Bench,
  one: (server: Server) => Promise<number>,
): Promise<Row['figures']> {
  const values = new Map<Server['name'], number[]>(entrants.map(({ server }) => [server.name, []]))
  for (let run = 0; run < repeat; run++)
    for (const { server } of entrants) {
      const value = await attempt(server, () => one(server))
      if (value !== null) values.get(server.name)?.push(value)
    }
  return Object.fromEntries(
    [...values].flatMap(([name, all]) => (all.length > 0 ? [[name, median(all)]] : [])),
  )
}

function figuresOf(results: readonly Result[], figure: 'delivered' | 'cpuMs'): Row['figures'] {
  const measured = results.filter(({ runs }) => runs.length > 0)
  return Object.fromEntries(measured.map(({ name, runs }) => [name, medians(runs)[figure]]))
}

export type Verdict = 'reached' | 'MISSED' | ''

export function verdictOf({ wanted, figures }: Row): { ratio: number; verdict: Verdict } {
  const ratio = (figures.posthorn ?? Number.NaN) / (figures.postfix ?? Number.NaN)
  if (!wanted || Number.isNaN(ratio)) return { ratio, verdict: '' }
  const reached = 'least' in wanted ? ratio >= wanted.least : ratio <= wanted.most
  return { ratio, verdict: reached ? 'reached' : 'MISSED' }
}

function describeRow(row: Row): string {
  const parts = Object.entries(row.figures).map(([name, value]) => `${name} ${value.toFixed(row.digits)}`)
  return `${row.title}: ${parts.join(', ')} ${row.unit}`
}

export function renderRows(rows: readonly Row[]): string {
  const names = (['posthorn', 'postfix', 'haraka', 'sendmail'] as const).filter((name) =>
    rows.some(({ figures }) => figures[name] !== undefined),
  )
  const lines = rows.map((row) => {
    const { ratio, verdict } = verdictOf(row)
    const figures = names.map((name) => row.figures[name]?.toFixed(row.digits) ?? '')
    const shown = Number.isNaN(ratio) ? '' : `${ratio.toFixed(2)}x`
    return [row.title, row.unit, ...figures, shown, wantedText(row.wanted), verdict]
  })
  return aligned([['case', '', ...names, 'ratio', 'wanted', ''], ...lines])
}

function wantedText(wanted: Row['wanted']): string {
  if (!wanted) return ''
  return 'least' in wanted ? `>= ${wanted.least}x` : `<= ${wanted.most}x`
}

/** The first column to the left, figures to the right. */
function aligned(lines: readonly string[][]): string {
  const widths = (lines[0] ?? []).map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  const cell = (text: string, at: number) =>
    at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0)
  return lines.map((line) => line.map(cell).join('  ').trimEnd()).join('\n')
}
