/**
 * A PostgreSQL of its own for a test: Debian's, a cluster in a temporary folder, on a unix socket there, as an ordinary
 * user because it refuses root. Fails: null where it cannot be had; the test then skips, loudly.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianPrograms } from './debian.ts'
import { until } from './wait.ts'

/** nobody, where the test runs as root. */
const ORDINARY = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}

export interface Postgresql {
  /** Of the socket. */
  directory: string
  passwordFile: string
  /** Runs SQL in database postgres. */
  sql: (text: string) => void
  start: () => Promise<void>
  /** At once, as if it had died. */
  kill: () => Promise<void>
  close: () => Promise<void>
}

function folderOfPrograms(): { folder: string; env: NodeJS.ProcessEnv } | null {
  const programs = debianPrograms('postgresql')
  if (!programs) return null
  for (const root of [join(programs.folder, 'usr/lib/postgresql'), '/usr/lib/postgresql'])
    try {
      const [version] = readdirSync(root).sort().reverse()
      if (version !== undefined) return { folder: join(root, version, 'bin'), env: programs.env }
    } catch {
      // it is in the other one
    }
  return null
}

export async function openPostgresql(password: string): Promise<Postgresql | null> {
  const found = folderOfPrograms()
  if (!found) return null
  const { folder, env } = found
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-pg-'))
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, `${password}\n`)
  chmodSync(directory, 0o755)
  if ('uid' in ORDINARY) for (const path of [directory, passwordFile]) chownSync(path, 65534, 65534)
  const data = join(directory, 'data')
  const options = { env, encoding: 'utf8', timeout: 120_000, cwd: directory, ...ORDINARY } as const
  const words = ['-D', data, '-U', 'posthorn', '-A', 'scram-sha-256', '--pwfile', passwordFile, '--no-sync']
  const made = spawnSync(join(folder, 'initdb'), words, options)
  if (made.status !== 0) throw new Error(`initdb: ${made.stdout}${made.stderr}`)
  let server: ChildProcess | null = null
  const sql = (text: string) => {
    const asked = spawnSync(
      join(folder, 'psql'),
      ['-v', 'ON_ERROR_STOP=1', '-h', directory, '-U', 'posthorn', '-d', 'postgres', '-c', text],
      { ...options, env: { ...env, PGPASSWORD: password } },
    )
    if (asked.status !== 0) throw new Error(`psql: ${asked.stderr}`)
  }
  const start = async () => {
    const switches = ['-c', 'listen_addresses=', '-c', 'fsync=off', '-c', 'max_connections=20']
    server = spawn(join(folder, 'postgres'), ['-D', data, '-k', directory, ...switches], {
      env,
      cwd: directory,
      stdio: 'ignore',
      ...ORDINARY,
    })
    await until('PostgreSQL to answer', () => {
      sql('SELECT 1')
      return true
    })
  }
  const kill = async () => {
    if (!server || server.exitCode !== null) return
    const gone = once(server, 'exit')
    server.kill('SIGQUIT') // immediate shutdown: its children go too
    await gone
  }
  await start()
  return {
    directory,
    passwordFile,
    sql,
    start,
    kill,
    close: async () => {
      await kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
