/**
 * An agent for whoever needs one: the one that runs, or one that is started for the purpose and stays a while.
 *
 * It belongs to nobody's terminal, keeps no descriptor of the caller's, and works in `/`, so that it holds no disk.
 * Loads what it needs when it needs it: nearly every call of sendmail finds an agent, or a server.
 * Two callers may start two; one of them finds the other's lock and leaves.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Places } from '../accounts/places.ts'

/** Resolves at once; a caller tries to connect until the agent is there. */
export async function ensureAgent({ socket }: Places): Promise<void> {
  if (await answers(socket)) return
  const { spawn } = await import('node:child_process')
  const program = join(import.meta.dirname, 'posthorn.js') // where the bundle is, not this file
  const child = spawn(process.execPath, [program, 'agent', '--on-demand'], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
  })
  child.on('error', () => undefined) // whoever waits for the socket finds nobody there
  child.unref()
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
