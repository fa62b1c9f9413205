/**
 * Haraka as a peer: installed by npm into a folder below dist/ that is no part of this project, with a worker for
 * each of two cores and one plugin that relays what comes from loopback to the sink.
 *
 * Fails: an Error that says why it cannot be had or does not greet.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { openSession } from '../support/client.ts'
import { freePort } from '../support/postfix.ts'
import { until, within } from '../support/wait.ts'
import type { Peer } from './servers.ts'

const INSTALLED = 'dist/peers/haraka'
const INSTALL_MS = 300_000
const STOP_MS = 20_000
/** The newest of these two are not in every mirror. */
const MANIFEST = {
  private: true,
  dependencies: { Haraka: '3.3.4' },
  overrides: { 'encoding-japanese': '2.2.0', libqp: '2.1.1' },
}

export async function startHaraka(parent: string, nextHop: number): Promise<Peer> {
  const program = install()
  const folder = mkdtempSync(join(parent, 'posthorn-haraka-'))
  const port = await freePort()
  configure(folder, port, nextHop)
  const log = openSync(join(folder, 'log'), 'a')
  const child = spawn(process.execPath, [program, '-c', folder], { stdio: ['ignore', log, log] })
  closeSync(log)
  const stop = async () => {
    await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await until('Haraka to greet', async () => (await openSession(port)).quit().then(() => true))
  } catch (error) {
    await stop()
    throw error
  }
  return { port, pid: child.pid ?? -1, stop }
}

function install(): string {
  const folder = resolve(INSTALLED)
  const program = join(folder, 'node_modules/Haraka/bin/haraka')
  if (existsSync(program)) return program
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify(MANIFEST))
  const words = ['install', '--no-audit', '--no-fund', '--ignore-scripts']
  const made = spawnSync('npm', words, { cwd: folder, encoding: 'utf8', timeout: INSTALL_MS })
  if (made.status !== 0) throw new Error(`Haraka cannot be installed here: ${made.stderr.slice(-500)}`)
  return program
}

function configure(folder: string, port: number, nextHop: number): void {
  for (const part of ['config', 'plugins', 'queue']) mkdirSync(join(folder, part))
  const files: Record<string, string> = {
    'config/smtp.ini': `listen=127.0.0.1:${port}\nnodes=2\n`,
    'config/me': 'haraka.example\n',
    'config/host_list': 'haraka.example\n',
    'config/connection.ini': '[main]\n[message]\n[uuid]\n[max]\n',
    'config/log.ini': 'level=NOTICE\n',
    'config/databytes': '52428800\n',
    'config/outbound.ini': 'concurrency_max=100\n',
    'config/plugins': 'bench\n',
    'plugins/bench.js': plugin(nextHop),
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

function plugin(nextHop: number): string {
  return `
exports.register = function () {
  this.register_hook('connect_init', 'relay')
  this.register_hook('rcpt', 'take')
  this.register_hook('get_mx', 'send')
}
exports.relay = (next, connection) => { connection.relaying = true; next() }
exports.take = (next) => next(OK)
exports.send = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: ${nextHop} })
`
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await within('Haraka to stop', STOP_MS, exited).catch(() => {
    child.kill('SIGKILL')
    return exited
  })
}
