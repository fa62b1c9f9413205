/**
 * signmail: on the user's own machine, where the key is. Takes a message as sendmail does, cleans its header, signs
 * it, and hands it to the server of its sender's domain, which needs no key and can be required to take nothing
 * unsigned (`require-signature`). Whoever is refused or put off is named, and a second run with the same message
 * sends to them alone: see `journal.ts`.
 *
 * Fails: with the exit codes of sendmail; 75 means that trying again is of use. Limit: LARGEST octets in memory,
 * because the signature stands before what it is of.
 */
import { randomBytes } from 'node:crypto'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fieldValue, type HeaderField } from '../../shared/dkim/fields.ts'
import { readAddresses } from '../../shared/message/address-list.ts'
import { headerRecipients } from '../../shared/message/header.ts'
import { parseMailbox } from '../../shared/smtp/address.ts'
import { exitCodeOf, exitCodes, replyLine } from '../sendmail/exit-code.ts'
import { contentOf, isEightBit, readMessage, standardInput } from '../sendmail/message.ts'
import { type End, endOf, Stop } from '../sendmail/stop.ts'
import { tlsDemandOf } from '../sendmail/tls-demand.ts'
import type { Fates } from './conversation.ts'
import { DkimSigner } from './dkim-signer.ts'
import { importConfig } from './gosendmail-config.ts'
import { type Entry, Journal, journalDirectory, nameOf } from './journal.ts'
import { loadSigners } from './keys.ts'
import { type Options, parseOptions, USAGE } from './options.ts'
import { sanitise } from './sanitise.ts'
import { readSignConfig, type SenderConfig, senderFor } from './sign-config.ts'
import { send } from './ways.ts'

const LARGEST = 256 << 20

/** @returns the exit code. */
export async function signAndSend(argv: readonly string[], name: string): Promise<number> {
  const { exit, lines } = await run(argv).catch(endOf)
  for (const line of lines) process.stderr.write(`${name}: ${line}\n`)
  return exit
}

async function run(argv: readonly string[]): Promise<End> {
  const parsed = parseOptions(argv)
  switch (parsed.kind) {
    case 'usage':
      throw new Stop(exitCodes.usage, [parsed.message])
    case 'help':
      process.stdout.write(USAGE)
      return { exit: exitCodes.ok, lines: [] }
    case 'import':
      process.stdout.write(importConfig(parsed.file, parsed.part))
      return { exit: exitCodes.ok, lines: [] }
    case 'send':
      return deliver(parsed.options)
    default:
      return parsed satisfies never
  }
}

interface Handed {
  fields: HeaderField[]
  body: string[]
}

async function deliver(options: Options): Promise<End> {
  const handed = await readWhole(options)
  const recipients = recipientsOf(options, handed.fields)
  const sender = senderOf(options, handed.fields)
  const tlsDemand = tlsDemandOf(process.env)
  const config = configOf(options, sender)
  const messageId = `<${randomBytes(16).toString('hex')}@${config.domain}>`
  const fresh: Entry = { version: 1, messageId, now: Date.now(), recipients: {} }
  const name = nameOf(sender, [...handed.fields.map(({ raw }) => raw), '\0', ...handed.body])
  const journal = new Journal(journalDirectory(process.env), name, fresh)
  const content = await signedContent(handed, config, journal.entry)
  if (options.print) {
    journal.close()
    return print(content)
  }
  const outstanding = journal.outstanding(recipients, options.again)
  if (outstanding.length > 0) {
    const load = {
      sender,
      recipients: outstanding,
      content,
      size: sizeOf(content),
      eightBit: isEight(content),
      tlsDemand,
    }
    const terms = { timeout: config.timeout, beforeLast: (who: readonly string[]) => journal.doubt(who) }
    const fates = await send(config.send, load, terms)
    journal.settle(fates)
    return conclude(journal, recipients, fates)
  }
  return conclude(journal, recipients, new Map())
}

async function readWhole({ ignoreDots }: Options): Promise<Handed> {
  const message = await readMessage(standardInput(), ignoreDots)
  const body: string[] = []
  let octets = 0
  for await (const piece of contentOf('', message)) {
    octets += piece.length
    if (octets > LARGEST) throw new Stop(exitCodes.data, [`the message is larger than ${LARGEST >> 20} MiB`])
    body.push(piece.toString('latin1'))
  }
  return { fields: message.fields, body }
}

/** Words, then the environment (GoSendmail's), then the header. */
function recipientsOf({ recipients, fromHeader }: Options, fields: readonly HeaderField[]): string[] {
  const told = recipients.length > 0 ? recipients : [process.env['GOSENDMAIL_RECIPIENTS'] ?? '']
  const given = told.flatMap((text) => addressesIn(text, 'not an address'))
  const wanted =
    fromHeader || given.length === 0 ? headerRecipients(fields) : { kind: 'good' as const, list: [] }
  if (wanted.kind === 'bad') throw new Stop(exitCodes.data, [`not an address in ${wanted.what}`])
  const all = [...new Set([...given, ...wanted.list])]
  if (all.length === 0) throw new Stop(exitCodes.usage, ['no recipients'])
  return all
}

function addressesIn(text: string, what: string): string[] {
  const read = readAddresses(text)
  if (read.kind === 'bad') throw new Stop(exitCodes.data, [`${what}: ${read.what}`])
  return read.list
}

/** The reverse-path: it must be of the domain that signs, for the server to take it. */
function senderOf({ sender }: Options, fields: readonly HeaderField[]): string {
  const told = sender ?? (process.env['GOSENDMAIL_SENDER'] || null)
  if (told !== null) return told
  const from = fields.find(({ name }) => name === 'from')
  const text = from ? Buffer.from(fieldValue(from), 'latin1').toString('utf8') : ''
  const [author] = addressesIn(text, 'not an address in From')
  if (author === undefined) throw new Stop(exitCodes.data, ['the message has no From, and -f was not given'])
  return author
}

function configOf({ config }: Options, sender: string): SenderConfig {
  const home = process.env['XDG_CONFIG_HOME'] || join(process.env['HOME'] || homedir(), '.config')
  const path = config ?? join(home, 'posthorn', 'sign.conf')
  const read = readSignConfig(path)
  if (read.kind === 'bad') throw new Stop(exitCodes.config, read.problems.trimEnd().split('\n'))
  const parsed = parseMailbox(sender, { utf8: true })
  if (!parsed.ok) throw new Stop(exitCodes.data, [`the sender ${sender} is no address`])
  const { domain } = parsed.address
  const found = senderFor(read.senders, domain)
  if (!found) throw new Stop(exitCodes.config, [`${path}: no sender "${domain}"`])
  return found
}

async function signedContent(
  { fields, body }: Handed,
  config: SenderConfig,
  { now, messageId }: { now: number; messageId: string },
): Promise<Buffer[]> {
  const clean = sanitise(fields, config, { now, messageId })
  const pieces = body.map((piece) => Buffer.from(piece, 'latin1'))
  const signer = new DkimSigner()
  for (const piece of pieces) signer.push(piece)
  const lifetime = config['signature-lifetime']
  const signedAt = Math.floor(now / 1000)
  const expires = lifetime === 0 ? null : signedAt + Math.floor(lifetime / 1000)
  const signatures = signer.sign(clean, await loadSigners(config), { signedAt, expires })
  return [Buffer.from(`${signatures}${clean.map(({ raw }) => raw).join('')}\r\n`, 'latin1'), ...pieces]
}

function sizeOf(content: readonly Buffer[]): number {
  return content.reduce((sum, { length }) => sum + length, 0)
}

function isEight(content: readonly Buffer[]): boolean {
  return content.some((piece) => isEightBit(piece.toString('latin1')))
}

function print(content: readonly Buffer[]): End {
  for (const piece of content) process.stdout.write(piece)
  return { exit: exitCodes.ok, lines: [] }
}

/** One line for each who has not got it; the worst of them decides what to leave with. */
function conclude(journal: Journal, recipients: readonly string[], fates: Fates): End {
  const lines: string[] = []
  const codes: number[] = []
  for (const [recipient, fate] of fates) {
    if (fate.kind === 'sent' || fate.kind === 'doubt') continue
    lines.push(`<${recipient}>: ${replyLine(fate.reply)}`)
    codes.push(exitCodeOf(fate.reply))
  }
  for (const recipient of journal.inDoubt(recipients)) {
    const fate = fates.get(recipient)
    const why = fate?.kind === 'doubt' ? fate.why : 'an earlier run could not tell'
    lines.push(`<${recipient}>: may have got it (${why}); --again sends once more`)
    codes.push(exitCodes.temporary)
  }
  if (lines.length === 0) journal.close()
  const exit = codes.includes(exitCodes.temporary) ? exitCodes.temporary : (codes[0] ?? exitCodes.ok)
  return { exit, lines }
}
