/** Every statement that the queue store prepares, and the order in which a batch runs through them. */
import type Database from 'better-sqlite3'
import { stateCode } from './sqlite-rows.ts'
import type { Batch, Change, RecipientRow } from './store.ts'

const sql = {
  insert: 'INSERT INTO intake (id, envelope, content) VALUES (?, ?, ?)',
  removeIntake: 'DELETE FROM intake WHERE id = ?',
  removeDeferred: 'DELETE FROM deferred WHERE id = ?',
  removeActiveRows: 'DELETE FROM recipient WHERE message = ? AND state = 2',
  waiting: 'SELECT count(*) FROM recipient WHERE message = ? AND state <> 2',
  removeRow: 'DELETE FROM recipient WHERE message = ? AND n = ?',
  removeSettled: 'DELETE FROM settled WHERE message = ?',
  settle: 'INSERT OR IGNORE INTO settled VALUES (?, ?)',
  wait: `INSERT OR REPLACE INTO recipient
    (message, n, state, next_attempt, attempts, warned, address, sender, destination, octets, received, reply)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  park: 'INSERT OR IGNORE INTO deferred SELECT * FROM intake WHERE id = ?',
  rewriteIntake: 'UPDATE intake SET envelope = ? WHERE id = ?',
  rewriteDeferred: 'UPDATE deferred SET envelope = ? WHERE id = ?',
  intake: 'SELECT id, envelope, content FROM intake ORDER BY id',
  settled: 'SELECT n FROM settled WHERE message = ?',
  rows: 'SELECT * FROM recipient WHERE message = ? ORDER BY n',
  resetActive: 'UPDATE recipient SET state = 0 WHERE state = 2',
  due: 'SELECT * FROM recipient WHERE state = 0 AND next_attempt <= ? ORDER BY next_attempt LIMIT ?',
  activate: 'UPDATE recipient SET state = 2 WHERE message = ? AND n = ?',
  nextDue: 'SELECT min(next_attempt) FROM recipient WHERE state = 0',
  load: `SELECT id, envelope, content FROM intake WHERE id = ?
    UNION ALL SELECT id, envelope, content FROM deferred WHERE id = ? LIMIT 1`,
  totals: `SELECT count(*) FILTER (WHERE state <> 1) AS deferred, count(*) FILTER (WHERE state = 1) AS held,
    (SELECT count(*) FROM deferred) AS messages FROM recipient`,
  filed: `SELECT id FROM intake WHERE content IS NULL UNION ALL SELECT id FROM deferred WHERE content IS NULL`,
  serial: "SELECT value FROM meta WHERE key = 'serial'",
  setSerial: "UPDATE meta SET value = ? WHERE key = 'serial'",
} as const

export type Statements = Record<keyof typeof sql, Database.Statement>

export function prepare(database: Database.Database): Statements {
  const entries = Object.entries(sql).map(([name, text]) => [name, database.prepare(text)])
  return Object.fromEntries(entries) as Statements
}

export function applyBatch(statements: Statements, batch: Batch): void {
  for (const { id, envelope, content } of batch.inserts) statements.insert.run(id, envelope, content)
  for (const change of batch.changes) applyChange(statements, change)
}

export function applyChange(statements: Statements, change: Change): void {
  switch (change.kind) {
    case 'remove':
      return remove(statements, change.message)
    case 'settle':
      statements.settle.run(change.message, change.n)
      statements.removeRow.run(change.message, change.n)
      return
    case 'wait':
      return wait(statements, change.row)
    case 'park':
      statements.park.run(change.message)
      statements.removeIntake.run(change.message)
      return
    case 'rewrite':
      statements.rewriteIntake.run(change.envelope, change.message)
      statements.rewriteDeferred.run(change.envelope, change.message)
      return
    default: {
      const never: never = change
      throw new Error(`unknown change ${String(never)}`)
    }
  }
}

/** A message with somebody who waits is never removed, whatever qmgr believes: it is parked. */
function remove(statements: Statements, message: number): void {
  statements.removeActiveRows.run(message)
  if (statements.waiting.pluck().get(message) !== 0) return applyChange(statements, { kind: 'park', message })
  const wasIntake = statements.removeIntake.run(message).changes > 0
  if (!wasIntake) statements.removeDeferred.run(message)
  statements.removeSettled.run(message)
}

function wait(statements: Statements, row: RecipientRow): void {
  statements.wait.run(
    row.message,
    row.n,
    stateCode[row.state],
    row.nextAttemptAt,
    row.attempts,
    row.warned ? 1 : 0,
    row.address,
    row.sender,
    row.destination,
    row.octets,
    row.receivedAt,
    row.reply ? JSON.stringify(row.reply) : null,
  )
}
