/**
 * Daemons of other projects that insist on their places below /usr and /etc: run in a mount namespace of their own,
 * where what was unpacked from Debian's packages lies on top of this machine's folders. Nothing outside changes.
 *
 * Needs root and overlay mounts. Fails: null where that cannot be had, or the program cannot; the test then skips,
 * loudly. `stop` ends the daemon and waits for it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { debianPrograms } from './debian.ts'
import { until } from './wait.ts'

export interface Layered {
  stop: () => Promise<void>
}

export interface LayeredOptions {
  packages: string[]
  /** Folders that lie on top of /etc. */
  etc?: string
  /** What runs, in the namespace. */
  command: string
  /** It is up when this is there. */
  socket: string
}

export async function startLayered({
  packages,
  etc,
  command,
  socket,
}: LayeredOptions): Promise<Layered | null> {
  if (process.getuid?.() !== 0) return refuse(packages, 'it needs root')
  const programs = debianPrograms(...packages)
  if (!programs) return null
  const mounts = [
    `mount -t overlay overlay -o lowerdir=${programs.folder}/usr:/usr /usr`,
    ...(etc === undefined ? [] : [`mount -t overlay overlay -o lowerdir=${etc}:/etc /etc`]),
  ]
  const tried = spawnSync('unshare', ['-m', 'sh', '-ec', mounts.join('\n')], { encoding: 'utf8' })
  if (tried.status !== 0) return refuse(packages, `no mounts here: ${tried.stderr}`)
  const script = [...mounts, `exec ${command}`].join('\n')
  // in a group of its own: saslauthd ends its whole group with itself
  const child = spawn('unshare', ['-m', 'sh', '-ec', script], { detached: true, stdio: 'ignore' })
  const left = once(child, 'exit')
  await until(`${socket} to appear`, () => {
    if (child.exitCode !== null) throw new Error(`${command} left with ${child.exitCode}`)
    return existsSync(socket)
  })
  return { stop: () => stop(child, left) }
}

async function stop(child: ChildProcess, left: Promise<unknown>): Promise<void> {
  child.kill('SIGTERM')
  await left
  // what it leaves behind goes with it, as with systemd: Dovecot's auth process waits for its clients to go
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // nothing was left
  }
}

function refuse(packages: readonly string[], why: string): null {
  process.stderr.write(`\n!!! ${packages.join(', ')} cannot run here: ${why}\n`)
  return null
}
