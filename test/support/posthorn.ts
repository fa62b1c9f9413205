/**
 * The whole of Posthorn under test: the built programs, started by `posthorn start --as-caller` in a temporary
 * directory on ports of their own, driven only from outside: SMTP, the command, signals.
 *
 * Fails: `startPosthorn` rejects with the end of the log when it does not come up. `stop` removes the directory,
 * unless POSTHORN_KEEP is set. Next: `client.ts`, `sink.ts`, `load.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { openSession } from './client.ts'
import { childrenOf, isAlive, type WorkerProcess } from './processes.ts'
import { until, within } from './wait.ts'

const COMMAND = resolve('dist/commands/posthorn.js')
const SENDMAIL = resolve('dist/commands/sendmail.js')
const PATIENCE_MS = 60_000

export interface Paths {
  directory: string
  spool: string
  run: string
  users: string
  submit: string
}

export interface StartOptions {
  config: (paths: Paths) => string
  /** Local users, each with a Maildir below `homes/`. */
  users?: string[]
  /** An earlier one's directory: its spool and config are taken over. */
  directory?: string
  env?: NodeJS.ProcessEnv
  /** As root: workers become the users that the config names, instead of staying the caller. */
  asUsers?: boolean
  /** Words before the program: what it runs in. */
  within?: string[]
  /** Milliseconds until it must have greeted. */
  patience?: number
  /** Listeners that wait for something before they greet. */
  silent?: string | RegExp
}

export interface Result {
  code: number | null
  stdout: string
  stderr: string
}

export interface QueueRow {
  id: string
  sender: string
  recipient: string
  state: string
  attempts: number
}

export interface Posthorn {
  paths: Paths
  configFile: string
  process: ChildProcess
  pid: number
  /** By listener. */
  ports: Record<string, number>
  maildir: (user: string) => string
  log: () => string
  logged: (pattern: RegExp) => Promise<string>
  workers: () => WorkerProcess[]
  worker: (name: string) => number
  command: (...words: string[]) => Promise<Result>
  sendmail: (input: string, ...words: string[]) => Promise<Result>
  queue: () => Promise<QueueRow[]>
  queueEmpty: (patience?: number) => Promise<void>
  /** SIGTERM, and the exit code; the directory stays with `keep`. */
  stop: (keep?: boolean) => Promise<number | null>
  /** SIGKILL to all of it at once, as a power cut would; the directory stays. */
  killAll: () => Promise<void>
}

export async function startPosthorn(options: StartOptions): Promise<Posthorn> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'posthorn-'))
  const paths = pathsIn(directory)
  const configFile = join(directory, 'posthorn.conf')
  for (const path of [paths.spool, paths.run]) mkdirSync(path, { recursive: true })
  for (const user of options.users ?? []) mkdirSync(join(directory, 'homes', user), { recursive: true })
  writeFileSync(
    paths.users,
    (options.users ?? []).map((user) => `${user}:::${homeOf(directory, user)}\n`).join(''),
  )
  writeFileSync(configFile, options.config(paths))
  rmSync(join(paths.run, 'addresses.json'), { force: true })
  const words = options.asUsers ? ['start'] : ['start', '--as-caller']
  const program = [...(options.within ?? []), process.execPath, COMMAND, '-c', configFile, ...words]
  const child = spawnLogged(directory, program, options.env)
  const log = () => readFileSync(join(directory, 'log'), 'utf8')
  const ports = await comeUp(child, paths, log, options)
  return describe({ child, paths, configFile, ports, log, directory })
}

function pathsIn(directory: string): Paths {
  const run = join(directory, 'run')
  return {
    directory,
    run,
    spool: join(directory, 'spool'),
    users: join(directory, 'users'),
    submit: join(run, 'submit.sock'),
  }
}

function homeOf(directory: string, user: string): string {
  return join(directory, 'homes', user)
}

function spawnLogged(
  directory: string,
  [program = '', ...words]: string[],
  env: NodeJS.ProcessEnv | undefined,
): ChildProcess {
  const file = openSync(join(directory, 'log'), 'a')
  const child = spawn(program, words, {
    stdio: ['ignore', file, file],
    env: { ...process.env, ...env },
  })
  closeSync(file)
  return child
}

/** Resolves with the ports when each mail listener has greeted. */
async function comeUp(
  child: ChildProcess,
  paths: Paths,
  log: () => string,
  { patience, silent }: Pick<StartOptions, 'patience' | 'silent'>,
): Promise<Record<string, number>> {
  const left = once(child, 'exit').then(([code]) => {
    throw new Error(`posthorn left with ${code} at start:\n${log().slice(-4000)}`)
  })
  left.catch(() => undefined)
  const up = async () => {
    const file = join(paths.run, 'addresses.json')
    const ports = await until(
      `${file} to appear`,
      () => existsSync(file) && portsIn(readFileSync(file, 'utf8')),
      patience,
    )
    for (const [name, port] of Object.entries(ports)) {
      if (silent !== undefined && (silent instanceof RegExp ? silent.test(name) : name === silent)) continue
      const greeted = async () => {
        await (await openSession(port)).quit()
        return true
      }
      await until(`a greeting on port ${port}`, greeted, patience)
    }
    return ports
  }
  return Promise.race([left, up()]).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw new Error(`${error instanceof Error ? error.message : error}\n${log().slice(-4000)}`)
  })
}

function portsIn(text: string): Record<string, number> {
  const addresses = JSON.parse(text) as Record<string, { port?: number }>
  const entries = Object.entries(addresses).flatMap(([name, { port }]) =>
    port ? [[name, port] as const] : [],
  )
  return Object.fromEntries(entries)
}

interface Parts {
  child: ChildProcess
  paths: Paths
  configFile: string
  ports: Record<string, number>
  directory: string
  log: () => string
}

function describe({ child, paths, configFile, ports, directory, log }: Parts): Posthorn {
  const pid = child.pid ?? -1
  const ended = child.exitCode === null ? once(child, 'exit') : Promise.resolve([child.exitCode])
  const workers = () => childrenOf(pid).filter((one) => one.name !== '')
  const command = (...words: string[]) => runProgram(COMMAND, ['-c', configFile, ...words], '')
  const remove = () => {
    if (!process.env['POSTHORN_KEEP']) rmSync(directory, { recursive: true, force: true })
  }
  return {
    paths,
    configFile,
    process: child,
    pid,
    ports,
    maildir: (user) => join(homeOf(directory, user), 'Maildir'),
    log,
    logged: (pattern) => until(`${pattern} in the log`, () => pattern.exec(log())?.[0], PATIENCE_MS),
    workers,
    worker: (name) => {
      const found = workers().find((one) => one.name === name || one.name.startsWith(`${name}-`))
      if (!found) throw new Error(`no worker ${name} among ${workers().map((one) => one.name)}`)
      return found.pid
    },
    command,
    sendmail: (input, ...words) => runProgram(SENDMAIL, words, input, { POSTHORN_SOCKET: paths.submit }),
    queue: () => readQueue(command),
    queueEmpty: async (patience) => {
      await until('an empty queue', async () => (await readQueue(command)).length === 0, patience)
    },
    stop: async (keep = false) => {
      child.kill('SIGTERM')
      const [code] = await within('posthorn to stop', PATIENCE_MS, ended)
      if (!keep) remove()
      return code as number | null
    },
    killAll: async () => {
      const all = [pid, ...childrenOf(pid).map((one) => one.pid)]
      for (const one of all) signal(one, 'SIGKILL')
      await until('everything dead', () => !all.some(isAlive))
    },
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // it was faster
  }
}

async function readQueue(command: Posthorn['command']): Promise<QueueRow[]> {
  const { code, stdout, stderr } = await command('queue', 'list', '--json')
  const text = stdout.trim()
  if (text === '' && stderr !== '') throw new Error(`queue list left with ${code}: ${stderr}`)
  if (text.startsWith('[')) return JSON.parse(text) as QueueRow[]
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as QueueRow)
}

/** One of our own programs, to its end. */
export async function runProgram(
  program: string,
  words: string[],
  input: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Result> {
  const child = spawn(process.execPath, [program, ...words], { env: { ...process.env, ...env } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => undefined) // it may leave before it has read all
  child.stdin.end(input)
  const [code] = await within(`${program} ${words.join(' ')}`, PATIENCE_MS, once(child, 'close'))
  return { code: code as number | null, stdout, stderr }
}
