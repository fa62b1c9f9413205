/**
 * A selection in SQL: `selection.ts`' rule as a WHERE clause, and the walk along the one index that leads to it. Pure.
 *
 * A query looks at PIECE_ROWS rows of that index at most, in its order, and gives those that meet all of the
 * selection: `INDEXED BY` makes SQLite use the index or fail, and the inner LIMIT keeps the piece bounded. Neither
 * query nor index touches content; that is in other tables.
 */
import {
  type Equality,
  equalityOf,
  isEnhanced,
  type Order,
  orderOf,
  type Place,
  readPlace,
  type Selection,
} from './selection.ts'
import { stateCode } from './sqlite-rows.ts'
import { PIECE_ROWS } from './store.ts'

type Value = string | number

export interface Query {
  sql: string
  values: Value[]
}

export interface Walk {
  order: Order
  /** Up to `limit` of the rows, whole, or the columns that a place needs. */
  rows: (limit: number, columns?: string) => Query
  count: () => Query
  /** The place of the last row looked at; no row when the index ends before. */
  end: () => Query
}

export function walkOf(selection: Selection, after: string | null): Walk {
  const order = orderOf(selection)
  const source = sourceOf(selection, order, readPlace(after, order))
  const where = whereOf(selection)
  const piece = (columns: string) => `SELECT ${columns} FROM ${source.sql} LIMIT ${PIECE_ROWS}`
  return {
    order,
    rows: (limit, columns = '*') => ({
      sql: `SELECT ${columns} FROM (${piece('recipient.*')}) WHERE ${where.sql} LIMIT ?`,
      values: [...source.values, ...where.values, limit],
    }),
    count: () => ({
      sql: `SELECT count(*) AS count FROM (${piece('recipient.*')}) WHERE ${where.sql}`,
      values: [...source.values, ...where.values],
    }),
    end: () => ({
      sql: `SELECT ${placeColumns(order)} FROM ${source.sql} LIMIT 1 OFFSET ${PIECE_ROWS - 1}`,
      values: source.values,
    }),
  }
}

/** What makes a `Place` of a row. */
export function placeColumns({ column }: Order): string {
  return `${column === null ? 'NULL' : `recipient.${column}`} AS value, recipient.message, recipient.n`
}

/** Table, index, where to begin and to end, in order. */
function sourceOf(selection: Selection, order: Order, after: Place | null): Query {
  if (selection.ids) return byIds(selection.ids, after)
  if (order.column !== null) return alongRange(order.column, order, after)
  const equality = equalityOf(selection)
  const key = after ? [after.message, after.n] : [-1, -1]
  const { index, sql, values } = equality ? indexFor[equality.kind](equality) : whole
  return {
    sql: `recipient ${index} WHERE ${sql} (message, n) > (?, ?) ORDER BY message, n`,
    values: [...values, ...key],
  }
}

/** The ids in order lead, so the rows come in order by themselves. */
function byIds(ids: readonly number[], after: Place | null): Query {
  const { message, n } = after ?? { message: -1, n: -1 }
  const wanted = [...new Set(ids)].filter((id) => id >= message).sort((a, b) => a - b)
  return {
    sql: `json_each(?) AS wanted CROSS JOIN recipient
      WHERE recipient.message = wanted.value AND (recipient.message, recipient.n) > (?, ?)`,
    values: [JSON.stringify(wanted), message, n],
  }
}

function alongRange(column: string, { to }: Order, after: Place | null): Query {
  const key = [after?.value ?? -1, after?.message ?? -1, after?.n ?? -1]
  const partial = column === 'removed' ? 'state = 3 AND ' : ''
  const end = to === null ? '' : ` AND ${column} < ?`
  return {
    sql: `recipient INDEXED BY recipient_${column}
      WHERE ${partial}(${column}, message, n) > (?, ?, ?)${end} ORDER BY ${column}, message, n`,
    values: [...key, ...(to === null ? [] : [to])],
  }
}

interface Lead extends Query {
  index: string
}

const whole: Lead = { index: 'NOT INDEXED', sql: '', values: [] }

/** The states are literals: a partial index serves only who says so literally. */
const indexFor: Readonly<Record<Equality['kind'], (equality: Equality) => Lead>> = {
  address: (equality) => equals('address', equality),
  sender: (equality) => equals('sender', equality),
  destination: (equality) => equals('destination', equality),
  domain: (equality) => equals('domain', equality),
  owner: (equality) => equals('owner', equality),
  code: (equality) => equals('code', equality),
  enhanced: (equality) => equals('enhanced', equality),
  held: () => ({ index: 'INDEXED BY recipient_held', sql: 'state = 1 AND', values: [] }),
  active: () => ({ index: 'INDEXED BY recipient_active', sql: 'state = 2 AND', values: [] }),
  removed: () => ({ index: 'INDEXED BY recipient_removed', sql: 'state = 3 AND', values: [] }),
  doubtful: () => ({ index: 'INDEXED BY recipient_doubtful', sql: 'doubts > 0 AND', values: [] }),
}

function equals(column: string, equality: Equality): Lead {
  const values = 'value' in equality ? [equality.value] : []
  return { index: `INDEXED BY recipient_${column}`, sql: `${column} = ? AND`, values }
}

/** The parts joined by AND. */
export function whereOf(selection: Selection): Query {
  const parts = [
    ...stateParts(selection),
    ...textPart('sender', selection.sender),
    ...textPart('address', selection.recipient),
    ...textPart('domain', selection.domain),
    ...textPart('destination', selection.destination),
    ...limitPart('received > ?', selection.receivedAfter),
    ...limitPart('received < ?', selection.receivedBefore),
    ...limitPart('octets > ?', selection.largerThan),
    ...limitPart('octets < ?', selection.smallerThan),
    ...limitPart('removed < ?', selection.removedBefore),
    ...limitPart('owner = ?', selection.owner),
    ...replyParts(selection),
  ]
  return { sql: parts.map(({ sql }) => sql).join(' AND '), values: parts.flatMap(({ values }) => values) }
}

function stateParts({ state, states, inDoubt }: Selection): Query[] {
  const codes = states?.map((one) => stateCode[one]).join(', ')
  const parts = [
    state ? `state = ${stateCode[state]}` : codes === undefined ? 'state <> 3' : '',
    codes === undefined ? '' : `state IN (${codes})`,
    inDoubt === undefined ? '' : inDoubt ? 'doubts > 0' : 'doubts = 0',
  ]
  return parts.filter((sql) => sql !== '').map((sql) => ({ sql, values: [] }))
}

function limitPart(sql: string, value: number | undefined): Query[] {
  return value === undefined ? [] : [{ sql, values: [value] }]
}

function textPart(column: string, pattern: string | undefined): Query[] {
  if (pattern === undefined) return []
  return pattern.includes('*')
    ? [{ sql: `${column} GLOB ?`, values: [globOf(pattern)] }]
    : [{ sql: `${column} = ?`, values: [pattern] }]
}

function replyParts({ code, reply }: Selection): Query[] {
  return [
    ...(code === undefined || isEnhanced(code)
      ? textPart('enhanced', code)
      : textPart('CAST(code AS TEXT)', code)),
    ...(reply === undefined ? [] : [{ sql: "text LIKE ? ESCAPE '\\'", values: [likeOf(reply)] }]),
  ]
}

/** Only `*` is special for us; GLOB's other signs are taken as they are. */
function globOf(pattern: string): string {
  return pattern.replace(/[[?]/g, (sign) => `[${sign}]`)
}

function likeOf(pattern: string): string {
  return `%${pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%')}%`
}
