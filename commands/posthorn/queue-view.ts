/** How the queue is shown, to people and to programs. Pure: entries and the time in, text out. */
import { formatId } from '../../shared/base/ids.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { PastReply, QueueAct, QueueEntry, QueueFilter } from '../../shared/bus/queue.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { counted, formatSize, formatSpan, oneLine, renderTable } from './figures.ts'

const HEAD = ['ID', 'SIZE', 'AGE', 'STATE', 'TRIES', 'NEXT', 'SENDER', 'RECIPIENT'] as const

/** A table with one line for each recipient, and below it what the last attempt said. */
export function renderEntries(entries: readonly QueueEntry[], now: number, withHead: boolean): string {
  return renderWithReplies(entries, now, withHead, (entry) => lastReply(entry, now))
}

function renderWithReplies(
  entries: readonly QueueEntry[],
  now: number,
  withHead: boolean,
  repliesOf: (entry: QueueEntry) => string[],
): string {
  const rows = entries.map((entry) => rowOf(entry, now))
  const table = renderTable([HEAD, ...rows]).split('\n')
  const lines = entries.flatMap((entry, at) => [table[at + 1] ?? '', ...repliesOf(entry)])
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

function lastReply({ lastReply: reply, doubts, removedAt }: QueueEntry, now: number): string[] {
  return [
    ...(removedAt === null ? [] : [`    removed ${formatSpan(now - removedAt)} ago`]),
    ...(reply ? [`    ${oneLine(replyText(reply))}`] : []),
    ...(doubts > 0 ? [`    in doubt: ${doubtText(doubts)}`] : []),
  ]
}

function doubtText(doubts: number): string {
  return `${counted(doubts, 'attempt')} got no answer to the final dot and may have been delivered`
}

function replyText({ code, enhanced, text, host }: Reply): string {
  return [host ? `${host}:` : '', String(code), enhanced, text].filter((part) => part !== '').join(' ')
}

export interface Total {
  recipients: number
  /** Null where recipients of one message do not come one behind the other. */
  messages: { count: number; octets: number; last: number } | null
}

/** Ids are not kept: the list may be longer than memory. Pages are in order of messages but for some patterns. */
export function newTotal({ ids, recipient, domain, destination }: QueueFilter): Total {
  const scattered = [recipient, domain, destination].some((text) => text?.includes('*'))
  return { recipients: 0, messages: scattered && !ids ? null : { count: 0, octets: 0, last: -1 } }
}

export function addToTotal(total: Total, { id, size }: QueueEntry): void {
  total.recipients++
  const { messages } = total
  if (!messages || messages.last === id) return
  messages.last = id
  messages.count++
  messages.octets += size
}

export function renderTotal({ recipients, messages }: Total): string {
  if (recipients === 0) return 'The queue is empty.\n'
  const people = counted(recipients, 'recipient')
  if (!messages) return `${people}.\n`
  return `${counted(messages.count, 'message')} to ${people}, ${formatSize(messages.octets)}.\n`
}

/** One object on one line. */
export function entryToJson(entry: QueueEntry): string {
  return `${JSON.stringify(plainEntry(entry))}\n`
}

function plainEntry(entry: QueueEntry): Record<string, unknown> {
  return {
    ...entry,
    id: formatId('T', entry.id),
    receivedAt: isoTime(entry.receivedAt),
    nextAttemptAt: isoTime(entry.nextAttemptAt),
    repliedAt: isoTime(entry.repliedAt),
    removedAt: isoTime(entry.removedAt),
    inDoubt: entry.doubts > 0,
  }
}

function isoTime(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}

type Planned = Extract<Answer<'queue-act'>, { kind: 'planned' }>

export function renderPlan(done: string, { recipients, sample }: Planned, now: number): string {
  const more = recipients - sample.length
  return [
    `would be ${done}: ${counted(recipients, 'recipient')}\n`,
    sample.length > 0 ? renderEntries(sample, now, true) : '',
    more > 0 ? `and ${more} more\n` : '',
  ].join('')
}

export function planToJson(act: QueueAct, { recipients, sample }: Planned): string {
  return `${JSON.stringify({ act, dryRun: true, recipients, sample: sample.map(plainEntry) })}\n`
}

type Found = Extract<Answer<'queue-show'>, { kind: 'found' }>

/** Recipients with everything they were told, the header, and who needs no more work. */
export function renderMessage({ envelope, entries, history, header }: Found, now: number): string {
  const { origin } = envelope
  const from = origin.uid === undefined ? origin.client : `uid ${origin.uid}`
  const done = doneIn({ envelope, entries })
  const facts = [
    ['id', formatId('T', envelope.id)],
    ['received', `${new Date(envelope.receivedAt).toISOString()} by ${origin.listener} from ${from}`],
    ['sender', `<${oneLine(envelope.sender)}>`],
    ['size', formatSize(envelope.size)],
    ...done.map((address) => ['done', `<${oneLine(address)}>`]),
  ]
  const past = new Map<number, PastReply[]>()
  for (const reply of history) past.set(reply.n, [...(past.get(reply.n) ?? []), reply])
  const people = renderWithReplies(entries, now, true, (entry) =>
    allReplies(entry, past.get(entry.n) ?? [], now),
  )
  return `${renderTable(facts)}\n${people}\n${headerText(header)}`
}

function doneIn({ envelope, entries }: Pick<Found, 'envelope' | 'entries'>): string[] {
  const open = new Set(entries.map(({ n }) => n))
  return envelope.recipients.flatMap(({ address }, n) => (open.has(n) ? [] : [address]))
}

/** The oldest first, each with its age where that is known; the last one is the entry's own. */
function allReplies(entry: QueueEntry, past: readonly PastReply[], now: number): string[] {
  const lines = past.map(
    ({ at, reply, inDoubt }) =>
      `    ${formatSpan(now - at)} ago: ${oneLine(replyText(reply))}${inDoubt ? ' (in doubt)' : ''}`,
  )
  const [last, ...rest] = lastReply({ ...entry, removedAt: null }, now)
  const age = entry.repliedAt === null || !entry.lastReply ? '' : `${formatSpan(now - entry.repliedAt)} ago: `
  const removed = entry.removedAt === null ? [] : [`    removed ${formatSpan(now - entry.removedAt)} ago`]
  return [...lines, ...(last === undefined ? [] : [`    ${age}${last.trimStart()}`]), ...rest, ...removed]
}

export function messageToJson({ envelope, entries, history, header }: Found): string {
  const message = {
    envelope: { ...envelope, id: formatId('T', envelope.id) },
    entries: entries.map(plainEntry),
    history: history.map((past) => ({ ...past, at: isoTime(past.at) })),
    done: doneIn({ envelope, entries }),
    header: Buffer.from(header).toString('utf8'),
  }
  return `${JSON.stringify(message)}\n`
}

/** Line ends for a terminal, and no control character that could play tricks on it. */
function headerText(header: Uint8Array): string {
  const lines = Buffer.from(header).toString('utf8').trimEnd().split(/\r?\n/)
  return lines.map((line) => `${line.replace(/[^\P{Cc}\t]/gu, '?')}\n`).join('')
}
