/**
 * The fault rig: the running qmgr's system calls are made to fail for a while (by strace's injection, or by taking
 * its descriptors away), as a bad disk, a full one or a forgotten limit would. Clients must hear 4xx and nothing
 * worse, no process may be started anew, and after the relief everything promised arrives, once.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { until, within } from '../support/wait.ts'
import type { Verdict } from './oracle.ts'
import { Range } from './range.ts'

export interface Fault {
  name: string
  /** What strace injects, one expression each; empty: `descriptors` says what happens. */
  inject: readonly string[]
  /** No more descriptors than are open now. */
  noDescriptors?: boolean
}

export const faults: readonly Fault[] = [
  { name: 'EIO from one sync', inject: ['fsync,fdatasync:error=EIO:when=3'] },
  { name: 'EIO from every sync', inject: ['fsync,fdatasync:error=EIO'] },
  { name: 'EIO from a write in mid-batch', inject: ['pwrite64:error=EIO:when=5'] },
  { name: 'ENOSPC in mid-batch', inject: ['pwrite64:error=ENOSPC:when=5+3'] },
  { name: 'ENOSPC from every write', inject: ['pwrite64:error=ENOSPC'] },
  { name: 'read-only remount', inject: ['pwrite64,ftruncate,unlink,rename,mkdir:error=EROFS'] },
  { name: 'EMFILE', inject: [], noDescriptors: true },
]

export interface FaultResult {
  name: string
  /** Replies and broken connections that clients saw, besides 250. */
  heard: string[]
  /** Worse than 4xx. */
  hard: string[]
  /** Nobody was refused: the fault was not felt. */
  felt: boolean
  restarted: string[]
  /** Refused with 4xx after the dot, and delivered all the same: the client's next try makes it two. */
  refusedButArrived: number
  verdict: Verdict
}

const FELT_MS = 20_000
const REFUSALS = 3
/** How long a fault lasts once it is felt: several tries to heal fail. */
const LASTS_MS = 1500

export async function inflict(fault: Fault, strace: string | null): Promise<FaultResult> {
  const range = await Range.open()
  try {
    range.startLoad()
    await range.progressed(10)
    const before = workersOf(range)
    const qmgr = range.posthorn.worker('qmgr')
    const relieve = await begin(fault, qmgr, strace)
    const felt = await until('a refusal', () => range.refusals() >= REFUSALS, FELT_MS).catch(() => false)
    await pause(LASTS_MS)
    await relieve()
    await range.progressed(10)
    const after = workersOf(range)
    await range.settle()
    const heard = range.troubles()
    // what a failed commit has left behind must not come to life at the next start
    await range.posthorn.killAll()
    await range.restart()
    const verdict = await range.settle()
    const arrived = range.arrived()
    return {
      name: fault.name,
      heard,
      hard: heard.filter((what) => !/^4\d\d /.test(what)),
      felt: felt === true,
      restarted: before.filter((worker) => !after.includes(worker)),
      refusedButArrived: [...range.doubtful()].filter((mark) => arrived.has(mark)).length,
      verdict,
    }
  } finally {
    await range.close()
  }
}

/** An lda comes and goes as there is work; all others must live on. */
function workersOf(range: Range): string[] {
  const lasting = range.posthorn.workers().filter(({ name }) => !name.startsWith('lda'))
  return lasting.map(({ name, pid }) => `${name} ${pid}`)
}

/** Resolves when the fault is on, with what ends it. */
function begin(fault: Fault, pid: number, strace: string | null): Promise<() => Promise<void>> {
  if (fault.noDescriptors) return Promise.resolve(takeDescriptors(pid))
  if (!strace) throw new Error('faults are injected by strace, and there is none')
  return injectInto(strace, pid, fault.inject)
}

async function injectInto(
  strace: string,
  pid: number,
  inject: readonly string[],
): Promise<() => Promise<void>> {
  const calls = inject.map((expression) => expression.split(':')[0] ?? '')
  const words = inject.flatMap((expression) => ['-e', `inject=${expression}`])
  const tracer = spawn(
    strace,
    ['-f', '-p', String(pid), '-e', `trace=${calls.join()}`, ...words, '-o', '/dev/null'],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  await attached(tracer)
  return async () => {
    const left = once(tracer, 'exit')
    tracer.kill('SIGINT') // it lets go of the process, which lives on
    await within('strace to detach', 30_000, left)
  }
}

async function attached(tracer: ChildProcess): Promise<void> {
  let said = ''
  const yes = new Promise<void>((resolve, reject) => {
    tracer.stderr?.on('data', (text) => {
      said += String(text)
      if (/attached/.test(said)) resolve()
    })
    tracer.once('exit', () => reject(new Error(`strace cannot attach: ${said}`)))
  })
  await within('strace to attach', 30_000, yes)
}

function takeDescriptors(pid: number): () => Promise<void> {
  const set = (limit: number) => {
    const done = spawnSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`], { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`prlimit: ${done.stderr}`)
  }
  const before = Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1])
  const open = readdirSync(`/proc/${pid}/fd`).map(Number)
  // the lowest free number must be out of reach, or one more file could be opened
  const free = [...Array(open.length + 1).keys()].find((fd) => !open.includes(fd)) ?? open.length
  set(free)
  return async () => set(before)
}
