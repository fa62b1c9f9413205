/** Between rows of the `recipient` table and `RecipientRow`, and from a queue filter to a WHERE clause. Pure. */
import type { QueueFilter } from '../../shared/bus/messages.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import type { Page, RecipientRow } from './store.ts'

export interface RawRow {
  message: number
  n: number
  state: number
  next_attempt: number
  attempts: number
  warned: number
  address: string
  sender: string
  destination: string
  octets: number
  received: number
  reply: string | null
}

export const stateCode = { deferred: 0, held: 1, active: 2 } as const satisfies Record<
  RecipientRow['state'],
  number
>
const states = ['deferred', 'held', 'active'] as const

export function readRow(raw: RawRow): RecipientRow {
  return {
    message: raw.message,
    n: raw.n,
    state: states[raw.state] ?? 'deferred',
    nextAttemptAt: raw.next_attempt,
    attempts: raw.attempts,
    warned: raw.warned === 1,
    address: raw.address,
    sender: raw.sender,
    destination: raw.destination,
    octets: raw.octets,
    receivedAt: raw.received,
    reply: raw.reply === null ? null : (JSON.parse(raw.reply) as Reply),
  }
}

export interface Where {
  sql: string
  values: (string | number)[]
}

/** The parts of a filter joined by AND; `1` for an empty one. `*` in a text makes it a pattern. */
export function whereOf(filter: QueueFilter): Where {
  const parts: string[] = []
  const values: (string | number)[] = []
  if (filter.ids) {
    parts.push(`message IN (${filter.ids.map(() => '?').join(', ') || 'NULL'})`)
    values.push(...filter.ids)
  }
  if (filter.state) {
    parts.push('state = ?')
    values.push(stateCode[filter.state])
  }
  const texts = { sender: filter.sender, address: filter.recipient, destination: filter.destination }
  for (const [column, text] of Object.entries(texts)) {
    if (text === undefined) continue
    parts.push(text.includes('*') ? `${column} GLOB ?` : `${column} = ?`)
    values.push(text.includes('*') ? globOf(text) : text)
  }
  return { sql: parts.join(' AND ') || '1', values }
}

/** Only `*` is special for us; GLOB's other signs are taken as they are. */
function globOf(text: string): string {
  return text.replace(/[[?]/g, (sign) => `[${sign}]`)
}

export function pageKey(after: string | null): { message: number; n: number } {
  const [message, n] = (after ?? '').split('.').map(Number)
  return Number.isSafeInteger(message) && Number.isSafeInteger(n)
    ? { message: message ?? -1, n: n ?? -1 }
    : { message: -1, n: -1 }
}

export function pageOf(rows: RecipientRow[], limit: number): Page {
  const last = rows.at(-1)
  return { rows, next: last && rows.length === limit ? `${last.message}.${last.n}` : null }
}
