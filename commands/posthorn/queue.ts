/**
 * `posthorn queue …`, and `mailq`: asks qmgr over its queue socket. Long lists come in pages and are printed as they
 * come; who may see and do what is qmgr's decision.
 */
import { parseId } from '../../shared/base/ids.ts'
import type { QueueEntry, QueueFilter } from '../../shared/bus/messages.ts'
import { counted } from './figures.ts'
import {
  entryToJson,
  messageToJson,
  renderEntries,
  renderMessage,
  renderTotal,
  type Total,
} from './queue-view.ts'
import { openServer, type Server, socketPath, withServer } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

const PAGE = 500
const POLL_MS = 200
const STATES = ['active', 'deferred', 'held'] as const

export async function listQueue(call: Call, print: (text: string) => void): Promise<Exit> {
  const json = call.flags.has('json')
  const server = await openServer(socketPath(call, 'qmgr'), 'qmgr')
  const messages = new Set<number>()
  const total: Total = { recipients: 0, messages: 0, octets: 0 }
  for await (const entries of pages(server, filterOf(call))) {
    if (json) print(entries.map(entryToJson).join(''))
    else if (entries.length > 0) print(renderEntries(entries, Date.now(), total.recipients === 0))
    total.recipients += entries.length
    for (const { id, size } of entries) {
      if (!messages.has(id)) total.octets += size
      messages.add(id)
    }
  }
  server.close()
  total.messages = messages.size
  if (!json) print(renderTotal(total))
  return total.recipients === 0 && call.flags.has('exit-code') ? exits.nothing : exits.ok
}

async function* pages(server: Server, filter: QueueFilter): AsyncGenerator<QueueEntry[], void> {
  let after: string | null = null
  do {
    const { entries, next }: { entries: QueueEntry[]; next: string | null } = await server.ask('queue-list', {
      filter,
      after,
      limit: PAGE,
    })
    yield entries
    after = next
  } while (after !== null)
}

export async function showMessage(call: Call, print: (text: string) => void): Promise<Exit> {
  const [written = ''] = call.operands
  const answer = await withServer(socketPath(call, 'qmgr'), 'qmgr', (server) =>
    server.ask('queue-show', { id: readId(written) }),
  )
  if (answer.kind === 'missing') throw new Trouble(exits.missing, `${written} is not in the queue`)
  print(call.flags.has('json') ? messageToJson(answer) : renderMessage(answer, Date.now()))
  return exits.ok
}

const DONE = { flush: 'flushed', hold: 'held', release: 'released', remove: 'removed' } as const
export type Act = keyof typeof DONE

export async function actOnQueue(call: Call, act: Act, print: (text: string) => void): Promise<Exit> {
  const filter = filterOf(call)
  const unlimited = act === 'flush' || call.flags.has('all')
  if (!unlimited && Object.keys(filter).length === 0)
    throw new Trouble(exits.usage, `"posthorn queue ${act}" needs ids, a selection, or --all`)
  const { recipients } = await withServer(socketPath(call, 'qmgr'), 'qmgr', (server) =>
    server.ask('queue-act', { act, filter }),
  )
  if (!call.flags.has('quiet')) print(`${DONE[act]}: ${counted(recipients, 'recipient')}\n`)
  const named = (filter.ids?.length ?? 0) > 0
  return named && recipients === 0 && act !== 'flush' ? exits.missing : exits.ok
}

/** Polls: a queue that empties is no event on the bus. */
export async function waitForQueue(call: Call): Promise<Exit> {
  const filter = filterOf(call)
  const seconds = Number(call.values.timeout ?? Number.POSITIVE_INFINITY)
  if (!(seconds >= 0))
    throw new Trouble(exits.usage, `--timeout ${call.values.timeout}: not a number of seconds`)
  const until = Date.now() + seconds * 1000
  const server = await openServer(socketPath(call, 'qmgr'), 'qmgr')
  while (!(await isEmpty(server, filter))) {
    if (Date.now() + POLL_MS > until) throw new Trouble(exits.temporary, 'there is still mail in the queue')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  server.close()
  return exits.ok
}

/** A page may be empty and yet have a next one: entries of others are left out of it. */
async function isEmpty(server: Server, filter: QueueFilter): Promise<boolean> {
  for await (const entries of pages(server, filter)) if (entries.length > 0) return false
  return true
}

function filterOf({ operands, values }: Call): QueueFilter {
  const { sender, recipient, destination } = values
  const state = STATES.find((known) => known === values.state)
  if (values.state !== undefined && state === undefined)
    throw new Trouble(exits.usage, `--state ${values.state}: one of ${STATES.join(', ')}`)
  return {
    ...(operands.length > 0 && { ids: operands.map(readId) }),
    ...(sender !== undefined && { sender }),
    ...(recipient !== undefined && { recipient }),
    ...(destination !== undefined && { destination }),
    ...(state !== undefined && { state }),
  }
}

function readId(text: string): number {
  const id = parseId('T', text)
  if (id === null) throw new Trouble(exits.usage, `${text} is no message id; they look like T3W5E11264SG`)
  return id
}
