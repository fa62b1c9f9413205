/**
 * BDAT (RFC 3030 section 2): content in chunks of announced size.
 *
 * Octets follow the command whatever the answer is, so it is legal in every phase and refuses for itself: what
 * follows is read and forgotten. A command whose size cannot be read ends the session, because what comes next
 * could be content that looks like commands. Pure; next: `reception.ts` for the octets.
 */

import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { forEach } from './lmtp.ts'
import { replies } from './replies.ts'
import type { Effect, Phase, Setting, State, Step } from './state.ts'
import { hangUp, lacksTls, move, say, stay } from './step.ts'

interface Chunk {
  octets: number
  last: boolean
}

/** RFC 3030 section 2. */
const CHUNK = /^([0-9]{1,20})(?: +(LAST))?$/i

function readChunk(argument: string): Chunk | null {
  const [, digits, last] = CHUNK.exec(argument) ?? []
  const octets = Number(digits)
  return Number.isSafeInteger(octets) ? { octets, last: last !== undefined } : null
}

export function bdat(
  { setting, state }: { setting: Setting; state: State },
  phase: Phase,
  argument: string,
): Step {
  const chunk = readChunk(argument)
  if (!chunk) return hangUp(state, replies.chunkSyntax)
  if (lacksTls(setting, state)) return refuse(state, chunk, replies.tlsFirst)
  switch (phase.at) {
    case 'mail':
      return first(state, phase, chunk)
    case 'chunks':
      return another(state, phase, chunk)
    case 'start':
      return refuse(state, chunk, replies.helloFirst)
    default:
      return refuse(state, chunk, replies.mailFirst)
  }
}

function refuse(state: State, { octets }: Chunk, reply: SmtpReply): Step {
  return stay(state, say(reply), { kind: 'skip', octets })
}

type In<P extends Phase['at']> = Extract<Phase, { at: P }>

function first(state: State, { hello, transaction }: In<'mail'>, chunk: Chunk): Step {
  if (transaction.agreed === 0 && !transaction.asksHeader) return refuse(state, chunk, replies.noRecipients)
  const framing = transaction.body === 'binarymime' ? 'octets' : 'lines'
  const phase: Phase = { at: 'chunk', hello, transaction }
  return move(state, phase, { kind: 'receive', transaction, hello, framing }, { kind: 'expect', ...chunk })
}

function another(state: State, { hello, transaction, refused }: In<'chunks'>, chunk: Chunk): Step {
  if (!refused) return move(state, { at: 'chunk', hello, transaction }, { kind: 'expect', ...chunk })
  if (!chunk.last) return refuse(state, chunk, refused)
  const said = forEach(transaction, refused).map(say)
  return move(state, { at: 'ready', hello }, ...said, { kind: 'skip', octets: chunk.octets })
}

/** For whatever ends a transaction between two chunks. */
export function dropped({ phase }: State): Effect[] {
  return phase.at === 'chunks' && !phase.refused ? [{ kind: 'drop' }] : []
}
