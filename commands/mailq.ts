#!/usr/bin/env node
/** mailq: `posthorn queue list` under the name that everybody's fingers know. */
import { run } from './posthorn/run.ts'

await run(['queue', 'list', ...process.argv.slice(2)], 'mailq')
