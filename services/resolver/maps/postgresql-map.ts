/**
 * A map in PostgreSQL, by pg's pool: one query with bound parameters. Each session is read-only and has the map's
 * `timeout` as its statement_timeout, so a question that we have given up does not go on there.
 *
 * pg is loaded with the first question. Limits: MOST_ROWS rows, LONGEST_VALUE octets.
 */
import { readFileSync } from 'node:fs'
import type { Pool, PoolConfig } from 'pg'
import type { MapSlice } from '../../../shared/config/slices.ts'
import { found, LONGEST_VALUE, type MapAnswer, type MapSource, MISSING, trouble } from './answer.ts'
import type { Gate } from './gate.ts'
import { joinRows, partsOf } from './parts.ts'
import { passwordOf } from './password.ts'

type Postgresql = Extract<MapSlice['source'], { kind: 'postgresql' }>

const MOST_ROWS = 1000
const IDLE_MS = 60_000

/** Whoever gives up root loads it before: its files may lie where the resolver's user cannot read. */
export async function loadPostgresql(): Promise<typeof Pool> {
  return (await import('pg')).default.Pool
}

export function openPostgresqlMap(
  source: Postgresql,
  { timeout, connections }: Pick<MapSlice, 'timeout' | 'connections'>,
  gate: Gate,
): MapSource {
  const query = boundQuery(source.query)
  let pool: Promise<Pool> | null = null
  const open = async (): Promise<Pool> => {
    const made = new (await loadPostgresql())(poolConfig(source, timeout, connections))
    // an idle connection that the server ends: the next question opens another
    made.on('error', () => undefined)
    return made
  }
  const ask = async (key: string): Promise<MapAnswer> => {
    pool ??= open()
    const parts = partsOf(key)
    const values = query.names.map((name) => parts[name])
    const { rows } = await (await pool).query<unknown[]>({ text: query.text, values, rowMode: 'array' })
    if (rows.length > MOST_ROWS) return trouble(`more than ${MOST_ROWS} rows`)
    const value = joinRows(rows)
    if (value === null) return MISSING
    return value.length > LONGEST_VALUE
      ? trouble(`a value of more than ${LONGEST_VALUE} octets`)
      : found(value)
  }
  return {
    wholeKeys: false,
    lookUp: (key) => (key.includes('\0') ? MISSING : gate.ask(() => ask(key))),
    close: () => {
      pool?.then((one) => one.end()).catch(() => undefined)
      pool = null
    },
  }
}

type PartName = 'key' | 'user' | 'domain'

/** `:key` becomes `$1`; the `::text` of a cast stays. */
export function boundQuery(sql: string): { text: string; names: PartName[] } {
  const names: PartName[] = []
  const text = sql.replace(/(?<!:):(key|user|domain)\b/g, (_, name: PartName) => {
    if (!names.includes(name)) names.push(name)
    return `$${names.indexOf(name) + 1}`
  })
  return { text, names }
}

function poolConfig({ server, database, login, tls }: Postgresql, timeout: number, max: number): PoolConfig {
  const where = server.kind === 'unix' ? { host: server.path } : { host: server.host, port: server.port }
  const ca = tls?.caFile == null ? {} : { ca: readFileSync(tls.caFile, 'utf8') }
  return {
    ...where,
    database,
    user: login.user ?? 'posthorn',
    password: () => passwordOf(login.passwordFile),
    ssl: tls === null ? false : { rejectUnauthorized: true, ...ca },
    application_name: 'posthorn',
    connectionTimeoutMillis: timeout,
    statement_timeout: timeout,
    query_timeout: timeout,
    idleTimeoutMillis: IDLE_MS,
    allowExitOnIdle: true,
    options: '-c default_transaction_read_only=on',
    max,
  }
}
