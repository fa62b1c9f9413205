/**
 * `posthorn outbox …`: looks at the outbox by itself, and asks the agent for every change, since that alone writes.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Dialogue } from '../../shared/smtp-client/dialogue.ts'
import { findPlaces, type Places } from '../accounts/places.ts'
import { type Exit, exits, Trouble } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import { trustedPath } from '../sendmail/trust.ts'
import type { OutboxAct } from './intake.ts'
import { listOutbox } from './outbox.ts'
import { outboxToJson, renderOutbox, renderOutboxTotal } from './outbox-view.ts'
import { ensureAgent } from './start.ts'

type Print = (text: string) => void

export async function outbox(call: Call, print: Print): Promise<Exit> {
  switch (call.command) {
    case 'outbox release':
      return act('RELEASE', call, print)
    case 'outbox remove':
      return act('REMOVE', call, print)
    case 'outbox flush':
      return act('RETRY', call, print)
    default:
      listMessages(call.flags.has('json'), true, print)
      return exits.ok
  }
}

/** @param always say so when there is nothing. Gives the number of messages. */
export function listMessages(json: boolean, always: boolean, print: Print): number {
  const { messages, unreadable } = listOutbox(findPlaces().state)
  if (json) print(messages.map(outboxToJson).join(''))
  else if (messages.length > 0) print(renderOutbox(messages, Date.now()))
  if (!json && (always || messages.length > 0)) print(renderOutboxTotal(messages))
  for (const path of unreadable) process.stderr.write(`${path} cannot be read; it is left alone\n`)
  return messages.length
}

const START_MS = 10_000
const POLL_MS = 50
/** A release sends while we wait. */
const PATIENCE_MS = 900_000

async function act(word: OutboxAct, call: Call, print: Print): Promise<Exit> {
  const dialogue = new Dialogue(await reachAgent(findPlaces()), PATIENCE_MS)
  await dialogue.answer()
  const reply = await dialogue.ask(['XOUTBOX', word, ...call.operands].join(' '))
  dialogue.socket.destroy()
  const text = [reply.code, reply.enhanced, reply.text].join(' ').trim()
  if (reply.code >= 500)
    throw new Trouble(reply.enhanced === '5.1.0' ? exits.missing : exits.unavailable, text)
  if (reply.code >= 400) throw new Trouble(exits.temporary, text)
  if (!call.flags.has('quiet')) print(`${reply.text}\n`)
  return exits.ok
}

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
