/**
 * The unbound that validates for the resolver: started with a configuration of ours as a user of its own, watched, and
 * started again when it dies or hangs. `onChange` hears whether its word can be had.
 *
 * Fails: never; what goes wrong is logged, and the resolver then takes unproven answers from the other name servers.
 * Next: `validator-life.ts` (what is decided), `unbound-config.ts`, `validator-probe.ts`.
 */
import { chmodSync, chownSync, closeSync, fchownSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../shared/base/log.ts'
import type { ProcessStatus } from '../../shared/bus/status.ts'
import type { ValidatorSlice } from '../../shared/config/slices.ts'
import { makeDirectory } from './directories.ts'
import type { LogCollector } from './log-collector.ts'
import { renderUnboundConfig } from './unbound-config.ts'
import { isHung, type Life, live, unborn } from './validator-life.ts'
import { answers, holdsPort } from './validator-probe.ts'
import { type Program, startProgram } from './worker-process.ts'

export interface ValidatorOptions {
  log: Log
  logs: LogCollector
  /** How often it is asked, milliseconds. */
  interval: () => number
  /** Whom it runs as; null: as mcp. */
  account: () => { uid: number; gid: number } | null
  onChange: (isUp: boolean) => void
}

const NAME = 'unbound'
/** While it starts, or has not answered. */
const FIRST_PROBES_MS = 100
const PATIENCE_MS = 2000
/** Until SIGTERM becomes SIGKILL. */
const FAREWELL_MS = 2000

const STATES: Readonly<Record<Life['phase']['kind'], ProcessStatus['state']>> = {
  off: 'stopped',
  starting: 'starting',
  up: 'ready',
  resting: 'backing-off',
}

export class Validator {
  readonly #options: ValidatorOptions
  #slice: ValidatorSlice | null = null
  #life: Life = unborn
  #child: Program | null = null
  #startedAt: number | null = null
  #lastExit: string | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(options: ValidatorOptions) {
    this.#options = options
  }

  get isUp(): boolean {
    return this.#life.phase.kind === 'up'
  }

  /** Runs by this from now on; null: no more. What is as it was stays as it is. */
  async use(slice: ValidatorSlice | null): Promise<void> {
    if (JSON.stringify(slice) === JSON.stringify(this.#slice)) return
    await this.stop()
    this.#slice = slice
    if (slice) this.#start(slice)
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#slice = null
    this.#become({ ...live(this.#life, { kind: 'stopped' }, performance.now()), ends: 0 })
    if (this.#timer) clearTimeout(this.#timer)
    if (!child) return
    this.#child = null
    const gone = new Promise<void>((done) => {
      child.once('exit', () => done())
      child.once('error', () => done())
    })
    const killing = setTimeout(() => child.kill('SIGKILL'), FAREWELL_MS)
    child.kill('SIGTERM')
    await gone
    clearTimeout(killing)
  }

  status(): ProcessStatus[] {
    if (!this.#slice) return []
    return [
      {
        name: NAME,
        role: NAME,
        pid: this.#child?.pid ?? null,
        state: STATES[this.#life.phase.kind],
        uid: this.#options.account()?.uid ?? process.getuid?.() ?? null,
        startedAt: this.#startedAt,
        restarts: Math.max(0, this.#life.restarts),
        lastExit: this.#lastExit,
        figures: {},
      },
    ]
  }

  /** What is off while it is away. */
  missing(): string[] {
    return this.#slice && !this.isUp ? ['unbound is away: nothing that DNSSEC would prove is proven'] : []
  }

  #start(slice: ValidatorSlice): void {
    const { log, logs } = this.#options
    try {
      this.#prepare(slice)
    } catch (error) {
      log.error({ err: error }, 'unbound cannot be set up')
      return this.#left('cannot be set up')
    }
    const command = [slice.program, '-d', '-c', slice.configFile]
    const child = startProgram({ name: NAME, command, account: this.#options.account(), logs })
    this.#child = child
    this.#startedAt = Date.now()
    this.#become(live(this.#life, { kind: 'started' }, performance.now()))
    child.once('error', (error) => child === this.#child && this.#left(`cannot be started: ${error.message}`))
    child.once('exit', (code, signal) => {
      if (child === this.#child) this.#left(signal ? `killed by ${signal}` : `exit ${code}`)
    })
    this.#later(FIRST_PROBES_MS, () => this.#probe(slice, child))
  }

  #prepare(slice: ValidatorSlice): void {
    const account = this.#options.account()
    const rootKey = join(slice.directory, 'root.key')
    makeDirectory(slice.directory, 0o700)
    chmodSync(slice.directory, 0o700)
    if (slice.trustAnchor === null) copyOnce(slice.rootKey, rootKey, account)
    if (account) chownSync(slice.directory, account.uid, account.gid)
    writeFileSync(slice.configFile, renderUnboundConfig(slice, rootKey))
    chmodSync(slice.configFile, 0o644)
  }

  #probe(slice: ValidatorSlice, child: Program): void {
    const asked = answers(slice.port, PATIENCE_MS)
    asked.then(
      (came) => {
        if (child !== this.#child) return
        const answered = came && child.pid !== undefined && holdsPort(child.pid, slice.port)
        this.#become(live(this.#life, { kind: 'probed', answered }, performance.now()))
        if (isHung(this.#life, performance.now())) child.kill('SIGKILL')
        this.#later(answered ? this.#options.interval() : FIRST_PROBES_MS, () => this.#probe(slice, child))
      },
      () => undefined,
    ) // it never rejects
  }

  #left(how: string): void {
    this.#child = null
    this.#lastExit = how
    const wasUp = this.isUp
    this.#become(live(this.#life, { kind: 'left' }, performance.now()))
    const { phase } = this.#life
    if (phase.kind !== 'resting') return
    const wait = Math.max(0, phase.until - performance.now())
    this.#options.log[wasUp ? 'warn' : 'error'](
      { how, wait: Math.round(wait) },
      'unbound left, started again',
    )
    this.#later(wait, () => this.#slice && this.#start(this.#slice))
  }

  #later(wait: number, work: () => void): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = setTimeout(work, wait)
  }

  #become(life: Life): void {
    const before = this.isUp
    this.#life = life
    if (this.isUp === before) return
    if (this.isUp) this.#options.log.info({}, 'unbound answers')
    this.#options.onChange(this.isUp)
  }
}

/**
 * Nothing where it is there already. The directory is another user's, who must not lead us elsewhere: `wx` follows no
 * link, and the owner is changed by descriptor.
 */
function copyOnce(from: string, to: string, account: { uid: number; gid: number } | null): void {
  const text = readFileSync(from)
  let fd: number
  try {
    fd = openSync(to, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw error
  }
  try {
    if (account) fchownSync(fd, account.uid, account.gid)
    writeFileSync(fd, text)
  } finally {
    closeSync(fd)
  }
}
