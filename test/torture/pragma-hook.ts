/**
 * Loaded into a qmgr of the rig before its own code (`node --import`), threads included. Makes the log fold into
 * the database after few pages, so that a short run sees many checkpoints. When told so it also takes away the
 * sync at each commit behind the store's back, reading back what the store wants to hear: a rig that then
 * finds nothing lost would prove nothing.
 */
import Database from 'better-sqlite3'

const FEW_PAGES = 60
const forgetful = process.env['POSTHORN_TORTURE_FORGETFUL'] === 'yes'
const pragma = Database.prototype.pragma

Database.prototype.pragma = function (this: Database.Database, source: string, options?: object): unknown {
  const run = (text: string) => pragma.call(this, text, options ?? {})
  if (source.startsWith('wal_autocheckpoint')) return run(`wal_autocheckpoint = ${FEW_PAGES}`)
  if (!forgetful || !source.startsWith('synchronous')) return run(source)
  run('synchronous = NORMAL')
  return 2
}
