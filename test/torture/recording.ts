/**
 * Runs the traced qmgr under strace, life after life on one spool, and gives back the calls of each.
 *
 * Needs strace: the machine's own, or Debian's package unpacked beside (`support/debian.ts`). `null` where there is
 * none, or where the kernel does not let us trace.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { debianPrograms } from '../support/debian.ts'
import { within } from '../support/wait.ts'
import type { Orders } from './power-qmgr.ts'
import { TRACED_CALLS, VOLATILE } from './replay.ts'
import { type Call, readTrace } from './trace.ts'

/** As large as the store makes it: then it makes none of its own, and the trace stays small. */
export const RESERVE_OCTETS = 4 << 20
/** The longest write that is recorded whole. */
const LONGEST = 4 << 20
const PATIENCE_MS = 120_000
const BUILT = resolve('dist/torture')

export interface Recording {
  spool: string
  tellsTo: string
  lives: Life[]
}

export interface Life {
  /** In order. */
  calls: Call[]
  /** What stood below the spool when it had ended, by path. */
  left: Map<string, Buffer>
  killed: boolean
}

export interface Plan {
  directory: string
  seed: number
  /** Messages in all, over all lives. */
  messages: number
  lives: number
  /** Commits are not synced: the rig must find losses. */
  forgetful: boolean
}

export function findStrace(): string | null {
  return debianPrograms('strace')?.find('strace') ?? null
}

export function makeReserve(spool: string): void {
  writeFileSync(join(spool, 'reserve'), '')
  truncateSync(join(spool, 'reserve'), RESERVE_OCTETS)
}

export async function record(strace: string, plan: Plan): Promise<Recording> {
  await buildPrograms()
  const spool = join(plan.directory, 'spool')
  const tellsTo = join(plan.directory, 'told')
  mkdirSync(spool, { recursive: true })
  makeReserve(spool)
  const lives: Life[] = []
  const share = Math.ceil(plan.messages / plan.lives)
  for (let life = 0; life < plan.lives; life++) {
    const first = life * share
    const last = life === plan.lives - 1
    const calls = await runTraced(strace, plan, {
      directory: plan.directory,
      tellsTo,
      seed: plan.seed,
      first,
      end: last ? plan.messages : first + share,
      submitters: 4,
      dieAfter: last ? null : Math.ceil(share / 2),
    })
    lives.push({ calls, left: readFiles(spool), killed: !last })
  }
  return { spool, tellsTo, lives }
}

function readFiles(spool: string): Map<string, Buffer> {
  const paths = readdirSync(spool, { recursive: true, encoding: 'utf8' }).map((name) => join(spool, name))
  const traced = paths.filter((path) => !VOLATILE.test(path) && !path.endsWith('/reserve'))
  const files = traced.filter((path) => statSync(path).isFile())
  return new Map(files.map((path) => [path, readFileSync(path)]))
}

async function buildPrograms(): Promise<void> {
  await build({
    entryPoints: {
      'power-qmgr': 'test/torture/power-qmgr.ts',
      'pragma-hook': 'test/torture/pragma-hook.ts',
      'store-thread': 'services/qmgr/store-thread.ts',
    },
    outdir: BUILT,
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    sourcemap: true,
    logLevel: 'warning',
  })
}

async function runTraced(strace: string, plan: Plan, orders: Orders): Promise<Call[]> {
  const output = join(plan.directory, 'trace')
  for (const leftover of ['trace', 'qmgr.sock', 'resolver.sock'])
    rmSync(join(plan.directory, leftover), { force: true })
  const words = ['-f', '-q', '-xx', '-s', String(LONGEST), '-e', `trace=${TRACED_CALLS}`, '-o', output]
  const program = ['--import', join(BUILT, 'pragma-hook.js'), join(BUILT, 'power-qmgr.js')]
  const child = spawn(strace, [...words, process.execPath, ...program, JSON.stringify(orders)], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // a group of its own, so that strace and what it traces end together
    env: {
      ...process.env,
      UV_USE_IO_URING: '0', // calls in a ring pass strace by
      POSTHORN_TORTURE_FORGETFUL: plan.forgetful ? 'yes' : 'no',
    },
  })
  let errors = ''
  child.stderr.on('data', (text) => {
    errors += String(text)
  })
  const exit = within('the traced qmgr', PATIENCE_MS, once(child, 'exit')).catch((error: unknown) => {
    process.kill(-(child.pid ?? process.pid), 'SIGKILL')
    throw error
  })
  const [code, signal] = (await exit) as [number | null, string | null]
  const killed = signal === 'SIGKILL' || code === 137
  if (orders.dieAfter === null ? code !== 0 : !killed || !existsSync(output))
    throw new Error(`the traced qmgr left with ${code ?? signal}: ${errors}`)
  return readTrace(readFileSync(output, 'latin1'))
}
