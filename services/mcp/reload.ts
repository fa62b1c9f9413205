/**
 * What a new configuration may change while everything runs. Pure.
 *
 * Where mail and sockets are, and who the workers are, is settled at the start; a config that changes it is
 * refused as a whole, with one sentence for each such thing, and the old one runs on.
 */
import type { Slices } from '../../shared/config/slices.ts'

const SETTLED: readonly { what: string; of: (slices: Slices) => unknown }[] = [
  { what: 'directory', of: ({ mcp }) => mcp.directory },
  { what: 'the run directory', of: ({ mcp }) => mcp.runDirectory },
  { what: 'the pid file', of: ({ mcp }) => mcp.pidFile },
  { what: 'the control socket', of: ({ mcp }) => [mcp.controlSocket, mcp.controlMode] },
  { what: 'the queue socket', of: ({ mcp }) => mcp.queueSocket },
  { what: 'the spool', of: ({ qmgr }) => qmgr.spool },
  { what: 'the users of the processes', of: ({ mcp }) => [mcp.users, mcp.group] },
]

export function whyNotReloadable(before: Slices, after: Slices): string[] {
  return SETTLED.filter(({ of }) => JSON.stringify(of(before)) !== JSON.stringify(of(after))).map(
    ({ what }) => `${what} cannot change while Posthorn runs; stop it and start it again`,
  )
}
