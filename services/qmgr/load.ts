/**
 * What the spool's disk and the store say about taking new mail, told to every smtpd at each change (design rule
 * D6). `go`, or `refuse` with the resource that is short; deliveries go on either way.
 */
import { statfs } from 'node:fs/promises'
import type { Log } from '../../shared/base/log.ts'
import type { Payload } from '../../shared/bus/messages.ts'
import type { Health } from './journal.ts'

export type Load = Payload<'load'>

export interface Resources {
  health: Health
  /** Octets free for us on the spool's file system. */
  freeSpace: number
  freeInodes: number
}

const INTERVAL_MS = 1000
const LEAST_INODES = 100
/** Mail is let in again when there is this much more than the least: no flapping at the mark. */
const RELIEF = 1.1

export function judgeLoad(resources: Resources, least: number, current: Load): Load {
  const { health, freeSpace, freeInodes } = resources
  const mark = current.intake === 'go' ? 1 : RELIEF
  if (health !== 'good') return { intake: 'refuse', reason: health === 'full' ? 'disk full' : 'queue store' }
  if (freeSpace < least * mark) return { intake: 'refuse', reason: 'disk space' }
  if (freeInodes < LEAST_INODES * mark) return { intake: 'refuse', reason: 'inodes' }
  return { intake: 'go', reason: '' }
}

export interface LoadOptions {
  spool: string
  leastSpace: () => number
  health: () => Health
  onChange: (load: Load) => void
  log: Log
}

export class LoadWatch {
  readonly #options: LoadOptions
  readonly #timer: NodeJS.Timeout
  #resources: Resources = {
    health: 'good',
    freeSpace: Number.MAX_SAFE_INTEGER,
    freeInodes: Number.MAX_SAFE_INTEGER,
  }
  current: Load = { intake: 'go', reason: '' }

  constructor(options: LoadOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.look(), INTERVAL_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async look(): Promise<void> {
    try {
      const { bavail, bsize, ffree, files } = await statfs(this.#options.spool)
      // File systems without a fixed number of inodes report none at all.
      this.#resources.freeInodes = files === 0 ? Number.MAX_SAFE_INTEGER : ffree
      this.#resources.freeSpace = bavail * bsize
    } catch (error) {
      this.#options.log.error({ err: error }, 'the spool cannot be looked at')
      this.#resources.freeSpace = 0
    }
    this.refresh()
  }

  refresh(): void {
    this.#resources.health = this.#options.health()
    const next = judgeLoad(this.#resources, this.#options.leastSpace(), this.current)
    if (next.intake === this.current.intake && next.reason === this.current.reason) return
    this.#options.log.warn({ from: this.current, to: next }, 'intake')
    this.current = next
    this.#options.onChange(next)
  }
}
