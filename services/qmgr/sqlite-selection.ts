/**
 * A selection in SQL: `selection.ts`' rule as a WHERE clause, and the walk along the one index that leads to it. Pure.
 *
 * A query looks at a piece of that index, in its order, and gives those rows that meet all of the selection: `end`
 * asks where the piece ends, PIECE_ROWS further on, and the others stay before it. `INDEXED BY` makes SQLite use the
 * index or fail. Neither query nor index touches content; that is in other tables.
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
  /** The place of the last row of this piece; no row where there are fewer. */
  end: () => Query
  /** Up to `limit` of the rows, whole, or the columns that a place needs. */
  rows: (limit: number, end: Place | null, columns?: string) => Query
  count: (end: Place | null) => Query
}

export function walkOf(selection: Selection, after: string | null): Walk {
  const order = orderOf(selection)
  const source = sourceOf(selection, order, readPlace(after, order))
  const where = whereOf(selection)
  const piece = (columns: string, end: Place | null, limit: number): Query => ({
    sql: `SELECT ${columns} FROM ${source.from} WHERE ${source.sql} ${end ? `AND (${source.key}) <= (${marks(source)})` : ''}
      AND ${where.sql} ORDER BY ${source.key} LIMIT ?`,
    values: [...source.values, ...(end ? keyOf(source, end) : []), ...where.values, limit],
  })
  return {
    order,
    end: () => ({
      sql: `SELECT ${placeColumns(order)} FROM ${source.from} WHERE ${source.sql}
        ORDER BY ${source.key} LIMIT 1 OFFSET ${PIECE_ROWS - 1}`,
      values: source.values,
    }),
    rows: (limit, end, columns = 'recipient.*') => piece(columns, end, limit),
    count: (end) => {
      const { sql, values } = piece('1', end, PIECE_ROWS)
      return { sql: `SELECT count(*) AS count FROM (${sql})`, values }
    },
  }
}

/** What makes a `Place` of a row. */
export function placeColumns({ column }: Order): string {
  return `${column === null ? 'NULL' : `recipient.${column}`} AS value, recipient.message, recipient.n`
}

/** Where the rows come from: the condition that index, beginning and end make, and the key that orders them. */
interface Source extends Query {
  from: string
  key: string
}

const byMessage = 'recipient.message, recipient.n'

function marks({ key }: Source): string {
  return key
    .split(',')
    .map(() => '?')
    .join(', ')
}

function keyOf({ key }: Source, { value, message, n }: Place): Value[] {
  return key === byMessage ? [message, n] : [value ?? -1, message, n]
}

function sourceOf(selection: Selection, order: Order, after: Place | null): Source {
  const from = after ?? { value: -1, message: -1, n: -1 }
  if (selection.ids) return byIds(selection.ids, from)
  if (order.column !== null) return alongRange(order.column, order, from)
  const equality = equalityOf(selection)
  const { index, sql, values } = equality ? indexFor[equality.kind](equality) : whole
  return {
    from: `recipient ${index}`,
    sql: `${sql} (${byMessage}) > (?, ?)`,
    key: byMessage,
    values: [...values, from.message, from.n],
  }
}

/** The ids lead, in order. */
function byIds(ids: readonly number[], { message, n }: Place): Source {
  const wanted = [...new Set(ids)].filter((id) => id >= message).sort((a, b) => a - b)
  return {
    from: 'recipient',
    sql: `recipient.message IN (SELECT value FROM json_each(?)) AND (${byMessage}) > (?, ?)`,
    key: byMessage,
    values: [JSON.stringify(wanted), message, n],
  }
}

function alongRange(column: string, { to }: Order, { value, message, n }: Place): Source {
  const key = `recipient.${column}, ${byMessage}`
  const partial = column === 'removed' ? 'state = 3 AND ' : ''
  const end = to === null ? '' : ` AND recipient.${column} < ?`
  return {
    from: `recipient INDEXED BY recipient_${column}`,
    sql: `${partial}(${key}) > (?, ?, ?)${end}`,
    key,
    values: [value ?? -1, message, n, ...(to === null ? [] : [to])],
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
