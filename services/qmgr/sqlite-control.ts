/**
 * What `posthorn queue` does to the store: one bounded piece of rows at a time, each piece one transaction.
 * Statements are prepared when they are first needed: a selection's SQL depends on which parts it has.
 */
import type Database from 'better-sqlite3'
import { type Place, placeOf, type RowAct, type Selection, touchedBy, writePlace } from './selection.ts'
import { type RawRow, readRow, readState } from './sqlite-rows.ts'
import { placeColumns, type Query, type Walk, walkOf } from './sqlite-selection.ts'
import type { Acted, Page, Piece, RecipientRow } from './store.ts'

/** A row, and what it counts for. */
export interface Found extends Place, Pick<RecipientRow, 'state' | 'destination'> {}

const update: Readonly<Record<RowAct, string>> = {
  hold: 'state = 1',
  release: 'state = 0, next_attempt = @now',
  retry: 'next_attempt = @now',
  'route-again': "next_attempt = @now, destination = ''",
  remove: 'state = 3, removed = @now, removed_from = state',
  restore: 'state = removed_from, next_attempt = @now, removed = NULL, removed_from = NULL',
}

export function listPiece(
  database: Database.Database,
  selection: Selection,
  after: string | null,
  limit: number,
): Page {
  const walk = walkOf(selection, after)
  const end = endOf(database, walk)
  const rows = (all(database, walk.rows(limit, end)) as RawRow[]).map(readRow)
  const last = rows.at(-1)
  const full = last && rows.length === limit ? placeOf(walk.order, last) : null
  return { rows, next: nextAfter(full ?? end) }
}

export function countPiece(
  database: Database.Database,
  selection: Selection,
  after: string | null,
): Piece<number> {
  const walk = walkOf(selection, after)
  const end = endOf(database, walk)
  const [row] = all(database, walk.count(end)) as { count: number }[]
  return { found: row?.count ?? 0, next: nextAfter(end) }
}

export function keysPiece(
  database: Database.Database,
  selection: Selection,
  after: string | null,
  limit: number,
): Piece<Found[]> {
  const walk = walkOf(selection, after)
  const end = endOf(database, walk)
  const columns = `${placeColumns(walk.order)}, recipient.state, recipient.destination`
  const raw = all(database, walk.rows(limit, end, columns)) as (Place &
    Pick<RawRow, 'state' | 'destination'>)[]
  const found = raw.map((row): Found => ({ ...row, state: readState(row.state) }))
  const full = found.length === limit ? found.at(-1) : null
  return { found, next: nextAfter(full ?? end) }
}

export function actOnPiece(
  database: Database.Database,
  act: RowAct,
  selection: Selection,
  after: string | null,
  limit: number,
  now: number,
): Piece<Acted> {
  const { found, next } = keysPiece(database, selection, after, limit)
  const statement = database.prepare(
    `UPDATE recipient SET ${update[act]} WHERE message = @message AND n = @n`,
  )
  database.transaction(() => {
    for (const { message, n } of found) statement.run({ now, message, n })
  })()
  return { found: { recipients: found.length, touched: touchedBy(act, found) }, next }
}

function endOf(database: Database.Database, walk: Walk): Place | null {
  const [last] = all(database, walk.end()) as Place[]
  return last ?? null
}

function nextAfter(place: Place | null): string | null {
  return place ? writePlace(place) : null
}

function all(database: Database.Database, { sql, values }: Query): unknown[] {
  return database.prepare(sql).all(...values)
}
