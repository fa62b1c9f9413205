/**
 * The one place where mcp makes processes: a worker with its private channel, its descriptors and its outputs,
 * and mcp itself when it is to run in the background.
 *
 * Descriptors of a worker: 0 nothing, 1 and 2 pipes to the log, 3 the channel, then what it is handed.
 * `setpriv --no-new-privs` of util-linux stands in front where it is there: from then on no exec, of a set-uid
 * program or otherwise, can give the worker back what it lets go of. It replaces itself, so the pid is the worker's.
 * Fails: a process that cannot be made is reported as `exited`, like one that was and left.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { Socket } from 'node:net'
import type { LifeName, LifePayload } from '../../shared/bus/messages.ts'
import { checkLife, EXIT_FATAL, EXIT_PANIC, type WorkerRole } from '../../shared/runtime/service.ts'
import type { LogCollector } from './log-collector.ts'

export const FIRST_DESCRIPTOR = 4
const IPC = 'ipc'
const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv'].find(isExecutable)

export const hasSetpriv = SETPRIV !== undefined

/**
 * MiB of V8's young generation. Under load 16, its default, cost 80 MiB more over all workers than 8 and saved no
 * time that could be measured; 4 saved 40 MiB more and cost a tenth of the CPU.
 */
const YOUNG = '--max-semi-space-size=8'
/**
 * MiB that the old one may grow to before it is searched, where content passes through: buffers count in it, and a
 * heap of 8 MiB was searched for each fourth message of 1 MiB, which took a quarter of the CPU. With 64 a process
 * takes 15 MiB more under load.
 */
const OLD = '--initial-old-space-size=32'

function nodeOptions(role: WorkerRole): string[] {
  return role === 'smtpd' || role === 'smtpc' ? [YOUNG, OLD] : [YOUNG]
}

/** Nothing else of our environment is a worker's business. */
const ENVIRONMENT = ['TZ', 'UV_THREADPOOL_SIZE']

export interface ForkOptions {
  name: string
  role: WorkerRole
  script: string
  /** In the order of their numbers, from FIRST_DESCRIPTOR. */
  descriptors: readonly number[]
  /** A stream between worker and mcp as its first descriptor, instead of `descriptors`. */
  pipe: boolean
  logs: LogCollector
  onMessage: (name: LifeName, payload: unknown) => void
  /** It speaks another language: our bug, or its. */
  onNonsense: (trouble: string) => void
  onExit: (how: string, clean: boolean) => void
}

export class WorkerProcess {
  readonly startedAt = Date.now()
  readonly #child: ChildProcess
  #gone = false

  constructor(options: ForkOptions) {
    const command = [...nodeOptions(options.role), options.script]
    const handed = options.pipe ? (['pipe'] as const) : options.descriptors
    const child = spawn(
      SETPRIV ?? process.execPath,
      SETPRIV ? ['--no-new-privs', process.execPath, ...command] : command,
      {
        stdio: ['ignore', 'pipe', 'pipe', IPC, ...handed],
        env: environment(),
        cwd: '/',
      },
    )
    this.#child = child
    if (child.stdout) options.logs.attach(child.stdout, options.name, false)
    if (child.stderr) options.logs.attach(child.stderr, options.name, true)
    if (options.pipe) this.#holdPipe()
    child.on('message', (message) => this.#heard(message, options))
    child.once('exit', (code, signal) => this.#left(describe(code, signal), code === 0, options))
    child.once('error', (error) => this.#left(`cannot be started: ${error.message}`, false, options))
  }

  get pid(): number | null {
    return this.#child.pid ?? null
  }

  send<N extends LifeName>(name: N, payload: LifePayload<N>, socket?: Socket): void {
    if (this.#gone || !this.#child.connected) return
    this.#child.send({ name, payload }, socket, undefined, () => undefined) // its exit tells what failed
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Our end of the pipe, to be sent to another worker. */
  takePipe(): Socket | null {
    const pipe = this.#child.stdio[FIRST_DESCRIPTOR]
    return pipe instanceof Socket ? pipe : null
  }

  /** Node reads from a pipe at once; what comes through this one is for whoever gets it. */
  #holdPipe(): void {
    const pipe = this.takePipe() as { _handle?: { readStop: () => void } | null } | null
    pipe?._handle?.readStop()
  }

  #heard(message: unknown, options: ForkOptions): void {
    try {
      const { name, payload } = checkLife(message, 'mcp')
      options.onMessage(name, payload)
    } catch (error) {
      options.onNonsense(error instanceof Error ? error.message : String(error))
    }
  }

  #left(how: string, clean: boolean, options: ForkOptions): void {
    if (this.#gone) return
    this.#gone = true
    options.onExit(how, clean)
  }
}

function describe(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal) return `killed by ${signal}`
  const meaning: Record<number, string> = {
    [EXIT_PANIC]: ', a bug of ours',
    [EXIT_FATAL]: ', cannot work here',
  }
  return `exit ${code}${meaning[code ?? 0] ?? ''}`
}

function environment(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const name of ENVIRONMENT) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

export type Program = ChildProcess

/** A program of others, without our environment or channel; what it says goes to the log under its name. */
export interface ProgramOptions {
  name: string
  command: readonly string[]
  /** Whom it runs as, without further groups; null: as mcp. */
  account: { uid: number; gid: number } | null
  logs: LogCollector
}

/** It gets SIGTERM when mcp dies, where setpriv is there to see to that. */
export function startProgram({ name, command, account, logs }: ProgramOptions): Program {
  const guarded = SETPRIV ? [SETPRIV, '--no-new-privs', '--pdeathsig', 'TERM', ...command] : command
  const [program = '', ...words] = guarded
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment(),
    cwd: '/',
    ...account,
  })
  logs.attach(child.stdout, name, true)
  logs.attach(child.stderr, name, true)
  return child
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Starts this very program once more, without a terminal, and waits until it says how that went.
 * It answers with the exit code of the caller.
 */
export function startInBackground(script: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [script, ...args], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', IPC],
    })
    child.once('message', (message: { started?: boolean }) => {
      child.disconnect()
      child.unref()
      resolve(message.started ? 0 : 1)
    })
    child.once('exit', (code) => resolve(code ?? 1))
    child.once('error', (error) => {
      process.stderr.write(`cannot start in the background: ${error.message}\n`)
      resolve(1)
    })
  })
}
