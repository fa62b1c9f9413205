/**
 * Selections of recipients: what `posthorn queue` asks for, and what qmgr adds to it. Pure.
 *
 * `orderOf` says in which order the rows of a selection are gone through, so that an index leads straight to them:
 * by message and recipient, or, where a range is asked for (ages, sizes, patterns that begin with plain text), by
 * the column of that range first. A `Place` is a position in that order; on the bus it is an opaque text.
 * `meets` is the rule itself, for recipients that are only in memory; `sqlite-selection.ts` has it in SQL.
 */
import type { QueueAct, QueueFilter } from '../../shared/bus/queue.ts'
import { fits } from '../../shared/message/next-hop.ts'
import type { RecipientRow, Touched } from './store.ts'

export interface Selection extends QueueFilter {
  /** Only messages that this local uid submitted. */
  owner?: number
  /** Only these, besides what `state` says. */
  states?: readonly RecipientRow['state'][]
  /** Removed before; milliseconds since 1970. */
  removedBefore?: number
}

/** Acts on rows that leave the message where it is. */
export type RowAct = Exclude<QueueAct, 'discard'>

/** Whom an act concerns. Active recipients are in memory; acts reach them there. */
const concerned: Readonly<Record<QueueAct, readonly RecipientRow['state'][]>> = {
  hold: ['deferred'],
  release: ['held'],
  retry: ['deferred'],
  'route-again': ['deferred'],
  remove: ['deferred', 'held'],
  restore: ['removed'],
  discard: ['deferred', 'held', 'removed'],
}

/** `discard` takes what was removed before only when asked for it by name. */
export function selectionFor(act: QueueAct, filter: QueueFilter): Selection {
  const states = concerned[act]
  return filter.state === undefined && act !== 'restore'
    ? { ...filter, states: states.filter((state) => state !== 'removed') }
    : { ...filter, states }
}

/** The destinations that these rows are for, each once, and how the number of recipients queued for it changes. */
export function touchedBy(act: QueueAct, rows: Iterable<Counted>): Touched[] {
  const sums = new Map<string, number>()
  for (const row of rows)
    if (row.destination !== '')
      sums.set(row.destination, (sums.get(row.destination) ?? 0) + shiftBy(act, row))
  return [...sums].map(([destination, recipients]) => ({ destination, recipients }))
}

type Counted = Pick<RecipientRow, 'state' | 'destination'>

/** Queued for it are those that wait, are held or are under way; a removed one is not. */
function shiftBy(act: QueueAct, { state }: Counted): number {
  if (act === 'restore') return state === 'removed' ? 1 : 0
  const leaves = act === 'remove' || act === 'discard' || act === 'route-again'
  return leaves && state !== 'removed' ? -1 : 0
}

export type Column = 'address' | 'sender' | 'destination' | 'domain' | 'received' | 'octets' | 'removed'

export interface Order {
  /** Null: by message and recipient alone. */
  column: Column | null
  /** Where to begin, and the value that ends it, itself left out. */
  from: Place | null
  to: string | number | null
}

export interface Place {
  value: string | number | null
  message: number
  n: number
}

const byMessage: Order = { column: null, from: null, to: null }

export function orderOf(selection: Selection): Order {
  const { ids, removedBefore, receivedAfter, receivedBefore, largerThan, smallerThan } = selection
  if (ids) return byMessage
  if (removedBefore !== undefined) return range('removed', -1, removedBefore)
  const equality = equalityOf(selection)
  if (equality) return equality.kind === 'removed' ? range('removed') : byMessage
  const prefixed = prefixOf(selection)
  if (prefixed) return prefixed
  if (receivedAfter !== undefined || receivedBefore !== undefined)
    return range('received', receivedAfter, receivedBefore)
  if (largerThan !== undefined || smallerThan !== undefined) return range('octets', largerThan, smallerThan)
  return byMessage
}

/** Both ends left out. */
function range(column: Column, above?: number, below?: number): Order {
  const from = above === undefined ? { value: -1, message: -1, n: -1 } : { value: above, ...endOfValue }
  return { column, from, to: below ?? null }
}
const endOfValue = { message: Number.MAX_SAFE_INTEGER, n: Number.MAX_SAFE_INTEGER }

export type Equality =
  | { kind: 'address' | 'sender' | 'destination' | 'domain' | 'enhanced'; value: string }
  | { kind: 'owner' | 'code'; value: number }
  | { kind: 'held' | 'removed' | 'active' | 'doubtful' }

/** The part of a selection that an index answers with the fewest rows, as far as that can be told beforehand. */
export function equalityOf(selection: Selection): Equality | null {
  const { recipient, sender, owner, state, states, inDoubt, code, domain, destination } = selection
  if (isPlain(recipient)) return { kind: 'address', value: recipient }
  if (isPlain(sender)) return { kind: 'sender', value: sender }
  if (owner !== undefined) return { kind: 'owner', value: owner }
  const only = state ?? (states?.length === 1 ? states[0] : undefined)
  if (only !== undefined && only !== 'deferred') return { kind: only }
  if (inDoubt) return { kind: 'doubtful' }
  if (code !== undefined && /^\d{3}$/.test(code)) return { kind: 'code', value: Number(code) }
  if (isPlain(code)) return { kind: 'enhanced', value: code }
  const whole = isPlain(domain) ? domain : everybodyAt(recipient)
  if (whole !== null) return { kind: 'domain', value: whole }
  if (isPlain(destination)) return { kind: 'destination', value: destination }
  return null
}

function isPlain(text: string | undefined): text is string {
  return text !== undefined && !text.includes('*')
}

/** The domain of `*@example.org`. */
function everybodyAt(pattern: string | undefined): string | null {
  return /^\*@([^*@]+)$/.exec(pattern ?? '')?.[1] ?? null
}

function prefixOf({ recipient, sender, domain, destination }: Selection): Order | null {
  const texts = { address: recipient, sender, domain, destination }
  for (const [column, pattern] of Object.entries(texts)) {
    const prefix = pattern?.slice(0, pattern.indexOf('*')) ?? ''
    if (prefix === '') continue
    const from = { value: prefix, message: -1, n: -1 }
    return { column: column as Column, from, to: `${prefix}\u{10ffff}` }
  }
  return null
}

type Judged = Omit<RecipientRow, 'nextAttemptAt' | 'warned' | 'attempts'>

export function meets(selection: Selection, row: Judged): boolean {
  const { ids, state, states, owner, inDoubt, removedBefore } = selection
  if (ids && !ids.includes(row.message)) return false
  if (state ? state !== row.state : row.state === 'removed' && !states?.includes('removed')) return false
  if (states && !states.includes(row.state)) return false
  if (owner !== undefined && owner !== row.owner) return false
  if (inDoubt !== undefined && inDoubt !== row.doubts > 0) return false
  if (removedBefore !== undefined && !(row.removal && row.removal.at < removedBefore)) return false
  return meetsTexts(selection, row) && meetsRanges(selection, row) && meetsReply(selection, row)
}

function meetsTexts({ sender, recipient, domain, destination }: Selection, row: Judged): boolean {
  return (
    fits(sender, row.sender) &&
    fits(recipient, row.address) &&
    (domain === undefined || fits(domain, domainOf(row.address))) &&
    fits(destination, row.destination)
  )
}

function meetsRanges(selection: Selection, { receivedAt, octets }: Judged): boolean {
  const { receivedAfter, receivedBefore, largerThan, smallerThan } = selection
  return (
    (receivedAfter === undefined || receivedAt > receivedAfter) &&
    (receivedBefore === undefined || receivedAt < receivedBefore) &&
    (largerThan === undefined || octets > largerThan) &&
    (smallerThan === undefined || octets < smallerThan)
  )
}

function meetsReply({ code, reply }: Selection, row: Judged): boolean {
  if (code === undefined && reply === undefined) return true
  if (!row.reply) return false
  if (code !== undefined && !fits(code, isEnhanced(code) ? row.reply.enhanced : String(row.reply.code)))
    return false
  return reply === undefined || fits(`*${lowerAscii(reply)}*`, lowerAscii(row.reply.text))
}

/** `4.7.*` is one, `4*` is not. */
export function isEnhanced(code: string): boolean {
  return code.includes('.')
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1)
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** @param row `removal` included: removed rows may be in the order of their removal. */
export function placeOf(
  { column }: Order,
  row: Omit<RecipientRow, 'nextAttemptAt' | 'warned' | 'attempts'>,
): Place {
  return { value: column === null ? null : valueIn(column, row), message: row.message, n: row.n }
}

function valueIn(column: Column, row: Judged): string | number {
  switch (column) {
    case 'address':
    case 'sender':
    case 'destination':
    case 'octets':
      return row[column]
    case 'domain':
      return domainOf(row.address)
    case 'received':
      return row.receivedAt
    case 'removed':
      return row.removal?.at ?? 0
    default: {
      const never: never = column
      throw new Error(`unknown column ${String(never)}`)
    }
  }
}

export function comparePlaces(a: Place, b: Place): number {
  return compareValues(a.value, b.value) || a.message - b.message || a.n - b.n
}

/** As SQLite compares: texts by their octets. */
function compareValues(a: Place['value'], b: Place['value']): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return a === b ? 0 : Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)))
}

export function writePlace({ value, message, n }: Place): string {
  return JSON.stringify([value, message, n])
}

/** What is no place in this order is the beginning: it comes from outside. */
export function readPlace(text: string | null, { column, from }: Order): Place | null {
  if (text === null) return from
  try {
    const read: unknown = JSON.parse(text)
    const [value, message, n] = Array.isArray(read) ? (read as unknown[]) : []
    if (typeof message !== 'number' || typeof n !== 'number') return from
    if (column === null) return { value: null, message, n }
    return typeof value === typeof from?.value ? { value: value as string | number, message, n } : from
  } catch {
    return from
  }
}
