/**
 * The crash rig: kill -9 of one process after the other, of mcp and of everything at once, under load and also
 * before the last wound has healed; then everything that got 250 must be found where it belongs.
 *
 * Half of the streams are cut through: what then gets 250 without having been stored must have arrived.
 *
 * Works in rounds, each on a spool of its own, so that books and mail stay small however many kills are asked for.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../support/wait.ts'
import type { Verdict } from './oracle.ts'
import { type Random, seeded } from './random.ts'
import { Range } from './range.ts'

export interface KillOptions {
  kills: number
  seed: number
  onProgress?: (done: number) => void
}

export interface KillResult {
  kills: number
  /** By victim. */
  victims: Map<string, number>
  verdict: Verdict
}

const ROUND = 100
/** Of how many kills the next one comes without waiting for anything to recover. */
const HASTE = 0.4
const LONGEST_BREATH_MS = 250
const PROGRESS = 3

const VICTIMS = [
  ...['qmgr', 'qmgr', 'qmgr', 'qmgr', 'qmgr', 'qmgr', 'lda', 'lda', 'lda', 'smtpc', 'smtpc', 'smtpc'],
  ...['smtpd-1', 'smtpd-1', 'smtpd-2', 'smtpd-2', 'resolver', 'resolver', 'mcp', 'everything'],
] as [string, ...string[]]

export async function killAround({ kills, seed, onProgress }: KillOptions): Promise<KillResult> {
  const random = seeded(seed)
  const victims = new Map<string, number>()
  const verdicts: Verdict[] = []
  for (let done = 0; done < kills; done += ROUND) {
    verdicts.push(await oneRound(Math.min(ROUND, kills - done), random, victims))
    onProgress?.(Math.min(done + ROUND, kills))
  }
  return { kills, victims, verdict: sum(verdicts) }
}

async function oneRound(kills: number, random: Random, victims: Map<string, number>): Promise<Verdict> {
  const range = await Range.open({ cutThrough: true })
  try {
    range.startLoad()
    for (let n = 0; n < kills; n++) {
      if (random.chance(HASTE)) await pause(random.below(LONGEST_BREATH_MS))
      else await range.progressed(PROGRESS)
      const victim = random.pick(VICTIMS)
      await killOne(range, victim)
      victims.set(victim, (victims.get(victim) ?? 0) + 1)
    }
    await range.progressed(PROGRESS)
    return await range.settle()
  } finally {
    await range.close()
  }
}

async function killOne(range: Range, victim: string): Promise<void> {
  const { posthorn } = range
  if (victim === 'everything') {
    await posthorn.killAll()
    return range.restart()
  }
  if (victim === 'mcp') {
    // its workers are left alone and must leave by themselves, while the successor starts
    process.kill(posthorn.pid, 'SIGKILL')
    return range.restart()
  }
  // what does not run right now is being started again, so it will be there in a moment
  const pid = await until(`a ${victim}`, () => posthorn.worker(victim))
  process.kill(pid, 'SIGKILL')
}

function sum(verdicts: readonly Verdict[]): Verdict {
  const add = (of: (verdict: Verdict) => number) => verdicts.reduce((total, one) => total + of(one), 0)
  return {
    promised: add((one) => one.promised),
    duplicates: add((one) => one.duplicates),
    corrupted: add((one) => one.corrupted),
    lost: verdicts.flatMap((one) => one.lost),
    doubleBounced: verdicts.flatMap((one) => one.doubleBounced),
    strays: verdicts.flatMap((one) => one.strays),
    wronglyBounced: verdicts.flatMap((one) => one.wronglyBounced),
  }
}
