/** How the outbox is shown, to people and to programs. Pure: messages and the time in, text out. */
import { counted, formatSize, formatSpan, oneLine, renderTable } from '../posthorn/figures.ts'
import type { OutboxMessage } from './outbox.ts'

const HEAD = ['ID', 'SIZE', 'AGE', 'STATE', 'TRIES', 'NEXT', 'ACCOUNT', 'SENDER', 'RECIPIENT'] as const

export function renderOutbox(messages: readonly OutboxMessage[], now: number): string {
  const rows = messages.flatMap((message) => rowsOf(message, now).map((cells) => ({ message, cells })))
  const table = renderTable([HEAD, ...rows.map(({ cells }) => cells)]).split('\n')
  const lines = rows.flatMap(({ message }, at) => {
    const isLast = rows[at + 1]?.message !== message
    return [table[at + 1] ?? '', ...(isLast ? remarks(message) : [])]
  })
  return [table[0] ?? '', ...lines, ''].join('\n')
}

function rowsOf(message: OutboxMessage, now: number): string[][] {
  const next = message.state === 'waiting' ? formatSpan(Math.max(0, message.nextAttemptAt - now)) : '-'
  const open = message.recipients.map(({ address }) => [address, message.state] as const)
  const refused = message.refused.map(({ address }) => [address, 'failed'] as const)
  return [...open, ...refused].map(([address, state]) => [
    message.id,
    formatSize(message.size),
    formatSpan(now - message.receivedAt),
    state,
    String(message.attempts),
    next,
    message.account,
    `<${oneLine(message.sender)}>`,
    `<${oneLine(address)}>`,
  ])
}

function remarks(message: OutboxMessage): string[] {
  const { state, program, subject, lastReply, refused, id } = message
  const replies = [...refused.map(({ reply }) => reply), ...(lastReply ? [lastReply] : [])]
  const from = program === '' ? '' : ` from ${oneLine(program)}`
  return [
    ...(state === 'held'
      ? [`    held: awaiting you${from}; "posthorn outbox release ${id}" lets it go`]
      : []),
    `    ${oneLine(subject || '(no subject)')}`,
    ...new Set(replies.map(({ code, enhanced, text }) => `    ${code} ${enhanced} ${oneLine(text)}`)),
  ]
}

export function renderOutboxTotal(messages: readonly OutboxMessage[]): string {
  return messages.length === 0
    ? 'Your outbox is empty.\n'
    : `${counted(messages.length, 'message')} in your outbox.\n`
}

/** One object on one line. */
export function outboxToJson(message: OutboxMessage): string {
  const times = {
    receivedAt: new Date(message.receivedAt).toISOString(),
    nextAttemptAt: message.state === 'waiting' ? new Date(message.nextAttemptAt).toISOString() : null,
  }
  return `${JSON.stringify({ ...message, ...times })}\n`
}
