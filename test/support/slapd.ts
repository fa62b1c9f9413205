/**
 * Debian's slapd for a test, unpacked and not installed: a directory in a temporary folder on a port of its own. Fails:
 * null where it cannot be had; the test then skips, loudly.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'
import { until } from './wait.ts'

export interface Slapd {
  url: string
  start: () => Promise<void>
  stop: () => Promise<void>
  close: () => Promise<void>
}

/** @param ldif entries below dc=example; the first one makes that. */
export async function openSlapd(
  ldif: string,
  login: { dn: string; password: string },
): Promise<Slapd | null> {
  const programs = debianPrograms('slapd')
  const slapd = programs?.find('slapd')
  if (!programs || !slapd) return null
  const root = existsSync(join(programs.folder, 'etc/ldap/schema')) ? programs.folder : '/'
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-ldap-'))
  const config = join(directory, 'slapd.conf')
  mkdirSync(join(directory, 'data'))
  writeFileSync(config, configText(root, directory, login))
  writeFileSync(join(directory, 'data.ldif'), ldif)
  const loaded = spawnSync(slapd, ['-T', 'add', '-f', config, '-l', join(directory, 'data.ldif')], {
    env: programs.env,
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (loaded.status !== 0) throw new Error(`slapadd: ${loaded.stderr}`)
  const port = await freePort()
  const url = `ldap://127.0.0.1:${port}`
  let server: ChildProcess | null = null
  const start = async () => {
    server = spawn(slapd, ['-f', config, '-h', url, '-d', '0'], { env: programs.env, stdio: 'ignore' })
    await until('slapd to listen', () => listens(port))
  }
  const stop = async () => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const gone = once(server, 'exit')
    server.kill('SIGKILL')
    await gone
  }
  await start()
  const close = async () => {
    await stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return { url, start, stop, close }
}

function configText(root: string, directory: string, login: { dn: string; password: string }): string {
  const schemas = ['core', 'cosine', 'inetorgperson'].map((name) =>
    join(root, 'etc/ldap/schema', `${name}.schema`),
  )
  return `${schemas.map((path) => `include ${path}\n`).join('')}
modulepath ${join(root, 'usr/lib/ldap')}
moduleload back_mdb
pidfile ${join(directory, 'pid')}
database mdb
suffix "dc=example"
rootdn "${login.dn}"
rootpw ${login.password}
directory ${join(directory, 'data')}
access to * by users read
`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
