#!/usr/bin/env node
/** newaliases: `posthorn aliases` under its old name. */
import { run } from './posthorn/run.ts'

await run(['aliases', ...process.argv.slice(2).filter((word) => word !== '-v')], {
  as: 'newaliases',
  serverMayBeAway: false,
})
