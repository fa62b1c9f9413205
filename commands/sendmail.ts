#!/usr/bin/env node
/**
 * sendmail: hands a message to Posthorn over its local socket; see `commands/README.md` for every option.
 *
 * A plain program without privilege: it writes no file, knows no spool, and is believed nothing that the kernel
 * does not say of it. Silent when all went well; otherwise one line on standard error and an exit code of
 * sysexits(3). Kept light, because scripts start it by the hundred: what only `mailq`, `newaliases` and `-q`
 * need is loaded for them alone.
 */
import { userInfo } from 'node:os'
import { basename } from 'node:path'
import { readAddresses } from './sendmail/address-list.ts'
import type { Job } from './sendmail/conversation.ts'
import { exitCodes } from './sendmail/exit-code.ts'
import { headerRecipients, renderHeader } from './sendmail/header.ts'
import {
  contentOf,
  InputError,
  isEightBit,
  type Message,
  readMessage,
  standardInput,
} from './sendmail/message.ts'
import { type Options, parseOptions } from './sendmail/options.ts'
import { handOver, type Way } from './sendmail/session.ts'
import { relayStdio } from './sendmail/stdio-session.ts'

const DEFAULT_SOCKET = '/run/posthorn/submit.sock'
const CALLED_AS = basename(process.argv[1] ?? 'sendmail', '.js')

/** What ends the program: an exit code, and the lines that say why. */
class Stop extends Error {
  readonly exit: number
  readonly lines: readonly string[]

  constructor(exit: number, lines: readonly string[]) {
    super(lines.join('\n'))
    this.exit = exit
    this.lines = lines
  }
}

async function main(): Promise<void> {
  const parsed = parseOptions(process.argv.slice(2))
  if (parsed.kind === 'usage') throw new Stop(exitCodes.usage, [parsed.message])
  const { options } = parsed
  const mode = CALLED_AS === 'mailq' || CALLED_AS === 'newaliases' ? CALLED_AS : options.mode
  switch (mode) {
    case 'deliver':
      return deliver(options)
    case 'smtp': {
      const { exit, lines } = await relayStdio(wayOf(options))
      throw new Stop(exit, lines)
    }
    case 'mailq':
    case 'newaliases':
      return become(`${mode}.js`, placesOf(options))
    case 'flush':
      return become('posthorn.js', [...placesOf(options), 'queue', 'flush', '--quiet'])
    default:
      return mode satisfies never
  }
}

async function deliver(options: Options): Promise<void> {
  const given = readRecipients(options.recipients)
  if (given.length === 0 && !options.fromHeader) throw new Stop(exitCodes.usage, ['no recipients given'])
  const message = await readMessage(standardInput(), options.ignoreDots)
  const recipients = [...new Set([...given, ...(options.fromHeader ? readHeader(message) : [])])]
  if (recipients.length === 0) throw new Stop(exitCodes.usage, ['no recipients in the header'])
  const user = callerName()
  const sender = options.sender ?? user
  const header = renderHeader(message.fields, { fullName: options.fullName, address: sender || user })
  const job = makeJob(options, sender, recipients, header, message)
  const { exit, lines } = await handOver(wayOf(options), job, contentOf(header, message))
  throw new Stop(exit, lines)
}

function makeJob(
  options: Options,
  sender: string,
  recipients: readonly string[],
  header: string,
  { body, whole }: Message,
): Job {
  const { notify, ret, envid } = options
  return {
    hello: 'localhost',
    sender,
    recipients,
    size: whole ? header.length + body.length : null,
    eightBit: !whole || isEightBit(header) || isEightBit(body),
    body: options.body,
    notify,
    ret,
    envid,
  }
}

function readRecipients(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const read = readAddresses(word)
    if (read.kind === 'bad') throw new Stop(exitCodes.data, [`not an address: ${read.what}`])
    return read.list
  })
}

function readHeader(message: Message): string[] {
  const read = headerRecipients(message.fields)
  if (read.kind === 'bad') throw new Stop(exitCodes.data, [`not an address in ${read.what}`])
  return read.list
}

function wayOf({ socket, retryWindow, patience }: Options): Way {
  const path = socket ?? process.env['POSTHORN_SOCKET'] ?? DEFAULT_SOCKET
  return { path, uid: process.getuid?.() ?? 0, retryWindow, patience }
}

function placesOf({ config, queueSocket }: Options): string[] {
  return [...(config ? ['-c', config] : []), ...(queueSocket ? ['--queue-socket', queueSocket] : [])]
}

/** The caller's login name; the server knows better anyway, from the kernel. */
function callerName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid${process.getuid?.() ?? ''}` // no entry in the password file
  }
}

/** Goes on as another command of ours, in this process. */
async function become(file: string, argv: readonly string[]): Promise<void> {
  process.argv.splice(2, process.argv.length, ...argv)
  await import(new URL(file, import.meta.url).href)
}

function leave(error: unknown): never {
  const { exit, lines } = stopOf(error)
  for (const line of lines) process.stderr.write(`${CALLED_AS}: ${line}\n`)
  process.exit(exit)
}

function stopOf(error: unknown): { exit: number; lines: readonly string[] } {
  if (error instanceof Stop) return error
  if (error instanceof InputError) return { exit: exitCodes.data, lines: [error.message] }
  const code = (error as NodeJS.ErrnoException | null)?.code
  if (code?.startsWith('E')) return { exit: exitCodes.io, lines: [`cannot read the message (${code})`] }
  return { exit: exitCodes.software, lines: [String(error)] }
}

main().catch(leave)
