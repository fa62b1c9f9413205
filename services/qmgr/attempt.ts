/**
 * One delivery attempt as qmgr sees it: what the worker is told, what its answer says of the destination, and what is
 * said of recipients whose attempt was lost or never begun. Pure.
 */
import type { Payload } from '../../shared/bus/messages.ts'
import type { ConnectionTerms } from '../../shared/message/connection-terms.ts'
import type { Outcome, Reply } from '../../shared/message/outcome.ts'
import type { Result } from './destination.ts'
import type { Suspension } from './group.ts'
import type { Task } from './tasks.ts'

const lostReply: Reply = { code: 451, enhanced: '4.3.0', text: 'the attempt was lost here', host: '' }
export const forgotten: Outcome = { kind: 'later', blame: 'ours', reply: lostReply }
/** RFC 1047: what happened after the dot, if it was sent, nobody here knows any more. */
export const doubtful: Outcome = { ...forgotten, inDoubt: true }

export function deadReply(destination: string): Reply {
  return { code: 451, enhanced: '4.4.1', text: `${destination} does not answer`, host: '' }
}

// RFC 3463 section 3.5: mail system congestion
export function suspensionReply({ reply: { code, enhanced, text, host }, retryClass }: Suspension): Reply {
  const said = [code, enhanced, text].filter(Boolean).join(' ')
  const words = `sending is suspended (${retryClass}), as ${host || 'the last attempt'} said: ${said}`
  return { code: 451, enhanced: '4.4.5', text: words, host: '' }
}

export function payloadOf(
  task: Task,
  attempt: number,
  content: Uint8Array | null,
  terms: ConnectionTerms | null,
): Payload<'deliver'> {
  const { envelope } = task.entry
  return {
    attempt,
    message: task.entry.id,
    sender: (task.route.kind === 'smtp' ? task.route.sender : undefined) ?? envelope.sender,
    recipients: task.slots.map(({ n, recipient: { address, original, notify, orcpt } }) => ({
      n,
      address,
      ...(original !== undefined && { original }),
      ...(notify !== undefined && { notify }),
      ...(orcpt !== undefined && { orcpt }),
    })),
    size: envelope.size,
    body: envelope.body,
    smtputf8: envelope.smtputf8,
    ...(envelope.ret && { ret: envelope.ret }),
    ...(envelope.envid !== undefined && { envid: envelope.envid }),
    ...(envelope.deliverBy && { deliverBy: envelope.deliverBy }),
    ...(envelope.priority && { priority: envelope.priority }),
    ...(envelope.requireTls && { requireTls: true }),
    ...(envelope.tlsDemand && { tlsDemand: envelope.tlsDemand }),
    route: task.route,
    ...(terms && { terms }),
    content,
  }
}

export function resultOf(outcomes: readonly Outcome[]): Result {
  let result: Result = 'neutral'
  for (const outcome of outcomes) {
    if (outcome.kind !== 'later') result = 'good'
    else if (outcome.blame === 'destination') return outcome.reply.host === '' ? 'bad' : 'braked'
    else if (outcome.blame !== 'ours') result = 'good'
  }
  return result
}
