#!/usr/bin/env node
/** mailq: `posthorn queue list` under the name that everybody's fingers know; sendmail's -v and -A change nothing. */
import { run } from './posthorn/run.ts'

await run(['queue', 'list', ...process.argv.slice(2).filter((word) => !/^-(v|A[cm])$/.test(word))], 'mailq')
