#!/usr/bin/env node
/**
 * sendmail: hands a message to Posthorn over its local socket; see `commands/README.md` for every option.
 *
 * A plain program without privilege: it writes no file, knows no spool, and is believed nothing that the kernel
 * does not say of it. Silent when all went well; otherwise one line on standard error and an exit code of
 * sysexits(3). Kept light, because scripts start it by the hundred: what only `mailq`, `newaliases` and `-q`
 * need is loaded for them alone. Installed, it is called by `bin/sendmail`, which finds Node in any environment.
 */
import { basename } from 'node:path'
import { deliver, explain, verify, wayOf } from './sendmail/delivery.ts'
import { closeInherited } from './sendmail/descriptors.ts'
import { exitCodes } from './sendmail/exit-code.ts'
import { type Mode, type Options, parseOptions } from './sendmail/options.ts'
import { relayStdio } from './sendmail/stdio-session.ts'
import { type End, endOf, Stop } from './sendmail/stop.ts'

closeInherited()

/** By which name it was called; `bin/sendmail` says it in the first word. */
const { name, words } = readName(process.argv)
let silent = false

/** Names that are modes. */
const modes: Readonly<Record<string, Mode>> = {
  mailq: 'mailq',
  newaliases: 'newaliases',
  hoststat: 'hoststat',
}
const notHere: Readonly<Record<string, string>> = {
  smtpd: 'the server is started by "posthorn start"',
  purgestat: 'no status of hosts is kept; "posthorn queue retry --all" tries dead ones, too',
}

function readName([, program = 'sendmail', ...rest]: readonly string[]): { name: string; words: string[] } {
  const told = /^--called-as=(.+)$/.exec(rest[0] ?? '')?.[1]
  return { name: basename(told ?? program, '.js'), words: told === undefined ? rest : rest.slice(1) }
}

async function main(): Promise<End | null> {
  const why = notHere[name]
  if (why !== undefined) throw new Stop(exitCodes.usage, [why])
  // they have options of their own
  if (name === 'mailq' || name === 'newaliases') return become(`${name}.js`, words)
  const parsed = parseOptions(words)
  if (parsed.kind === 'usage') throw new Stop(exitCodes.usage, [parsed.message])
  silent = parsed.options.silent
  return run(modes[name] ?? parsed.options.mode, parsed.options)
}

async function run(mode: Mode, options: Options): Promise<End | null> {
  const places = placesOf(options)
  switch (mode) {
    case 'deliver':
      return deliver(options, name === 'rmail')
    case 'verify':
      return verify(options)
    case 'why':
      return explain(options)
    case 'smtp':
      return relayStdio(await wayOf(options))
    case 'mailq':
      return become('mailq.js', [...places, ...options.selection])
    case 'newaliases':
      return become('newaliases.js', places)
    case 'hoststat':
      return become('mailq.js', [...places, '--state', 'deferred'])
    case 'flush': {
      const act = options.selection.length > 0 ? 'retry' : 'flush'
      return become('posthorn.js', [...places, 'queue', act, '--quiet', ...options.selection])
    }
    default:
      return mode satisfies never
  }
}

function placesOf({ config, queueSocket }: Options): string[] {
  return [...(config ? ['-c', config] : []), ...(queueSocket ? ['--queue-socket', queueSocket] : [])]
}

/** Goes on as another command of ours, in this process. */
async function become(file: string, argv: readonly string[]): Promise<null> {
  process.argv.splice(2, process.argv.length, ...argv)
  await import(new URL(file, import.meta.url).href)
  return null
}

function leave({ exit, lines }: End): never {
  if (!silent) for (const line of lines) process.stderr.write(`${name}: ${line}\n`)
  process.exit(exit)
}

// whoever does not listen still gets the exit code
process.stderr.on('error', () => undefined)
process.stdout.on('error', () => undefined)

main().then(
  (end) => end && leave(end),
  (error: unknown) => leave(endOf(error)),
)
