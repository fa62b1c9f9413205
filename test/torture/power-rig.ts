/**
 * The power-cut rig: qmgr's calls are recorded once, then the power is cut at every one of them in turn. For each
 * cut the spool is made as several disks might hold it, opened again, and compared with what had been promised.
 *
 * Without a stride every call is a cut; with one, only so many, spread over the whole recording.
 * Read next: `disk.ts` for what a disk may do, `power-oracle.ts` for what must hold.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { Fate } from './disk.ts'
import { memoryFolder } from './ledger.ts'
import { type Findings, inspect } from './power-oracle.ts'
import { type Random, seeded } from './random.ts'
import { makeReserve, type Recording, record } from './recording.ts'
import { Replay } from './replay.ts'
import { readTold } from './scene.ts'

export interface PowerOptions {
  strace: string
  seed: number
  messages: number
  /** At most so many cuts; null: every call. */
  cuts: number | null
  forgetful?: boolean
  onProgress?: (done: number, of: number) => void
}

export interface PowerResult {
  calls: number
  cuts: number
  disks: number
  /** Promises at the last cut. */
  accepted: number
  lost: number
  corrupted: number
  doubleBounced: number
  /** The first few, with the cut and the disk. */
  examples: string[]
}

const LIVES = 3
const MOST_EXAMPLES = 12

/** What a disk does with what nobody has synced. */
const fates: Readonly<Record<string, (random: Random) => Fate>> = {
  'nothing unsynced kept': () => ({ write: () => 'lost', sector: () => false, name: () => false }),
  'everything kept': () => ({ write: () => 'kept', sector: () => true, name: () => true }),
  'names without data': () => ({ write: () => 'lost', sector: () => false, name: () => true }),
  'data without names': () => ({ write: () => 'kept', sector: () => true, name: () => false }),
  'writes in any order': (random) => ({
    write: () => (random.chance(0.5) ? 'kept' : 'lost'),
    sector: () => true,
    name: () => random.chance(0.5),
  }),
  'torn sectors': (random) => ({
    write: () => 'torn',
    sector: () => random.chance(0.5),
    name: () => random.chance(0.5),
  }),
}

export async function cutPower(options: PowerOptions): Promise<PowerResult> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-power-'))
  const scratch = mkdtempSync(join(memoryFolder(), 'posthorn-power-'))
  try {
    const { strace, seed, messages, forgetful = false } = options
    const recording = await record(strace, { directory, seed, messages, lives: LIVES, forgetful })
    return cutAll(recording, scratch, options)
  } finally {
    rmSync(directory, { recursive: true, force: true })
    rmSync(scratch, { recursive: true, force: true })
  }
}

function cutAll(recording: Recording, scratch: string, options: PowerOptions): PowerResult {
  const random = seeded(options.seed)
  const moments = countMoments(recording)
  const wanted = Math.min(options.cuts ?? moments, moments)
  const result: PowerResult = {
    calls: moments,
    cuts: 0,
    disks: 0,
    accepted: 0,
    lost: 0,
    corrupted: 0,
    doubleBounced: 0,
    examples: [],
  }
  let moment = 0
  walk(recording, (replay) => {
    // evenly over the whole recording, whatever their number
    const due = Math.floor((moment * wanted) / moments) !== Math.floor(((moment + 1) * wanted) / moments)
    moment++
    if (!due) return
    result.cuts++
    cutHere(replay, { recording, scratch, random, result, moment })
    options.onProgress?.(result.cuts, wanted)
  })
  return result
}

function countMoments(recording: Recording): number {
  let count = 0
  walk(recording, () => count++)
  return count
}

function walk({ lives, spool, tellsTo }: Recording, onMoment: (replay: Replay) => void): void {
  const replay = new Replay(spool, tellsTo)
  let base = 0
  for (const { calls, left, killed } of lives) {
    for (const call of calls) {
      // lives follow each other: later calls have later times
      const shifted = { ...call, begun: call.begun + base, ended: call.ended + base }
      if (replay.play(shifted)) onMoment(replay)
    }
    base += (calls.at(-1)?.ended ?? 0) + 2
    const differences = replay.endProcess(left, base - 1)
    if (!killed && differences > 0)
      throw new Error(`the model of the disk is wrong: ${differences} files are not as recorded`)
  }
}

interface Cut {
  recording: Recording
  scratch: string
  random: Random
  result: PowerResult
  moment: number
}

function cutHere(replay: Replay, { recording, scratch, random, result, moment }: Cut): void {
  const told = readTold(replay.told)
  result.accepted = told.filter((one) => one.kind === 'accepted').length
  const seen: Survivors[] = []
  for (const [name, makeFate] of Object.entries(fates)) {
    const survivors = replay.disk.survivors(makeFate(random))
    if (seen.some((other) => isSame(other, survivors))) continue
    seen.push(survivors)
    const spool = join(scratch, 'spool')
    rmSync(spool, { recursive: true, force: true })
    layOut(survivors, recording.spool, spool)
    result.disks++
    note(result, inspect(spool, told), `cut ${moment}, ${name}`)
  }
}

type Survivors = ReturnType<Replay['disk']['survivors']>

function isSame(one: Survivors, other: Survivors): boolean {
  if (one.size !== other.size) return false
  return [...one].every(([path, content]) => {
    const there = other.get(path)
    return content && there ? content === there || content.equals(there) : content === there
  })
}

/** A file whose directory is gone is gone with it. */
function layOut(found: Survivors, from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  makeReserve(to)
  const targetOf = (path: string) => join(to, relative(from, path))
  for (const [path, content] of found) if (content === null) mkdirSync(targetOf(path))
  for (const [path, content] of found) {
    const hasHome = dirname(path) === from || found.has(dirname(path))
    if (content !== null && hasHome) writeFileSync(targetOf(path), content)
  }
}

function note(result: PowerResult, findings: Findings, where: string): void {
  for (const kind of ['lost', 'corrupted', 'doubleBounced'] as const) {
    result[kind] += findings[kind].length
    for (const what of findings[kind].slice(0, 2)) {
      if (result.examples.length < MOST_EXAMPLES) result.examples.push(`${where}: ${kind}: ${what}`)
    }
  }
}
