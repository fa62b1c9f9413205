/**
 * The way to the agent of our user: its socket, found where agents put it, and whoever answers proved by the kernel
 * (SO_PEERCRED, unix(7)) to be that user and nobody else.
 *
 * Gives `absent` where there is no socket: the user has no agent, or none runs that could be asked. A socket that
 * nobody answers is another matter: there was an agent, it may come back, and mail that its user wants to be asked
 * about must not slip away by another door meanwhile. That rejects, as every other trouble does.
 */
import { connect, type Socket } from 'node:net'
import { agentSocketIn, usualRuntimeDirectory, usualStateDirectory } from '../../shared/smtp-client/agent.ts'
import { peerCredentials } from '../../shared/system/credentials.ts'
import { errorCode } from './failure.ts'

const PATIENCE_MS = 30_000
/** There is no such file, or no way to one. */
const NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'])

export function agentSockets(uid: number, home: string): string[] {
  return [usualRuntimeDirectory(uid), usualStateDirectory(home)].map(agentSocketIn)
}

/** @returns a socket that nobody has read from. */
export async function dialAgent(paths: readonly string[], uid: number): Promise<Socket | 'absent'> {
  let trouble: Error | null = null
  for (const path of paths) {
    try {
      const socket = await dial(path)
      const peer = peerCredentials(socket)
      if (peer?.uid === uid) return socket
      socket.destroy()
      trouble = new Error(`${path} belongs to uid ${peer?.uid ?? 'unknown'}, not to ${uid}`)
    } catch (error) {
      if (NOWHERE.has(errorCode(error))) continue
      trouble = new Error(`the agent does not answer at ${path}: ${errorCode(error) || String(error)}`)
    }
  }
  if (trouble) throw trouble
  return 'absent'
}

function dial(path: string): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect(path)
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), PATIENCE_MS)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', fail)
      // an error between two owners must not end the process; 'close' follows it
      socket.on('error', () => undefined)
      done(socket)
    })
    socket.once('error', (error) => {
      clearTimeout(timer)
      fail(error)
    })
  })
}
