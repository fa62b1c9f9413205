/** Every statement that the queue store prepares, and the order in which a batch runs through them. */
import type Database from 'better-sqlite3'
import { rawOf } from './sqlite-rows.ts'
import { type Batch, type Change, MOST_REPLIES, type RecipientRow } from './store.ts'

const sql = {
  insert: 'INSERT INTO intake (id, envelope, content) VALUES (?, ?, ?)',
  removeIntake: 'DELETE FROM intake WHERE id = ?',
  removeDeferred: 'DELETE FROM deferred WHERE id = ?',
  removeActiveRows: 'DELETE FROM recipient WHERE message = ? AND state = 2',
  waiting: 'SELECT count(*) FROM recipient WHERE message = ? AND state <> 2',
  removeRow: 'DELETE FROM recipient WHERE message = ? AND n = ?',
  removeRows: 'DELETE FROM recipient WHERE message = ?',
  removeSettled: 'DELETE FROM settled WHERE message = ?',
  settle: 'INSERT OR IGNORE INTO settled VALUES (?, ?)',
  // Columns that a later wait does not change are left alone, and their indexes with them.
  wait: `INSERT INTO recipient VALUES
    (@message, @n, @state, @next_attempt, @attempts, @warned, @address, @domain, @sender, @owner, @destination,
      @octets, @received, @code, @enhanced, @text, @host, @replied, @in_doubt, @doubts, @removed, @removed_from)
    ON CONFLICT DO UPDATE SET state = @state, next_attempt = @next_attempt, attempts = @attempts, warned = @warned,
      destination = @destination, code = @code, enhanced = @enhanced, text = @text, host = @host,
      replied = @replied, in_doubt = @in_doubt, doubts = @doubts, removed = @removed, removed_from = @removed_from`,
  rename: `UPDATE recipient SET address = @address, domain = @domain
    WHERE message = @message AND n = @n AND address <> @address`,
  // A reply goes to the earlier ones when another one takes its place.
  keepReply: `INSERT OR IGNORE INTO earlier
    SELECT message, n, replied, code, enhanced, text, host, in_doubt FROM recipient
    WHERE message = @message AND n = @n AND code IS NOT NULL AND replied IS NOT NULL AND replied <> @replied
      AND (code, enhanced, text, host, in_doubt) <> (@code, @enhanced, @text, @host, @in_doubt)`,
  dropReplies: `DELETE FROM earlier WHERE message = @message AND n = @n AND replied NOT IN
    (SELECT replied FROM earlier WHERE message = @message AND n = @n ORDER BY replied DESC LIMIT ${MOST_REPLIES})`,
  removeReplies: 'DELETE FROM earlier WHERE message = ? AND n = ?',
  removeLostReplies: `DELETE FROM earlier WHERE message = @message
    AND n NOT IN (SELECT n FROM recipient WHERE message = @message)`,
  history: 'SELECT * FROM earlier WHERE message = ? ORDER BY n, replied',
  park: 'INSERT OR IGNORE INTO deferred SELECT * FROM intake WHERE id = ?',
  rewriteIntake: 'UPDATE intake SET envelope = ? WHERE id = ?',
  rewriteDeferred: 'UPDATE deferred SET envelope = ? WHERE id = ?',
  intake: 'SELECT id, envelope, content FROM intake ORDER BY id',
  settled: 'SELECT n FROM settled WHERE message = ?',
  rows: 'SELECT * FROM recipient WHERE message = ? ORDER BY n',
  resetActive: 'UPDATE recipient SET state = 0 WHERE state = 2',
  due: 'SELECT * FROM recipient WHERE state = 0 AND next_attempt <= ? ORDER BY next_attempt LIMIT ?',
  activate: 'UPDATE recipient SET state = 2 WHERE message = ? AND n = ?',
  deactivate: 'UPDATE recipient SET state = 0 WHERE message = ? AND n = ? AND state = 2',
  nextDue: 'SELECT min(next_attempt) FROM recipient WHERE state = 0',
  load: `SELECT id, envelope, content FROM intake WHERE id = ?
    UNION ALL SELECT id, envelope, content FROM deferred WHERE id = ? LIMIT 1`,
  totals: `SELECT
    (SELECT count(*) FROM recipient WHERE state = 0) + (SELECT count(*) FROM recipient WHERE state = 2) AS deferred,
    (SELECT count(*) FROM recipient WHERE state = 1) AS held,
    (SELECT count(*) FROM recipient WHERE state = 3) AS removed`,
  // By the index of destinations alone; removed ones, which are few, are taken off.
  destinations: `SELECT destination, sum(recipients) AS recipients FROM (
      SELECT destination, count(*) AS recipients FROM recipient GROUP BY destination
      UNION ALL SELECT destination, -count(*) FROM recipient WHERE state = 3 GROUP BY destination)
    GROUP BY destination HAVING sum(recipients) > 0`,
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
      if (change.alone) statements.removeIntake.run(change.message)
      else remove(statements, change.message)
      return
    case 'settle':
      return settle(statements, change.message, change.n)
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

function settle(statements: Statements, message: number, n: number): void {
  statements.settle.run(message, n)
  const { changes } = statements.removeRow.run(message, n)
  if (changes > 0) statements.removeReplies.run(message, n)
}

/** A message with somebody who waits is never removed, whatever qmgr believes: it is parked. */
function remove(statements: Statements, message: number): void {
  const { changes } = statements.removeActiveRows.run(message)
  if (changes > 0) statements.removeLostReplies.run({ message })
  if (statements.waiting.pluck().get(message) !== 0) return applyChange(statements, { kind: 'park', message })
  const wasIntake = statements.removeIntake.run(message).changes > 0
  if (!wasIntake) statements.removeDeferred.run(message)
  statements.removeSettled.run(message)
}

function wait(statements: Statements, row: RecipientRow): void {
  const raw = rawOf(row)
  if (raw.code !== null && statements.keepReply.run(raw).changes > 0) statements.dropReplies.run(raw)
  statements.wait.run(raw)
  statements.rename.run(raw)
}
