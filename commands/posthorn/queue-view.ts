/** How the queue is shown, to people and to programs. Pure: entries and the time in, text out. */
import { formatId } from '../../shared/base/ids.ts'
import type { Answer, QueueEntry } from '../../shared/bus/messages.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { counted, formatSize, formatSpan, oneLine, renderTable } from './figures.ts'

const HEAD = ['ID', 'SIZE', 'AGE', 'STATE', 'TRIES', 'NEXT', 'SENDER', 'RECIPIENT'] as const

/** A table with one line for each recipient, and below it what the last attempt said. */
export function renderEntries(entries: readonly QueueEntry[], now: number, withHead: boolean): string {
  const rows = entries.map((entry) => rowOf(entry, now))
  const table = renderTable([HEAD, ...rows]).split('\n')
  const lines = entries.flatMap((entry, at) => [table[at + 1] ?? '', ...renderReply(entry.lastReply)])
  return [...(withHead ? [table[0] ?? ''] : []), ...lines].map((line) => `${line}\n`).join('')
}

function rowOf(entry: QueueEntry, now: number): string[] {
  const next = entry.nextAttemptAt === null ? '-' : formatSpan(entry.nextAttemptAt - now)
  return [
    formatId('T', entry.id),
    formatSize(entry.size),
    formatSpan(now - entry.receivedAt),
    entry.state,
    String(entry.attempts),
    next,
    `<${oneLine(entry.sender)}>`,
    `<${oneLine(entry.recipient)}>`,
  ]
}

function renderReply(reply: Reply | null): string[] {
  return reply ? [`    ${oneLine(replyText(reply))}`] : []
}

function replyText({ code, enhanced, text, host }: Reply): string {
  return [host ? `${host}:` : '', String(code), enhanced, text].filter((part) => part !== '').join(' ')
}

export interface Total {
  recipients: number
  messages: number
  octets: number
}

export function renderTotal({ recipients, messages, octets }: Total): string {
  if (recipients === 0) return 'The queue is empty.\n'
  return `${counted(messages, 'message')} to ${counted(recipients, 'recipient')}, ${formatSize(octets)}.\n`
}

/** One object on one line. */
export function entryToJson(entry: QueueEntry): string {
  return `${JSON.stringify(plainEntry(entry))}\n`
}

function plainEntry(entry: QueueEntry): Record<string, unknown> {
  return {
    ...entry,
    id: formatId('T', entry.id),
    receivedAt: new Date(entry.receivedAt).toISOString(),
    nextAttemptAt: entry.nextAttemptAt === null ? null : new Date(entry.nextAttemptAt).toISOString(),
  }
}

type Found = Extract<Answer<'queue-show'>, { kind: 'found' }>

export function renderMessage({ envelope, entries, header }: Found, now: number): string {
  const { origin } = envelope
  const from = origin.uid === undefined ? origin.client : `uid ${origin.uid}`
  const facts = [
    ['id', formatId('T', envelope.id)],
    ['received', `${new Date(envelope.receivedAt).toISOString()} by ${origin.listener} from ${from}`],
    ['sender', `<${oneLine(envelope.sender)}>`],
    ['size', formatSize(envelope.size)],
  ]
  return `${renderTable(facts)}\n${renderEntries(entries, now, true)}\n${headerText(header)}`
}

export function messageToJson({ envelope, entries, header }: Found): string {
  const message = {
    envelope: { ...envelope, id: formatId('T', envelope.id) },
    entries: entries.map(plainEntry),
    header: Buffer.from(header).toString('utf8'),
  }
  return `${JSON.stringify(message)}\n`
}

/** Line ends for a terminal, and no control character that could play tricks on it. */
function headerText(header: Uint8Array): string {
  const lines = Buffer.from(header).toString('utf8').trimEnd().split(/\r?\n/)
  return lines.map((line) => `${line.replace(/[^\P{Cc}\t]/gu, '?')}\n`).join('')
}
