/**
 * What mcp needs before it can start a worker, and how it is given back: config, users, the instance's lock, log,
 * directories, sockets. `layGround` does it in this order; when a step fails the ones before it are undone and
 * `CannotStart` says why, with the exit code.
 */
import { dirname } from 'node:path'
import { type Log, openLogInto } from '../../shared/base/log.ts'
import { type Checked, loadConfig, printProblems } from '../../shared/config/check.ts'
import type { Slices } from '../../shared/config/slices.ts'
import { makeDirectory, OPEN, prepareDirectories } from './directories.ts'
import { makeExampleHome } from './example.ts'
import { findIdentities, type Identities } from './identities.ts'
import { LogCollector } from './log-collector.ts'
import { type PidFile, takePidFile } from './pid-file.ts'
import { PortSet } from './port-set.ts'
import { BindFailed } from './ports.ts'

export interface McpOptions {
  configFile: string
  directory?: string
  /** All processes stay who calls, even root. */
  asCaller: boolean
  background?: boolean
  /** The folder that holds `<role>/main.js`. */
  services: string
}

/** Of sysexits(3): something is taken, the system refused, the config is bad. */
export const exitCodes = { taken: 69, system: 71, config: 78 } as const

/** Workers of a predecessor that was killed may take this long to let go of the ports. */
const PREDECESSOR_MS = 15_000

export class CannotStart extends Error {
  override name = 'CannotStart'
  readonly exitCode: number
  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

export interface Ground {
  options: McpOptions
  slices: Slices
  /** Whom the workers become; null when they stay the caller, who is then in `caller`. */
  identities: Identities | null
  caller: { uid: number; gid: number } | null
  log: Log
  logs: LogCollector
  ports: PortSet
  /** Reads the config again. */
  load: () => Checked
  giveBack: () => Promise<void>
}

export async function layGround(options: McpOptions): Promise<Ground> {
  const caller = callerOf(options)
  const load = () => readConfig(options)
  const slices = firstConfig(load())
  const identities = caller ? null : identitiesOf(slices)
  const undo: (() => void | Promise<void>)[] = []
  const giveBack = async () => {
    for (const one of undo.splice(0).reverse()) await one()
  }
  try {
    const pidFile = lockInstance(slices)
    undo.push(pidFile.release)
    const { log, logs } = openLogs(slices)
    undo.push(() => logs.close())
    prepareDirectories(slices, identities)
    if (caller) makeExampleHome(slices)
    const group = identities ? { uid: 0, gid: identities.qmgr.gid } : null
    const patience = pidFile.predecessorCrashed ? PREDECESSOR_MS : 0
    const ports = await PortSet.open({ mcp: slices.mcp, group, patience })
    undo.push(() => ports.close())
    return { options, slices, identities, caller, log, logs, ports, load, giveBack }
  } catch (error) {
    await giveBack()
    if (error instanceof BindFailed) throw new CannotStart(`posthorn: ${error.message}`, exitCodes.taken)
    throw error
  }
}

function callerOf({ asCaller }: McpOptions): { uid: number; gid: number } | null {
  const uid = process.getuid?.() ?? -1
  return asCaller || uid !== 0 ? { uid, gid: process.getgid?.() ?? -1 } : null
}

function readConfig({ configFile, directory, asCaller }: McpOptions): Checked {
  return loadConfig(configFile, { asCaller, directory })
}

function firstConfig(checked: Checked): Slices {
  if (checked.kind === 'bad')
    throw new CannotStart(printProblems(checked.problems).trimEnd(), exitCodes.config)
  if (checked.warnings.length > 0) process.stderr.write(printProblems(checked.warnings))
  return checked.slices
}

function identitiesOf(slices: Slices): Identities {
  const found = findIdentities(slices.mcp)
  if (found.kind === 'found') return found.identities
  throw new CannotStart(`posthorn: ${found.problems.join('\nposthorn: ')}`, exitCodes.config)
}

function lockInstance({ mcp }: Slices): Extract<PidFile, { kind: 'taken' }> {
  makeDirectory(dirname(mcp.pidFile), OPEN)
  const pidFile = takePidFile(mcp.pidFile)
  if (pidFile.kind === 'taken') return pidFile
  const whose = pidFile.pid === null ? '' : ` as process ${pidFile.pid}`
  throw new CannotStart(`posthorn: it runs already${whose} (${mcp.pidFile})`, exitCodes.taken)
}

function openLogs({ mcp: { channels, severity } }: Slices): { log: Log; logs: LogCollector } {
  const logs = new LogCollector()
  const troubles = logs.configure(channels, severity)
  const log = openLogInto((line) => logs.take(Buffer.from(line)), 'mcp', severity)
  for (const trouble of troubles) log.error({ trouble }, 'log file does not work')
  return { log, logs }
}
