/**
 * What is said on the agent's socket: LMTP (RFC 2033), so that each recipient has an answer of its own, and SMTP for
 * programs that know no other. Pure: lines in, steps out; `reception.ts` is the shell.
 *
 * Ours besides: `XACCOUNT=name` (xtext) on MAIL, `XOUTBOX RELEASE|REMOVE|RETRY [ID]` for the outbox, and
 * `XGRANTS REVOKE [ID]` for what was allowed; without ID all of it.
 * Addresses are checked here and completed nowhere: an agent has no domain of its own.
 */
import { type Address, formatAddress, measurePath, parsePath } from '../../shared/smtp/address.ts'
import type { Line } from '../../shared/smtp/line-reader.ts'
import { defineReply, type SmtpReply } from '../../shared/smtp/reply.ts'
import { decodeXtext } from '../../shared/smtp/xtext.ts'

export interface IntakeRecipient {
  address: string
  notify: string | null
  orcpt: string | null
}

export interface IntakeEnvelope {
  account: string | null
  sender: string
  smtputf8: boolean
  ret: 'full' | 'hdrs' | null
  envid: string | null
  recipients: IntakeRecipient[]
}

export const outboxActs = ['RELEASE', 'REMOVE', 'RETRY'] as const
export type OutboxAct = (typeof outboxActs)[number]

export type Step =
  | { kind: 'reply'; reply: SmtpReply }
  /** 354 first; the content follows. */
  | { kind: 'data'; envelope: IntakeEnvelope }
  | { kind: 'outbox'; act: OutboxAct; id: string | null }
  | { kind: 'revoke'; id: string | null }
  | { kind: 'quit' }

const MOST_RECIPIENTS = 1000

const said = {
  ok: defineReply(250, '2.0.0', 'ok'),
  sender: defineReply(250, '2.1.0', 'sender ok'),
  recipient: defineReply(250, '2.1.5', 'recipient ok'),
  unknown: defineReply(500, '5.5.1', 'unknown command'),
  syntax: defineReply(501, '5.5.4', 'syntax error'),
  order: defineReply(503, '5.5.1', 'not now'),
  noRecipients: defineReply(503, '5.5.1', 'no recipients'),
  badSender: defineReply(553, '5.1.7', 'not an address'),
  badRecipient: defineReply(553, '5.1.3', 'not an address'),
  unqualified: defineReply(
    553,
    '5.1.3',
    'the address has no domain, and there is no mail server here for it',
  ),
  parameter: defineReply(555, '5.5.4', 'unknown parameter'),
  tooLarge: defineReply(552, '5.3.4', 'the message is too large'),
  tooMany: defineReply(452, '4.5.3', 'too many recipients'),
  badLine: defineReply(500, '5.5.2', 'not a line of SMTP'),
} as const

export class Intake {
  /** Whether each recipient is answered by itself after the dot. */
  lmtp = false
  readonly #sizeLimit: number
  #greeted = false
  #envelope: IntakeEnvelope | null = null

  constructor(sizeLimit: number) {
    this.#sizeLimit = sizeLimit
  }

  line(line: Line): Step {
    if (line.kind === 'bad-line') return line.why === 'endless' ? { kind: 'quit' } : reply(said.badLine)
    const [, verb = '', rest = ''] = /^(\S*)(?: (.*))?$/s.exec(line.text) ?? []
    switch (verb.toUpperCase()) {
      case 'EHLO':
      case 'LHLO':
        return this.#hello(verb.toUpperCase() === 'LHLO')
      case 'HELO':
        this.#greeted = true
        return reply(said.ok)
      case 'MAIL':
        return this.#mail(rest)
      case 'RCPT':
        return this.#rcpt(rest)
      case 'DATA':
        return this.#data()
      case 'XOUTBOX':
        return outbox(rest)
      case 'XGRANTS':
        return grants(rest)
      case 'RSET':
        this.#envelope = null
        return reply(said.ok)
      case 'NOOP':
        return reply(said.ok)
      case 'QUIT':
        return { kind: 'quit' }
      default:
        return reply(said.unknown)
    }
  }

  #hello(lmtp: boolean): Step {
    this.lmtp = lmtp
    this.#greeted = true
    this.#envelope = null
    const words = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES', 'DSN', 'XACCOUNT']
    const lines = ['posthorn agent', ...words, `SIZE ${this.#sizeLimit}`]
    return reply({ code: 250, enhanced: '', text: lines.join('\n') })
  }

  #mail(rest: string): Step {
    if (!this.#greeted || this.#envelope) return reply(said.order)
    const argument = splitPath(rest, 'FROM:')
    if (!argument) return reply(said.syntax)
    const parsed = parsePath(argument.path, { allowNull: true, unqualified: true, utf8: true })
    if (!parsed.ok) return reply(said.badSender)
    const envelope = newEnvelope(parsed.address)
    for (const [keyword, value] of argument.parameters) {
      if (keyword === 'SIZE' && Number(value) > this.#sizeLimit) return reply(said.tooLarge)
      if (!setMailParameter(envelope, keyword, value)) return reply(said.parameter)
    }
    this.#envelope = envelope
    return reply(said.sender)
  }

  #rcpt(rest: string): Step {
    const envelope = this.#envelope
    if (!envelope) return reply(said.order)
    const argument = splitPath(rest, 'TO:')
    if (!argument) return reply(said.syntax)
    if (envelope.recipients.length >= MOST_RECIPIENTS) return reply(said.tooMany)
    const parsed = parsePath(argument.path, { utf8: true })
    if (!parsed.ok) return reply(parsed.problem === 'unqualified' ? said.unqualified : said.badRecipient)
    if (parsed.address.domain === '') return reply(said.unqualified)
    const recipient: IntakeRecipient = { address: formatAddress(parsed.address), notify: null, orcpt: null }
    for (const [keyword, value] of argument.parameters) {
      if (keyword === 'NOTIFY') recipient.notify = value
      else if (keyword === 'ORCPT') recipient.orcpt = value
      else return reply(said.parameter)
    }
    envelope.recipients.push(recipient)
    return reply(said.recipient)
  }

  #data(): Step {
    const envelope = this.#envelope
    if (!envelope) return reply(said.order)
    if (envelope.recipients.length === 0) return reply(said.noRecipients)
    this.#envelope = null
    return { kind: 'data', envelope }
  }
}

function reply(one: SmtpReply): Step {
  return { kind: 'reply', reply: one }
}

function newEnvelope(sender: Address): IntakeEnvelope {
  return {
    account: null,
    sender: formatAddress(sender),
    smtputf8: false,
    ret: null,
    envid: null,
    recipients: [],
  }
}

function splitPath(text: string, keyword: string): { path: string; parameters: [string, string][] } | null {
  if (text.slice(0, keyword.length).toUpperCase() !== keyword) return null
  const rest = text.slice(keyword.length).trimStart()
  const end = measurePath(rest)
  if (end < 0) return null
  const words = rest
    .slice(end)
    .split(' ')
    .filter((word) => word !== '')
  const parameters = words.map((word): [string, string] => {
    const at = word.indexOf('=')
    return at === -1 ? [word.toUpperCase(), ''] : [word.slice(0, at).toUpperCase(), word.slice(at + 1)]
  })
  return { path: rest.slice(0, end), parameters }
}

/** False: unknown, or no value that it takes. */
function setMailParameter(envelope: IntakeEnvelope, keyword: string, value: string): boolean {
  switch (keyword) {
    case 'SIZE':
      return /^\d{1,20}$/.test(value)
    case 'BODY': // what the content is, is seen from the content
      return /^(7BIT|8BITMIME)$/i.test(value)
    case 'SMTPUTF8':
      envelope.smtputf8 = true
      return value === ''
    case 'RET':
      envelope.ret = value.toUpperCase() === 'FULL' ? 'full' : 'hdrs'
      return /^(FULL|HDRS)$/i.test(value)
    case 'ENVID':
      envelope.envid = value
      return value !== ''
    case 'XACCOUNT':
      envelope.account = decodeXtext(value)
      return envelope.account !== null
    default:
      return false
  }
}

function outbox(rest: string): Step {
  const [word = '', id] = rest.trim().split(/ +/)
  const act = outboxActs.find((one) => one === word.toUpperCase())
  if (!act || (id === undefined && act !== 'RETRY')) return reply(said.syntax)
  return { kind: 'outbox', act, id: id ?? null }
}

function grants(rest: string): Step {
  const [word = '', id] = rest.trim().split(/ +/)
  return word.toUpperCase() === 'REVOKE' ? { kind: 'revoke', id: id ?? null } : reply(said.syntax)
}
