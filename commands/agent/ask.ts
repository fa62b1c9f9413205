/**
 * One request to the caller's agent, which is started where none runs, and its answer.
 *
 * Fails: `Trouble`, with the exit code for what the agent said, or for an agent that is not to be had.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Dialogue } from '../../shared/smtp-client/dialogue.ts'
import { findPlaces, type Places } from '../accounts/places.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import { trustedPath } from '../sendmail/trust.ts'
import { ensureAgent } from './start.ts'

/** @param print what it answers; null: nobody wants to know. */
export async function askAgent(line: string, print: ((text: string) => void) | null): Promise<Exit> {
  const dialogue = new Dialogue(await reachAgent(findPlaces()), PATIENCE_MS)
  await dialogue.answer()
  const reply = await dialogue.ask(line)
  dialogue.socket.destroy()
  const text = [reply.code, reply.enhanced, reply.text].join(' ').trim()
  if (reply.code >= 500)
    throw new Trouble(reply.enhanced === '5.1.0' ? exits.missing : exits.unavailable, text)
  if (reply.code >= 400) throw new Trouble(exits.temporary, text)
  print?.(`${reply.text}\n`)
  return exits.ok
}

const START_MS = 10_000
const POLL_MS = 50
/** A release sends while we wait. */
const PATIENCE_MS = 900_000

async function reachAgent(places: Places): Promise<Socket> {
  await ensureAgent(places)
  const until = Date.now() + START_MS
  for (;;) {
    const socket = await dial(places.socket).catch((error: unknown) => {
      if (error instanceof Trouble) throw error
      return null // not there yet
    })
    if (socket) return socket
    if (Date.now() > until) throw new Trouble(exits.unavailable, `no agent answers at ${places.socket}`)
    await sleep(POLL_MS)
  }
}

async function dial(path: string): Promise<Socket> {
  const trusted = trustedPath(path, process.getuid?.() ?? 0)
  if ('why' in trusted) throw new Trouble(exits.forbidden, trusted.why)
  return new Promise((done, fail) => {
    const socket = connect(trusted.path, () => done(socket))
    socket.once('error', fail)
  })
}
