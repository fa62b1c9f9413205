#!/usr/bin/env node
/** posthorn: start, stop, look at and direct the mail server; `posthorn help` lists the words. */
import { run } from './posthorn/run.ts'

const [word, ...rest] = process.argv.slice(2)
// it has sendmail's options, not ours
if (word === 'sign-and-send') {
  const { signAndSend } = await import('./sign/sign-and-send.ts')
  process.exitCode = await signAndSend(rest, 'posthorn sign-and-send')
} else await run(process.argv.slice(2))
