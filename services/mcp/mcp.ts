/**
 * The root process: reads the config, takes the pid file, binds, forks, watches, and passes no mail.
 *
 * Signals: TERM and INT drain (a second one waits for nobody), HUP reloads, USR1 reopens log files. `runMcp`
 * resolves with the exit code when the last worker is gone: 0 asked to stop; 69 a port or the whole instance is
 * taken; 71 the system refused; 78 the config is bad.
 * Next: `groundwork.ts` (before the workers), `overseer.ts` (workers), `reloader.ts` (new config).
 */
import { join, resolve } from 'node:path'
import { residentMemory } from '../../shared/base/memory.ts'
import type { Hub } from '../../shared/bus/hub.ts'
import type { Answer, Configure } from '../../shared/bus/messages.ts'
import { systemAccounts } from '../../shared/config/accounts.ts'
import type { Slices } from '../../shared/config/slices.ts'
import { BUILD } from '../../shared/runtime/build.ts'
import type { WorkerRole } from '../../shared/runtime/service.ts'
import { renderBanner } from './banner.ts'
import { openControl } from './control.ts'
import { busPaths } from './directories.ts'
import { exampleMailbox } from './example.ts'
import { CannotStart, exitCodes, type Ground, layGround, type McpOptions } from './groundwork.ts'
import { LdaHouse } from './lda-house.ts'
import { missingGuarantees } from './missing.ts'
import { provideFiles } from './open-files.ts'
import { Overseer } from './overseer.ts'
import { applyReload } from './reloader.ts'
import { initialWorkers, partOf } from './roles.ts'

import { Validator } from './validator.ts'
import { startInBackground } from './worker-process.ts'

const SAFE_UMASK = 0o077

export async function runMcp(options: McpOptions): Promise<number> {
  if (options.background) {
    const [, script = '', ...words] = process.argv
    return startInBackground(
      script,
      words.filter((word) => word !== '--background'),
    )
  }
  process.title = 'posthorn: mcp'
  process.umask(SAFE_UMASK)
  try {
    const ground = await layGround(options)
    const mcp = new Mcp(ground)
    await mcp.begin()
    return await mcp.stopped
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    return error instanceof CannotStart ? error.exitCode : exitCodes.system
  }
}

function explain(error: unknown): string {
  if (error instanceof CannotStart) return error.message
  return `posthorn: ${error instanceof Error ? error.message : String(error)}`
}

export class Mcp {
  readonly stopped: Promise<number>
  readonly ground: Ground
  readonly overseer: Overseer
  readonly validator: Validator
  /** The config in force, and its number. */
  slices: Slices
  epoch = 1
  /** Processes that may run out of descriptors, a sentence each. */
  #shortages: string[] = []
  readonly #ldas: LdaHouse
  readonly #startedAt = Date.now()
  #control: Hub | null = null
  #stops = 0
  #reloading: Promise<unknown> = Promise.resolve()
  #setStopped: (code: number) => void = () => undefined

  constructor(ground: Ground) {
    this.ground = ground
    this.slices = ground.slices
    this.stopped = new Promise((done) => {
      this.#setStopped = done
    })
    this.overseer = new Overseer({
      rules: ground.slices.mcp,
      log: ground.log,
      logs: ground.logs,
      scriptOf: (role) => join(ground.options.services, role, 'main.js'),
      handed: (name, role) => ground.ports.handed(partOf(name, role)),
      configuration: (name, role) => this.#configuration(name, role),
      onLdaWanted: (wanted) => this.#ldas.start(wanted),
      onReady: (role) => role === 'resolver' && this.#tellResolver(),
      onSettled: (givenUp) => this.#settled(givenUp),
      onForget: (name) => this.#ldas.forget(name),
      onFinished: () => this.#finish(),
    })
    this.validator = new Validator({
      log: ground.log,
      logs: ground.logs,
      interval: () => this.slices.mcp.heartbeat.interval,
      account: () => (ground.caller ? null : systemAccounts().user(this.slices.mcp.users.validator)),
      onChange: () => this.#tellResolver(),
    })
    this.#ldas = new LdaHouse({
      overseer: this.overseer,
      slices: () => this.slices,
      caller: ground.caller,
      log: ground.log,
    })
  }

  get stopping(): boolean {
    return this.#stops > 0
  }

  #tellResolver(): void {
    const { isUp: up } = this.validator
    this.overseer.tellAll('validator', ({ role }) => (role === 'resolver' ? { up } : null))
  }

  async begin(): Promise<void> {
    const { log, options } = this.ground
    log.info({ build: BUILD, pid: process.pid, config: options.configFile }, 'starting')
    this.#listenToSignals()
    this.provide()
    // forks first: the workers load their code while we go on
    this.overseer.dispatch({ kind: 'add', workers: initialWorkers(this.slices) })
    await this.validator.use(this.slices.mcp.validator)
    try {
      this.#control = await this.#openControl()
    } catch (error) {
      log.error({ err: error }, 'no control socket: status, reload and stop work by signals only')
    }
  }

  /** Descriptors enough for the config in force. */
  provide(): void {
    const pids = this.overseer.status().flatMap(({ pid }) => pid ?? [])
    this.#shortages = provideFiles(this.slices, pids)
    for (const why of this.#shortages) this.ground.log.warn({ why }, 'too few open files')
  }

  #missing(): string[] {
    return [...missingGuarantees(this.ground.caller), ...this.#shortages]
  }

  #openControl(): Promise<Hub> {
    const { identities, log } = this.ground
    return openControl({
      path: this.slices.mcp.controlSocket,
      mode: this.slices.mcp.controlMode,
      group: identities ? { uid: 0, gid: identities.qmgr.gid } : null,
      controlUids: () => this.slices.qmgr.controlUids,
      epoch: () => this.epoch,
      log,
      status: () => this.#status(),
      reload: () => this.reload(),
      stop: () => this.stop('command'),
    })
  }

  #listenToSignals(): void {
    const { log, logs } = this.ground
    process.on('SIGTERM', () => this.stop('SIGTERM'))
    process.on('SIGINT', () => this.stop('SIGINT'))
    process.on('SIGUSR1', () => logs.reopen())
    process.on('SIGHUP', () => {
      logs.reopen()
      this.reload().catch((error: unknown) => log.error({ err: error }, 'reload failed'))
    })
  }

  /** The second time, nobody is waited for. */
  stop(why: string): void {
    this.#stops++
    const first = this.#stops === 1
    this.ground.log.info({ why }, first ? 'stopping' : 'stopping at once')
    this.overseer.dispatch({ kind: first ? 'drain' : 'hurry' })
  }

  /** One after the other. */
  reload(): Promise<Answer<'reload'>> {
    const next = this.#reloading.then(() => applyReload(this))
    this.#reloading = next.catch(() => undefined)
    return next
  }

  #configuration(name: string, role: WorkerRole): Omit<Configure, 'descriptors'> {
    const { identities } = this.ground
    const part = partOf(name, role)
    return {
      role,
      name,
      build: BUILD,
      epoch: this.epoch,
      severity: this.slices.mcp.severity,
      slice: this.slices[part],
      buses: busPaths(this.slices.mcp.runDirectory),
      become:
        part === 'lda' || part === 'agentLda' ? this.#ldas.becomeOf(name) : (identities?.[part] ?? null),
    }
  }

  #status(): Answer<'status'> {
    const { logs, options } = this.ground
    const self = {
      name: 'mcp',
      role: 'mcp',
      pid: process.pid,
      state: this.stopping ? ('draining' as const) : ('ready' as const),
      uid: process.getuid?.() ?? null,
      startedAt: this.#startedAt,
      restarts: 0,
      lastExit: null,
      figures: { rss: residentMemory() },
    }
    return {
      build: BUILD,
      epoch: this.epoch,
      configFile: options.configFile,
      startedAt: this.#startedAt,
      processes: [self, ...this.overseer.status(), ...this.validator.status()],
      missing: [...this.#missing(), ...this.validator.missing(), ...logs.troubles()],
    }
  }

  /** Whoever waits is told: the log, the caller of a start in the background, the person at the terminal. */
  #settled(givenUp: string[]): void {
    const { log, options } = this.ground
    const missing = this.#missing()
    if (givenUp.length > 0) log.error({ givenUp }, 'started, but not all of it')
    else log.info({ took: Date.now() - this.#startedAt, missing }, 'started')
    process.send?.({ started: givenUp.length === 0 })
    if (options.asCaller && givenUp.length === 0) process.stdout.write(this.#banner(missing))
  }

  #banner(missing: string[]): string {
    const { options, ports } = this.ground
    return renderBanner({
      build: BUILD,
      configFile: options.configFile,
      slices: this.slices,
      addresses: ports.addresses(),
      missing,
      commands: resolve(options.services, '../commands'),
      example: exampleMailbox(this.slices.resolver.zones),
      workingDirectory: process.cwd(),
    })
  }

  /** The control socket goes last: who asked to stop waits for its end, and may want to start anew. */
  #finish(): void {
    this.ground.log.info({}, 'stopped')
    const end = (code: number) => {
      this.#control?.close()
      this.#setStopped(code)
    }
    const over = this.validator.stop().then(() => this.ground.giveBack())
    over.then(
      () => end(0),
      () => end(exitCodes.system),
    )
  }
}
