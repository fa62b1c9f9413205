/**
 * `posthorn queue …`, and `mailq`: asks qmgr over its queue socket. Long lists come in pages and are printed as they
 * come, so that neither side holds more than a page; who may see and do what is qmgr's decision.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import type { QueueAct, QueueEntry, QueueFilter } from '../../shared/bus/queue.ts'
import { counted } from './figures.ts'
import { filterOf, readId } from './queue-filter.ts'
import {
  addToTotal,
  entryToJson,
  messageToJson,
  newTotal,
  planToJson,
  renderEntries,
  renderMessage,
  renderPlan,
  renderTotal,
} from './queue-view.ts'
import { openServer, type Server, socketPath, withServer } from './server.ts'
import { type Exit, exits, Trouble } from './trouble.ts'
import type { Call } from './words.ts'

const PAGE = 500
const POLL_MS = 200

type Print = (text: string) => void

export async function listQueue(call: Call, print: Print): Promise<Exit> {
  const json = call.flags.has('json')
  const filter = filterOf(call, Date.now())
  const server = await openServer(socketPath(call, 'qmgr'), 'qmgr')
  const total = newTotal(filter)
  for await (const entries of pages(server, filter)) {
    if (entries.length === 0) continue
    if (json) print(entries.map(entryToJson).join(''))
    else print(renderEntries(entries, Date.now(), total.recipients === 0))
    for (const entry of entries) addToTotal(total, entry)
  }
  server.close()
  if (!json) print(renderTotal(total))
  return total.recipients === 0 && call.flags.has('exit-code') ? exits.nothing : exits.ok
}

async function* pages(server: Server, filter: QueueFilter): AsyncGenerator<QueueEntry[], void> {
  let after: string | null = null
  do {
    const page: Answer<'queue-list'> = await server.ask('queue-list', { filter, after, limit: PAGE })
    yield page.entries
    after = page.next
  } while (after !== null)
}

export async function showMessage(call: Call, print: Print): Promise<Exit> {
  const [written = ''] = call.operands
  const id = readId(written)
  const answer = await withServer(socketPath(call, 'qmgr'), 'qmgr', (server) =>
    server.ask('queue-show', { id }),
  )
  if (answer.kind === 'missing') throw new Trouble(exits.missing, `${written} is not in the queue`)
  print(call.flags.has('json') ? messageToJson(answer) : renderMessage(answer, Date.now()))
  return exits.ok
}

/** @param act what the caller said; `remove --for-good` is an act of its own. */
export async function actOnQueue(
  call: Call,
  word: Exclude<QueueAct, 'discard'>,
  print: Print,
): Promise<Exit> {
  const act = word === 'remove' && call.flags.has('for-good') ? 'discard' : word
  const filter = filterOf(call, Date.now())
  const unlimited = call.command === 'queue flush' || call.flags.has('all')
  if (!unlimited && Object.keys(filter).length === 0)
    throw new Trouble(exits.usage, `"posthorn ${call.command}" needs ids, a selection, or --all`)
  const dryRun = call.flags.has('dry-run')
  const answer = await withServer(socketPath(call, 'qmgr'), 'qmgr', (server) =>
    server.ask('queue-act', { act, filter, ...(dryRun && { dryRun }) }),
  )
  const recipients = report(call, act, answer, print)
  const named = (filter.ids?.length ?? 0) > 0
  return named && recipients === 0 && call.command !== 'queue flush' ? exits.missing : exits.ok
}

const DONE: Readonly<Record<QueueAct, string>> = {
  hold: 'held',
  release: 'released',
  retry: 'tried again now',
  'route-again': 'routed again',
  remove: 'removed',
  restore: 'restored',
  discard: 'removed for good',
}

/** How many recipients it was, or would be. */
function report(call: Call, act: QueueAct, answer: Answer<'queue-act'>, print: Print): number {
  const json = call.flags.has('json')
  switch (answer.kind) {
    case 'refused':
      throw new Trouble(exits.forbidden, answer.reason)
    case 'failed':
      throw new Trouble(
        exits.temporary,
        `${answer.reason}; until then ${counted(answer.recipients, 'recipient')} ${DONE[act]}`,
      )
    case 'planned':
      print(json ? planToJson(act, answer) : renderPlan(DONE[act], answer, Date.now()))
      return answer.recipients
    case 'done':
      if (json) print(`${JSON.stringify({ act, recipients: answer.recipients })}\n`)
      else if (!call.flags.has('quiet')) print(`${DONE[act]}: ${counted(answer.recipients, 'recipient')}\n`)
      return answer.recipients
    default: {
      const never: never = answer
      throw new Error(`unknown answer ${String(never)}`)
    }
  }
}

/** Polls: a queue that empties is no event on the bus. */
export async function waitForQueue(call: Call): Promise<Exit> {
  const filter = filterOf(call, Date.now())
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

/** A page may be empty and yet have a next one. */
async function isEmpty(server: Server, filter: QueueFilter): Promise<boolean> {
  for await (const entries of pages(server, filter)) if (entries.length > 0) return false
  return true
}
