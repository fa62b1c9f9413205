/**
 * Where a user's accounts, outbox and agent are: the XDG base directories, and HOME of the password file where the
 * environment has none (cron). Overridable by `POSTHORN_ACCOUNTS` and `POSTHORN_AGENT_SOCKET`.
 */
import { statSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { agentSocketIn, usualRuntimeDirectory, usualStateDirectory } from '../../shared/smtp-client/agent.ts'

export interface Places {
  home: string
  /** accounts.conf */
  config: string
  /** The outbox, grants and the lock are in here; 0700. */
  state: string
  socket: string
}

type Environment = Readonly<Record<string, string | undefined>>

export function findPlaces(env: Environment = process.env): Places {
  const home = absolute(env['HOME']) ?? userHome()
  const base = absolute(env['XDG_STATE_HOME']) ?? usualStateDirectory(home)
  const config = join(absolute(env['XDG_CONFIG_HOME']) ?? join(home, '.config'), 'posthorn/accounts.conf')
  return {
    home,
    state: join(base, 'posthorn'),
    config: absolute(env['POSTHORN_ACCOUNTS']) ?? config,
    socket: absolute(env['POSTHORN_AGENT_SOCKET']) ?? agentSocketIn(socketBase(env, base)),
  }
}

/** Whether the caller has accounts at all; the file is not read. */
export function hasAccounts(places: Places): boolean {
  return statSync(places.config, { throwIfNoEntry: false })?.isFile() ?? false
}

/** Cron and the mail server know no XDG_RUNTIME_DIR; the directory is where systemd makes it. */
function socketBase(env: Environment, state: string): string {
  const uid = process.getuid?.() ?? 0
  const runtime = absolute(env['XDG_RUNTIME_DIR']) ?? usualRuntimeDirectory(uid)
  const facts = statSync(runtime, { throwIfNoEntry: false })
  return facts?.isDirectory() && facts.uid === uid ? runtime : state
}

function absolute(path: string | undefined): string | null {
  return path !== undefined && isAbsolute(path) ? path : null
}

function userHome(): string {
  try {
    return userInfo().homedir
  } catch {
    return homedir()
  }
}
