#!/usr/bin/env node
/**
 * mailq: `posthorn queue list` under the name that everybody's fingers know, and the caller's outbox where there is
 * one; sendmail's -v and -A change nothing.
 */
import { runMailq } from './posthorn/mailq.ts'

await runMailq(process.argv.slice(2).filter((word) => !/^-(v|A[cm])$/.test(word)))
