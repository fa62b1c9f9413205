/**
 * Looks at the resources once a second, keeps the state of each (`throttle.ts`), and tells every smtpd what it comes
 * to: go, wait or refuse, with the resource that is short (design rule D6 for the disk). Deliveries go on either
 * way. Trouble of the store and its end are seen at once (`refresh`).
 *
 * Open sessions are no part of what smtpd is told: `sessions.ts` counts them itself.
 */
import { statfs } from 'node:fs/promises'
import type { Log } from '../../shared/base/log.ts'
import { residentMemory } from '../../shared/base/memory.ts'
import type { Payload } from '../../shared/bus/messages.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Health } from './journal.ts'
import { readingsOf, SESSIONS } from './readings.ts'
import type { Spill } from './spill.ts'
import { type Throttle, throttle, worstOf } from './throttle.ts'

export type Load = Payload<'load'>

/** What the parts of qmgr say of themselves. */
export interface Vitals {
  health: Health
  entries: number
  octets: number
  sessions: number
  /** Messages accepted so far. */
  accepted: number
}

export interface LoadOptions {
  slice: () => QmgrSlice
  vitals: () => Vitals
  spill: Spill
  onChange: (load: Load) => void
  /** Each second, after the look. */
  onLook: () => void
  log: Log
  now: () => number
}

const INTERVAL_MS = 1000
const GO: Load = { intake: 'go', reason: '' }

export class LoadWatch {
  readonly #options: LoadOptions
  readonly #timer: NodeJS.Timeout
  #throttles: ReadonlyMap<string, Throttle> = new Map()
  #disk = { freeSpace: Number.MAX_SAFE_INTEGER, freeInodes: Number.MAX_SAFE_INTEGER }
  #looking = false
  #memory = 0
  #rate = { value: 0, accepted: 0, at: 0 }
  /** By worker: the last two heartbeats. */
  #lags: Record<string, [number, number]> = {}
  current: Load = GO

  constructor(options: LoadOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.look(), INTERVAL_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  throttles(): Throttle[] {
    return [...this.#throttles.values()]
  }

  /** mcp's word on all workers that run; one hiccup says nothing yet. */
  hearLags(lags: Readonly<Record<string, number>>): void {
    const next = Object.entries(lags).map(([worker, lag]): [string, [number, number]] => {
      return [worker, [lag, this.#lags[worker]?.[0] ?? 0]]
    })
    this.#lags = Object.fromEntries(next)
  }

  async look(): Promise<void> {
    if (this.#looking) return // a disk that hangs: the last look at it is not over
    this.#looking = true
    await this.#lookAtDisk()
    this.#looking = false
    this.#memory = residentMemory()
    this.#measureRate()
    this.#options.spill.tick()
    this.refresh()
    this.#options.onLook()
  }

  async #lookAtDisk(): Promise<void> {
    const { log, slice } = this.#options
    try {
      const { bavail, bsize, ffree, files } = await statfs(slice().spool)
      // File systems without a fixed number of inodes report none at all.
      const freeInodes = files === 0 ? Number.MAX_SAFE_INTEGER : ffree
      this.#disk = { freeSpace: bavail * bsize, freeInodes }
    } catch (error) {
      log.error({ err: error }, 'the spool cannot be looked at')
      this.#disk = { ...this.#disk, freeSpace: 0 }
    }
  }

  refresh(): void {
    const { log, now, slice, spill, vitals } = this.#options
    const { health, entries, octets, sessions } = vitals()
    const lags = Object.entries(this.#lags).map(([worker, two]) => [worker, Math.min(...two)] as const)
    const sample = {
      ...this.#disk,
      health,
      activeEntries: entries + spill.messages,
      activeOctets: octets + spill.octets,
      spillGrows: spill.grows,
      sessions,
      intakeRate: this.#rate.value,
      memory: this.#memory,
      lags: Object.fromEntries(lags),
    }
    const before = this.#throttles
    this.#throttles = throttle(before, readingsOf(sample, slice()), now())
    for (const [resource, { reading, state }] of this.#throttles) {
      const from = before.get(resource)?.state ?? 'go'
      if (from !== state) log.warn({ resource, from, to: state, value: reading.value }, 'throttle')
    }
    this.#tell()
  }

  #tell(): void {
    const counted = this.throttles().filter(({ reading }) => reading.resource !== SESSIONS)
    const worst = worstOf(counted)
    const { intake, reason } = this.current
    const next = worst ? loadOf(worst) : GO
    if (next.intake === intake && next.reason === reason) return
    this.current = next
    this.#options.onChange(next)
  }

  #measureRate(): void {
    const { accepted } = this.#options.vitals()
    const at = performance.now()
    const seconds = (at - this.#rate.at) / 1000
    this.#rate = { value: Math.round((accepted - this.#rate.accepted) / seconds), accepted, at }
  }
}

function loadOf({ reading, state }: Throttle): Load {
  return { intake: state, reason: reading.resource, ...(reading.storage && { storage: true }) }
}
