#!/usr/bin/env node
/** posthorn: start, stop, look at and direct the mail server; `posthorn help` lists the words. */
import { run } from './posthorn/run.ts'

await run(process.argv.slice(2))
