/**
 * The two things that sendmail asks of the server by SMTP: take this message (-bm, and as rmail), or say what would
 * become of these addresses (-bv, which never sends).
 *
 * Fails: `Stop` for what is wrong with the call or the message, before the server is called; all else is in the
 * verdict, which the caller leaves with.
 */
import { userInfo } from 'node:os'
import { readAddresses } from '../../shared/message/address-list.ts'
import { addressesOf, headerRecipients } from '../../shared/message/header.ts'
import { ensureAgent } from '../agent/start.ts'
import type { Job } from './conversation.ts'
import { exitCodes } from './exit-code.ts'
import { contentOf, isEightBit, type Message, readMessage, standardInput } from './message.ts'
import type { Options } from './options.ts'
import { renderHeader } from './outgoing-header.ts'
import { writeToSandbox } from './sandbox.ts'
import { type Form, handOver, type Way } from './session.ts'
import { type End, Stop } from './stop.ts'
import { tlsDemandOf } from './tls-demand.ts'
import { failedBefore } from './told.ts'
import { senderOfEnvelopeLines } from './uucp.ts'
import { directionOf } from './way.ts'

async function* nothing(): AsyncGenerator<Buffer, void> {}

/** @param uucp as rmail: dots are text, and the sender stands in the `From ` lines on top. */
export async function deliver(options: Options, uucp: boolean): Promise<End> {
  const given = readRecipients(
    options.recipients.length > 0 ? options.recipients : recipientsOfCaller(options),
  )
  if (given.length === 0 && !options.fromHeader) throw new Stop(exitCodes.usage, ['no recipients given'])
  const message = await readMessage(standardInput(), options.ignoreDots || uucp)
  const named = options.fromHeader ? readHeader(message) : []
  const recipients = [...new Set([...given, ...named])]
  if (recipients.length === 0) throw new Stop(exitCodes.usage, ['no recipients in the header'])
  const user = callerName()
  const sender =
    options.sender ??
    (process.env['GOSENDMAIL_SENDER'] || null) ??
    (uucp ? senderOfEnvelopeLines(message.envelopeLines) : null) ??
    user
  const fullName = options.fullName ?? process.env['NAME'] ?? null
  const authorName = fullName && !message.fields.some(({ name }) => name === 'from') ? fullName : null
  const from = authorName === null ? null : { fullName: authorName, address: sender || user }
  const headerAs = ({ whole, byName }: Form) => renderHeader(message.fields, byName ? null : from, whole)
  const header = headerAs({ whole: false, byName: false })
  const asked = options.fromHeader ? headerAs({ whole: true, byName: false }) : header
  const { body, whole } = message
  const sizeWith = (text: string) => (whole ? text.length + body.length : null)
  const job: Job = {
    ...jobFor(options, sender, recipients),
    header: options.fromHeader ? { given: [...new Set(given)], named, size: sizeWith(asked) } : null,
    size: sizeWith(header),
    ...{ authorName, tlsDemand: tlsDemandOf(process.env) },
    eightBit: !whole || isEightBit(asked) || isEightBit(body),
  }
  const direction = directionOf(options, process.env)
  const content = (form: Form) => contentOf(headerAs(form), message)
  if (direction.kind !== 'sandbox') {
    const end = await handOver(await wayOf(options), job, content)
    if (direction.kind !== 'agent' || !process.stderr.isTTY) return end
    return { ...end, lines: [...end.lines, ...failedBefore(direction.places)] }
  }
  await writeToSandbox(direction.directory, job, content({ whole: false, byName: false }))
  return { exit: exitCodes.ok, lines: [] }
}

export async function verify(options: Options): Promise<End> {
  const recipients = readRecipients(options.recipients)
  if (recipients.length === 0) throw new Stop(exitCodes.usage, ['no addresses given'])
  const job = jobFor(options, options.sender ?? callerName(), recipients)
  return handOver(await wayOf(options), { ...job, verify: true }, nothing)
}

/** Of a message on standard input with -t, else of those on the command line. */
export async function explain(options: Options): Promise<End> {
  const given = readRecipients(options.recipients)
  const { fields } = options.fromHeader
    ? await readMessage(standardInput(), options.ignoreDots)
    : { fields: [] }
  const named = options.fromHeader ? readHeader({ fields }) : []
  const recipients = [...new Set([...given, ...named])]
  if (recipients.length === 0) throw new Stop(exitCodes.usage, ['no recipients given'])
  const from = addressesOf(fields.filter(({ name }) => name === 'from'))
  const job: Job = {
    ...jobFor(options, options.sender ?? callerName(), recipients),
    header: options.fromHeader ? { given: [...new Set(given)], named, size: null } : null,
    why: { authors: from.kind === 'good' ? from.list : [] },
  }
  return handOver(await wayOf(options), job, nothing)
}

function jobFor(options: Options, sender: string, recipients: readonly string[]): Job {
  const { body, notify, ret, envid, wait, patience, account, asIs } = options
  return {
    hello: 'localhost',
    ...{ sender, recipients, body, notify, ret, envid, account, asIs },
    lmtp: directionOf(options, process.env).kind === 'agent',
    header: null,
    why: null,
    size: null,
    eightBit: false,
    verify: false,
    ...{ authorName: null, tlsDemand: null },
    wait: wait ? { patience } : null,
  }
}

/** GoSendmail's way to name them, when nothing else does: what reaches a server through ssh may have no words. */
function recipientsOfCaller({ fromHeader }: Options): string[] {
  const told = process.env['GOSENDMAIL_RECIPIENTS']
  return told && !fromHeader ? [told] : []
}

function readRecipients(words: readonly string[]): string[] {
  return words.flatMap((word) => {
    const read = readAddresses(word)
    if (read.kind === 'bad') throw new Stop(exitCodes.data, [`not an address: ${read.what}`])
    return read.list
  })
}

function readHeader(message: Pick<Message, 'fields'>): string[] {
  const read = headerRecipients(message.fields)
  if (read.kind === 'bad') throw new Stop(exitCodes.data, [`not an address in ${read.what}`])
  return read.list
}

/** The agent asks its user and the provider before it answers: seconds. */
const AGENT_PATIENCE = 900

/** To the server, or to the caller's agent, which is started where none runs. */
export async function wayOf(options: Options): Promise<Way> {
  const { retryWindow, patience, verbose } = options
  const direction = directionOf(options, process.env)
  if (direction.kind === 'sandbox') throw new Stop(exitCodes.unavailable, ['nobody to ask in a sandbox'])
  if (direction.kind === 'agent') await ensureAgent(direction.places)
  const path = direction.kind === 'agent' ? direction.places.socket : direction.path
  const say = (line: string) => void process.stdout.write(`${line}\n`)
  return {
    ...{ path, uid: process.getuid?.() ?? 0, retryWindow },
    patience: direction.kind === 'agent' ? (patience ?? AGENT_PATIENCE) : patience,
    tell: say,
    ...(verbose && { trace: say }),
  }
}

/** The caller's login name; the server knows better anyway, from the kernel. */
function callerName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid${process.getuid?.() ?? ''}` // no entry in the password file
  }
}
