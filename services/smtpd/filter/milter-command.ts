/**
 * What we say to a milter: each command of the protocol (version 6, as libmilter speaks it) as a packet, with the
 * macros that go before it. Pure. Next: `milter-reply.ts`, `milter-conversation.ts`.
 */
import { isIP } from 'node:net'
import type { Named } from '../session-setting.ts'
import { cipherBits } from '../tls-facts.ts'
import { confirmedName, type MessageFacts, reverseName, type SessionFacts } from './change.ts'
import { type Field, fieldValue } from './header.ts'
import { number32, renderPacket, strings } from './milter-packet.ts'

export const VERSION = 6

/** What a milter may do at the end of a message, as bits. */
export const actions = {
  addFields: 0x01,
  changeBody: 0x02,
  addRecipients: 0x04,
  removeRecipients: 0x08,
  changeFields: 0x10,
  hold: 0x20,
  changeSender: 0x40,
  addRecipientsWithParameters: 0x80,
  chooseMacros: 0x100,
} as const
export const ALL_ACTIONS = 0x1ff

/** What a milter does not want to hear, or does not answer, as bits. */
export const steps = {
  noConnect: 0x01,
  noHelo: 0x02,
  noMail: 0x04,
  noRcpt: 0x08,
  noBody: 0x10,
  noFields: 0x20,
  noEndOfHeader: 0x40,
  silentField: 0x80,
  noUnknown: 0x100,
  noData: 0x200,
  skip: 0x400,
  silentConnect: 0x1000,
  silentHelo: 0x2000,
  silentMail: 0x4000,
  silentRcpt: 0x8000,
  silentData: 0x1_0000,
  silentUnknown: 0x2_0000,
  silentEndOfHeader: 0x4_0000,
  silentBody: 0x8_0000,
  /** Values of fields go with the space behind the colon, both ways. */
  leadingSpace: 0x10_0000,
} as const
/** All of them: what is not among them is that we tell of recipients that were refused. */
export const ALL_STEPS = Object.values(steps).reduce((all, bit) => all | bit, 0)

export type Command =
  | { kind: 'connect'; facts: SessionFacts }
  | { kind: 'helo'; facts: SessionFacts }
  | { kind: 'mail'; facts: MessageFacts }
  | { kind: 'rcpt'; facts: MessageFacts; address: string }
  | { kind: 'data'; facts: MessageFacts }
  | { kind: 'field'; field: Field }
  | { kind: 'end-of-header'; facts: MessageFacts }
  | { kind: 'body'; octets: Buffer }
  | { kind: 'end'; facts: MessageFacts }
export type Stage = Command['kind']

export function renderNegotiation(): Buffer {
  return renderPacket('O', number32(VERSION), number32(ALL_ACTIONS), number32(ALL_STEPS))
}
export const ABORT = renderPacket('A')
export const QUIT = renderPacket('Q')

const letters: Readonly<Record<Stage, string>> = {
  connect: 'C',
  helo: 'H',
  mail: 'M',
  rcpt: 'R',
  data: 'T',
  field: 'L',
  'end-of-header': 'N',
  body: 'B',
  end: 'E',
}

/** @param spaced values go with the space behind the colon. */
export function renderCommand(command: Command, spaced: boolean): Buffer {
  return renderPacket(letters[command.kind], dataOf(command, spaced))
}

function dataOf(command: Command, spaced: boolean): Buffer {
  switch (command.kind) {
    case 'connect':
      return whereFrom(command.facts)
    case 'helo':
      return strings(command.facts.helo)
    case 'mail':
      return strings(`<${octetsOf(command.facts.sender)}>`, ...mailParameters(command.facts))
    case 'rcpt':
      return strings(`<${octetsOf(command.address)}>`)
    case 'field':
      return strings(command.field.name, fieldValue(command.field, spaced))
    case 'body':
      return command.octets
    case 'data':
    case 'end-of-header':
    case 'end':
      return NOTHING
    default:
      return command satisfies never
  }
}

const NOTHING = Buffer.alloc(0)
/** Programs of this machine are told of as Postfix does it, so that what trusts loopback trusts them. */
const LOCAL = '127.0.0.1'

/** Name, family, port (0: not known), address. The name is the literal where none is known that leads back. */
function whereFrom({ client, named, ends }: SessionFacts): Buffer {
  const address = client === '' ? LOCAL : client
  const six = isIP(address) === 6
  const family = Buffer.from([six ? 0x36 : 0x34, ends.clientPort >> 8, ends.clientPort & 0xff])
  return Buffer.concat([
    strings(confirmedName(named) ?? nameOf(client)),
    family,
    strings(six ? `IPv6:${address}` : address),
  ])
}

function nameOf(client: string): string {
  if (client === '') return 'localhost'
  return isIP(client) === 6 ? `[IPv6:${client}]` : `[${client}]`
}

function mailParameters({ size, body, smtputf8 }: MessageFacts): string[] {
  return [
    ...(size > 0 ? [`SIZE=${size}`] : []),
    ...(body === '7bit' ? [] : [`BODY=${body.toUpperCase()}`]),
    ...(smtputf8 ? ['SMTPUTF8'] : []),
  ]
}

/** A text as its octets, one a character. */
function octetsOf(text: string): string {
  return Buffer.from(text).toString('latin1')
}

// --- macros

/** Which stage a milter means when it chooses macros; its numbers are libmilter's. */
export const macroStages: readonly Stage[] = [
  'connect',
  'helo',
  'mail',
  'rcpt',
  'data',
  'end',
  'end-of-header',
]

/** What each stage is told unless the milter chooses, as sendmail and Postfix do by default. */
const usual: Readonly<Partial<Record<Stage, readonly string[]>>> = {
  connect: [
    ...['j', '_', 'v', '{daemon_name}', '{daemon_addr}', '{daemon_port}', '{if_name}', '{if_addr}'],
    ...['{client_addr}', '{client_name}', '{client_ptr}', '{client_resolve}', '{client_port}'],
  ],
  helo: ['{tls_version}', '{cipher}', '{cipher_bits}', '{cert_subject}', '{cert_issuer}'],
  mail: ['i', '{auth_type}', '{auth_authen}', '{mail_addr}', '{mail_host}', '{mail_mailer}'],
  rcpt: ['i', '{rcpt_addr}', '{rcpt_host}', '{rcpt_mailer}'],
  data: ['i', '{nrcpts}'],
  'end-of-header': ['i'],
  end: ['i', '{nrcpts}'],
}

/** The packet that goes before the command; null where there is nothing to tell. */
export function renderMacros(command: Command, chosen: readonly string[] | undefined): Buffer | null {
  const names = chosen ?? usual[command.kind]
  if (!names || !('facts' in command)) return null
  const told = names.flatMap((name) => {
    const value = macro(name, command.facts, 'address' in command ? command.address : null)
    return value === undefined || value === '' ? [] : [name, octetsOf(value)]
  })
  const about = Buffer.from(letters[command.kind])
  return told.length > 0 ? renderPacket('D', about, strings(...told)) : null
}

/** Sendmail's words for what has come of the client's name. */
const resolved: Readonly<Record<Named['kind'], string>> = {
  confirmed: 'OK',
  unconfirmed: 'FORGED',
  none: 'FAIL',
  later: 'TEMP',
}

function macro(
  name: string,
  facts: SessionFacts | MessageFacts,
  recipient: string | null,
): string | undefined {
  switch (name) {
    case 'j':
    case '{if_name}':
      return facts.hostname
    case '_':
      return nameOf(facts.client)
    case 'v':
      return 'Posthorn'
    case '{daemon_name}':
      return facts.listener
    case '{daemon_addr}':
    case '{if_addr}':
      return facts.ends.serverAddress
    case '{daemon_port}':
      return facts.ends.serverPort > 0 ? String(facts.ends.serverPort) : undefined
    case '{client_port}':
      return facts.ends.clientPort > 0 ? String(facts.ends.clientPort) : undefined
    case '{cert_subject}':
      return facts.tls?.certificateNames[0]
    case '{client_addr}':
      return facts.client === '' ? LOCAL : facts.client
    case '{client_name}':
      return confirmedName(facts.named) ?? (facts.client === '' ? 'localhost' : 'unknown')
    case '{client_ptr}':
      return reverseName(facts.named) ?? (facts.client === '' ? 'localhost' : 'unknown')
    case '{client_resolve}':
      return facts.named ? resolved[facts.named.kind] : undefined
    case '{tls_version}':
      return facts.tls?.version
    case '{cipher}':
      return facts.tls?.cipher
    case '{cipher_bits}':
      return facts.tls ? bitsOf(facts.tls.cipher) : undefined
    case '{cert_issuer}':
      return facts.tls?.certificate?.issuer
    case '{auth_type}':
      return facts.mechanism
    case '{auth_authen}':
      return facts.user
    case '{rcpt_addr}':
      return recipient ?? undefined
    case '{rcpt_host}':
      return recipient?.slice(recipient.lastIndexOf('@') + 1)
    case '{rcpt_mailer}':
    case '{mail_mailer}':
      return 'esmtp'
    default:
      return 'id' in facts ? ofMessage(name, facts) : undefined
  }
}

function bitsOf(cipher: string): string | undefined {
  const bits = cipherBits(cipher)
  return bits > 0 ? String(bits) : undefined
}

function ofMessage(name: string, { id, sender, agreed }: MessageFacts): string | undefined {
  if (name === '{nrcpts}') return agreed > 0 ? String(agreed) : undefined
  if (name === 'i' || name === '{i}') return id
  if (name === '{mail_addr}') return sender
  return name === '{mail_host}' ? sender.slice(sender.lastIndexOf('@') + 1) : undefined
}
