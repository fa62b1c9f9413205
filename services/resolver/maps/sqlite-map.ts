/**
 * A map in an SQLite database: read only, one prepared query with bound parameters, in this process and at once, so
 * the query should find what it wants by an index.
 *
 * A file that was replaced by another is opened anew; what is written into it counts from the next question on. A
 * writer that holds the database for longer than BUSY_MS is trouble. Limits: MOST_ROWS rows, LONGEST_VALUE octets.
 */

import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import type Database from 'better-sqlite3'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import { joinRows, partsOf } from './parts.ts'

const BUSY_MS = 100
const LOOK_INTERVAL_MS = 500
const MOST_ROWS = 1000

/** Loaded when it is asked first, or before root is given up. */
export function loadSqliteMap(): typeof Database {
  return createRequire(import.meta.url)('better-sqlite3') as typeof Database
}

interface Open {
  database: Database.Database
  query: Database.Statement<[Record<string, string>]>
  stamp: string
}

export function openSqliteMap(path: string, sql: string, now: () => number): MapSource {
  let open: Open | null = null
  let lookedAt = Number.NEGATIVE_INFINITY
  const close = () => {
    open?.database.close()
    open = null
  }
  const current = (): Open => {
    if (open && now() - lookedAt < LOOK_INTERVAL_MS) return open
    lookedAt = now()
    const { ino, dev } = statSync(path)
    const stamp = `${dev}:${ino}`
    if (open?.stamp === stamp) return open
    close()
    open = openDatabase(path, sql, stamp)
    return open
  }
  return {
    wholeKeys: false,
    close,
    lookUp: (key) => {
      try {
        return ask(current(), key)
      } catch (error) {
        close()
        return trouble(error)
      }
    },
  }
}

function openDatabase(path: string, sql: string, stamp: string): Open {
  const sqlite = loadSqliteMap()
  const database = new sqlite(path, { readonly: true, fileMustExist: true, timeout: BUSY_MS })
  try {
    const query = database.prepare<[Record<string, string>]>(sql)
    if (!query.reader || !query.readonly) throw new Error('the query does not only read')
    return { database, query: query.raw(), stamp }
  } catch (error) {
    database.close()
    throw error
  }
}

function ask({ query }: Open, key: string): MapAnswer {
  const rows: unknown[][] = []
  for (const row of query.iterate({ ...partsOf(key) })) {
    rows.push(row as unknown[])
    if (rows.length > MOST_ROWS) return trouble(`more than ${MOST_ROWS} rows`)
  }
  const value = joinRows(rows)
  if (value === null) return MISSING
  return value.length > LONGEST_VALUE ? trouble(`a value of more than ${LONGEST_VALUE} octets`) : found(value)
}
