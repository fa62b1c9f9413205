/**
 * The directories that must be there before anyone starts, with their owners and modes.
 *
 * | directory | owner | mode | why |
 * |---|---|---|---|
 * | base, run | mcp's | 0755 | programs must reach the sockets in it |
 * | run/bus | mcp's, group of the workers | 0750 | the workers' way to each other, nobody else's |
 * | spool | qmgr's | 0700 | mail |
 * | sts | the resolver's | 0700 | policies of MTA-STS |
 * | greylist | the resolver's | 0700 | what it remembers of senders, where there is greylisting |
 * | reports | the resolver's | 0700 | counts for reports, where they are sent |
 *
 * Fails: with the system's error, or `NotADirectory`; a symbolic link is not followed at the spool.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Slices } from '../../shared/config/slices.ts'
import type { Identities } from './identities.ts'

/** For those that others must be able to enter. */
export const OPEN = 0o755

export class NotADirectory extends Error {
  override name = 'NotADirectory'
}

export interface BusPaths {
  qmgr: string
  resolver: string
}

export function busDirectory(runDirectory: string): string {
  return join(runDirectory, 'bus')
}

export function busPaths(runDirectory: string): BusPaths {
  const directory = busDirectory(runDirectory)
  return { qmgr: join(directory, 'qmgr.sock'), resolver: join(directory, 'resolver.sock') }
}

export function prepareDirectories({ mcp, qmgr, resolver }: Slices, identities: Identities | null): void {
  makeDirectory(mcp.directory, OPEN)
  makeDirectory(mcp.runDirectory, OPEN)
  for (const file of [mcp.controlSocket, mcp.queueSocket]) makeDirectory(dirname(file), OPEN)
  const bus = busDirectory(mcp.runDirectory)
  makeDirectory(bus, 0o750)
  chmodSync(bus, 0o750)
  makeDirectory(qmgr.spool, 0o700)
  chmodSync(qmgr.spool, 0o700)
  const { greylist, reports, sts } = resolver
  const remembered = [greylist, reports, sts].flatMap((one) => one?.directory ?? [])
  for (const directory of remembered) {
    makeDirectory(directory, 0o700)
    chmodSync(directory, 0o700)
  }
  if (!identities) return
  chownSync(bus, 0, identities.qmgr.gid)
  for (const directory of remembered) chownSync(directory, identities.resolver.uid, identities.resolver.gid)
  chownSync(qmgr.spool, identities.qmgr.uid, identities.qmgr.gid)
}

/** `mode` is for what is made here, parents too; what exists keeps its own. */
export function makeDirectory(path: string, mode: number): void {
  const umask = process.umask(0o022)
  try {
    mkdirSync(path, { recursive: true, mode })
  } finally {
    process.umask(umask)
  }
  if (!lstatSync(path).isDirectory()) throw new NotADirectory(`${path} is not a directory`)
}
