/**
 * mcp under test: the built process in a directory of its own, with a config of the test's, asked over its control
 * socket and watched in /proc. Made worlds may hold other services than the real ones, to see them fail.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { silentLog } from '../../shared/base/log.ts'
import { openLink } from '../../shared/bus/link.ts'
import type { Answer, RequestName } from '../../shared/bus/messages.ts'
import { BUILD } from '../../shared/runtime/build.ts'
import { isAlive } from '../support/processes.ts'
import { until, within } from '../support/wait.ts'

const MAIN = resolve('dist/services/mcp/main.js')
const PATIENCE_MS = 60_000

export interface World {
  directory: string
  run: string
  configFile: string
  writeConfig: (text: string) => void
  remove: () => void
}

/** A directory that other users may enter, for workers that are other users. */
export function makeWorld(): World {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-mcp-'))
  chmodSync(directory, 0o755)
  mkdirSync(join(directory, 'homes'), { mode: 0o755 })
  const configFile = join(directory, 'posthorn.conf')
  return {
    directory,
    run: join(directory, 'data', 'run'),
    configFile,
    writeConfig: (text) => writeFileSync(configFile, text),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

export interface Config {
  /** Statements inside `processes`. */
  processes?: string
  /** Statements of the mx listener; port 0 of loopback otherwise. */
  mx?: string
  /** Lines of the mailbox file. */
  mailboxes?: string
  /** Whole statements. */
  more?: string
}

export function configText(world: World, config: Config = {}): string {
  writeFileSync(join(world.directory, 'users'), config.mailboxes ?? `demo:::${world.directory}/homes/demo\n`)
  return `
options { hostname "mx.posthorn.example"; directory "${world.directory}/data"; };
listener "mx" { ${config.mx ?? 'address 127.0.0.1; port 0;'} };
listener "local" { socket "submit.sock"; };
zone "local.example" { type local; mailboxes "${world.directory}/users"; };
processes { ${config.processes ?? ''} };
${config.more ?? ''}
`
}

export interface Started {
  child: ChildProcess
  pid: number
  log: () => string
  /** Resolves when a line like this is in the log. */
  logged: (pattern: RegExp) => Promise<void>
  port: (listener?: string) => number
  ask: <N extends RequestName>(name: N) => Promise<Answer<N>>
  pids: (role: string) => Promise<number[]>
  /** SIGTERM, and the exit code. */
  stop: () => Promise<number | null>
  exited: Promise<number | null>
}

/** Starts mcp; resolves when all workers are ready, or given up. */
export async function startMcp(
  world: World,
  words: string[] = ['--as-caller'],
  main = MAIN,
  before: string[] = [],
): Promise<Started> {
  const started = launchMcp(world, words, main, before)
  const early = started.exited.then((code) => {
    throw new Error(`mcp left with ${code}:\n${started.log()}`)
  })
  early.catch(() => undefined)
  await Promise.race([early, started.logged(/"msg":"started/)])
  return started
}

/** @param before a program, with its words, that starts it. */
export function launchMcp(
  world: World,
  words: string[] = ['--as-caller'],
  main = MAIN,
  before: string[] = [],
): Started {
  const [program = '', ...rest] = [...before, process.execPath, main, '-c', world.configFile, ...words]
  const child = spawn(program, rest)
  let log = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log += String(chunk)
      for (const listener of listeners) listener()
    })
  }
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  const logged = (pattern: RegExp) =>
    within(
      `${pattern} in the log`,
      PATIENCE_MS,
      new Promise<void>((done) => {
        const look = () => {
          if (!pattern.test(log)) return
          listeners.delete(look)
          done()
        }
        listeners.add(look)
        look()
      }),
    ).catch((error: unknown) => {
      throw new Error(`${error instanceof Error ? error.message : error}\n${log.slice(-2000)}`)
    })
  const ask = <N extends RequestName>(name: N) => askControl(join(world.run, 'control.sock'), name)
  return {
    child,
    pid: child.pid ?? 0,
    log: () => log,
    logged,
    port: (listener = 'mx') => portOf(world, listener),
    ask,
    pids: async (role) => {
      const { processes } = await ask('status')
      return processes.flatMap((one) => (one.role === role && one.pid !== null ? [one.pid] : []))
    },
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
    exited,
  }
}

function portOf(world: World, listener: string): number {
  const text = readFileSync(join(world.run, 'addresses.json'), 'utf8')
  return (JSON.parse(text) as Record<string, { port: number }>)[listener]?.port ?? 0
}

async function askControl<N extends RequestName>(path: string, name: N): Promise<Answer<N>> {
  const link = openLink({
    target: path,
    remote: 'mcp',
    identity: () => ({ role: 'command', name: 'test', pid: process.pid, build: BUILD, epoch: 0 }),
    handlers: {},
    log: silentLog,
  })
  try {
    await within('a welcome', PATIENCE_MS, link.ready())
    const empty = {} as Parameters<typeof link.request<N>>[1]
    return await link.request(name, empty)
  } finally {
    link.close()
  }
}

/** One process, or one thread (`PID/task/TID`), as /proc shows it. */
export interface Shown {
  uids: number[]
  gids: number[]
  groups: number[]
  capabilities: string[]
  noNewPrivileges: boolean
}

export function show(pid: string): Shown {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? ''
  const numbers = (name: string) => field(name).split(/\s+/).filter(Boolean).map(Number)
  return {
    uids: numbers('Uid'),
    gids: numbers('Gid'),
    groups: numbers('Groups'),
    capabilities: ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map(field),
    noNewPrivileges: field('NoNewPrivs') === '1',
  }
}

/** The end of a process; its entry may stay until its parent has looked. */
export async function ended(pid: number): Promise<void> {
  await until(`process ${pid} to end`, () => !isAlive(pid))
}
