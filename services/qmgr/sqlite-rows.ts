/** Between rows of the `recipient` and `earlier` tables and what the store gives out. Pure. */
import type { PastReply } from '../../shared/bus/queue.ts'
import type { Reply } from '../../shared/message/outcome.ts'
import { domainOf } from './selection.ts'
import type { RecipientRow } from './store.ts'

interface RawReply {
  code: number | null
  enhanced: string | null
  text: string | null
  host: string | null
  replied: number | null
  in_doubt: number
}

export interface RawRow extends RawReply {
  message: number
  n: number
  state: number
  next_attempt: number
  attempts: number
  warned: number
  address: string
  domain: string
  sender: string
  owner: number | null
  destination: string
  octets: number
  received: number
  doubts: number
  removed: number | null
  removed_from: number | null
}

export interface RawEarlier extends RawReply {
  n: number
  replied: number
}

export const stateCode = { deferred: 0, held: 1, active: 2, removed: 3 } as const satisfies Record<
  RecipientRow['state'],
  number
>
const states = ['deferred', 'held', 'active', 'removed'] as const

export function readRow(raw: RawRow): RecipientRow {
  return {
    message: raw.message,
    n: raw.n,
    state: readState(raw.state),
    nextAttemptAt: raw.next_attempt,
    attempts: raw.attempts,
    warned: raw.warned === 1,
    address: raw.address,
    sender: raw.sender,
    owner: raw.owner,
    destination: raw.destination,
    octets: raw.octets,
    receivedAt: raw.received,
    reply: readReply(raw),
    repliedAt: raw.replied,
    inDoubt: raw.in_doubt === 1,
    doubts: raw.doubts,
    removal:
      raw.removed === null
        ? null
        : { at: raw.removed, was: raw.removed_from === stateCode.held ? 'held' : 'deferred' },
  }
}

export function readState(code: number): RecipientRow['state'] {
  return states[code] ?? 'deferred'
}

function readReply({ code, enhanced, text, host }: RawReply): Reply | null {
  return code === null ? null : { code, enhanced: enhanced ?? '', text: text ?? '', host: host ?? '' }
}

export function readEarlier(raw: RawEarlier): PastReply[] {
  const reply = readReply(raw)
  return reply ? [{ n: raw.n, at: raw.replied, reply, inDoubt: raw.in_doubt === 1 }] : []
}

/** By the names of the columns. */
export function rawOf(row: RecipientRow): RawRow {
  return {
    message: row.message,
    n: row.n,
    state: stateCode[row.state],
    next_attempt: row.nextAttemptAt,
    attempts: row.attempts,
    warned: row.warned ? 1 : 0,
    address: row.address,
    domain: domainOf(row.address),
    sender: row.sender,
    owner: row.owner,
    destination: row.destination,
    octets: row.octets,
    received: row.receivedAt,
    code: row.reply?.code ?? null,
    enhanced: row.reply?.enhanced ?? null,
    text: row.reply?.text ?? null,
    host: row.reply?.host ?? null,
    replied: row.repliedAt,
    in_doubt: row.inDoubt ? 1 : 0,
    doubts: row.doubts,
    removed: row.removal?.at ?? null,
    removed_from: row.removal ? stateCode[row.removal.was] : null,
  }
}
