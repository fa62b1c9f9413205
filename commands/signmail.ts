#!/usr/bin/env node
/** signmail: `posthorn sign-and-send` by the name that mail programs call; see `sign/sign-and-send.ts`. */
import { signAndSend } from './sign/sign-and-send.ts'

process.exitCode = await signAndSend(process.argv.slice(2), 'signmail')
