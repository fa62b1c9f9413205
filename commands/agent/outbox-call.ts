/**
 * `posthorn outbox …`: looks at the outbox by itself, and asks the agent for every change, since that alone writes.
 */
import { findPlaces } from '../accounts/places.ts'
import { type Exit, exits } from '../posthorn/trouble.ts'
import type { Call } from '../posthorn/words.ts'
import { askAgent } from './ask.ts'
import type { OutboxAct } from './intake.ts'
import { listOutbox } from './outbox.ts'
import { outboxToJson, renderOutbox, renderOutboxTotal } from './outbox-view.ts'

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

async function act(word: OutboxAct, call: Call, print: Print): Promise<Exit> {
  return askAgent(['XOUTBOX', word, ...call.operands].join(' '), call.flags.has('quiet') ? null : print)
}
