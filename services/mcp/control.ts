/**
 * The control socket: `posthorn status`, `reload`, `stop`. The one socket mcp listens on; no mail passes here.
 *
 * Root, mcp's own user and the uids that the config names may use it, by the kernel's word. Where the kernel
 * cannot tell, the socket is open to its owner only, and that decides.
 */
import { chmodSync, chownSync, rmSync } from 'node:fs'
import type { Log } from '../../shared/base/log.ts'
import { type Hub, openHub } from '../../shared/bus/hub.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import { peerCredentials, systemProbe } from '../../shared/system/credentials.ts'

export interface ControlOptions {
  path: string
  mode: number
  /** Whose group may connect; null: mcp's own. */
  group: { uid: number; gid: number } | null
  controlUids: () => readonly number[]
  epoch: () => number
  log: Log
  status: () => Answer<'status'>
  reload: () => Promise<Answer<'reload'>>
  stop: () => void
}

const OWNER_ONLY = 0o600
const CLOSED_UMASK = 0o777

export async function openControl(options: ControlOptions): Promise<Hub> {
  const { path, log } = options
  const hub = openHub({
    self: 'mcp',
    log,
    credentials: peerCredentials,
    admit: ({ role }, credentials) => {
      if (role !== 'command') return { kind: 'refused', reason: `a ${role} has no business here` }
      if (credentials && !mayControl(credentials.uid, options.controlUids()))
        return { kind: 'refused', reason: `uid ${credentials.uid} may not control this` }
      return { kind: 'welcome', epoch: options.epoch(), serial: 0 }
    },
    handlers: {
      status: () => options.status(),
      reload: () => options.reload(),
      stop: () => {
        setImmediate(() => options.stop())
        return {}
      },
    },
  })
  rmSync(path, { force: true }) // the pid file's lock makes it ours
  const umask = process.umask(CLOSED_UMASK)
  try {
    await hub.listen({ path })
  } finally {
    process.umask(umask)
  }
  if (options.group) chownSync(path, options.group.uid, options.group.gid)
  chmodSync(path, systemProbe().length > 0 ? OWNER_ONLY : options.mode)
  return hub
}

function mayControl(uid: number, named: readonly number[]): boolean {
  return uid === 0 || uid === process.getuid?.() || named.includes(uid)
}
