/**
 * The commands of SMTP (RFC 5321 section 4.1.1): one table, and nothing beside it. HELP is printed from it, EHLO
 * from the table of extensions below.
 *
 * A command that comes in the wrong phase is refused with 503, one that must wait for TLS with 530. Handlers are
 * pure; `session.ts` finds them, counts errors and closes.
 */
import type { ListenerKind } from '../../shared/config/slices.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { auth, whyNotSender } from './auth.ts'
import { bdat, dropped } from './chunks.ts'
import { admitted } from './consultation.ts'
import { mailOffers, offered } from './extensions.ts'
import { readAddress, whyDenied } from './mailbox.ts'
import { readMailParameters, readRcptParameters, splitArgument } from './parameters.ts'
import { answer, takeRecipient } from './recipient.ts'
import { hello, help, replies, withReason } from './replies.ts'
import type {
  AskedRecipient,
  Hello,
  Moment,
  Phase,
  PhaseName,
  Setting,
  State,
  Step,
  Transaction,
} from './state.ts'
import { hangUp, move, say, stay } from './step.ts'
import { answerAtOnce, openTransaction, refusal } from './transaction.ts'
import { etrn, expn, vrfy } from './vrfy.ts'
import { why } from './why.ts'
import { xclient, xforward } from './xclient.ts'

export interface Scene {
  setting: Setting
  state: State
  now: Moment
}

interface Command {
  /** For HELP. */
  syntax: string
  when: readonly PhaseName[]
  /** RFC 3207 section 4: legal before TLS where TLS is demanded. */
  beforeTls: boolean
  /** May be taken while earlier commands still wait for their replies. */
  overlaps: boolean
  /** RFC 2920 section 3.1: ends a group of commands, so replies leave before more input is looked at. */
  last: boolean
  /** RFC 2033 section 4.1: LMTP has LHLO, and neither EHLO nor HELO. What is ours may be for the local socket. */
  only: 'smtp' | 'lmtp' | 'local' | null
  run: (scene: Scene, argument: string) => Step
}

type In<P extends PhaseName> = Extract<Phase, { at: P }>

/** Binds a handler to the phases it is legal in; `session.ts` has checked them. */
function on<P extends PhaseName>(
  when: readonly P[],
  syntax: string,
  run: (scene: Scene, phase: In<P>, argument: string) => Step,
  traits: Partial<Omit<Command, 'syntax' | 'when' | 'run'>> = {},
): Command {
  return {
    syntax,
    when,
    beforeTls: false,
    overlaps: false,
    last: false,
    only: null,
    ...traits,
    run: (scene, argument) => run(scene, scene.state.phase as In<P>, argument),
  }
}

const ANY = ['start', 'ready', 'mail', 'chunks'] as const
const IDLE = { beforeTls: true, last: true }
const SMTP_ONLY = { ...IDLE, only: 'smtp' } as const
const LMTP_ONLY = { ...IDLE, only: 'lmtp' } as const

const MAIL_SYNTAX =
  'MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME|BINARYMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=xtext] [AUTH=xtext] ' +
  '[REQUIRETLS] [HOLDFOR=seconds|HOLDUNTIL=time] [BY=seconds;N|R[T]] [MT-PRIORITY=n] ' +
  '[VERDICT=seconds] [RCPTHDR] [XTLS=NONE|ENCRYPTED|VERIFIED]'
const RCPT_SYNTAX = 'RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;xtext]'

export const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['EHLO', on(ANY, 'EHLO domain', (scene, _, argument) => greet(scene, argument, true), SMTP_ONLY)],
  ['HELO', on(ANY, 'HELO domain', (scene, _, argument) => greet(scene, argument, false), SMTP_ONLY)],
  ['LHLO', on(ANY, 'LHLO domain', (scene, _, argument) => greet(scene, argument, true), LMTP_ONLY)],
  [
    'AUTH',
    on(
      ['ready'],
      'AUTH mechanism [initial-response]',
      ({ setting, state, now }, { hello: heard }, argument) => auth(setting, state, heard, argument, now),
      { last: true },
    ),
  ],
  ['MAIL', on(['ready'], MAIL_SYNTAX, mail)],
  ['RCPT', on(['mail'], RCPT_SYNTAX, rcpt, { overlaps: true })],
  ['DATA', on(['mail'], 'DATA', data, { last: true })],
  ['BDAT', on(ANY, 'BDAT octets [LAST]', bdat, { beforeTls: true })],
  ['RSET', on(ANY, 'RSET', reset, { beforeTls: true })],
  ['STARTTLS', on(ANY, 'STARTTLS', startTls, IDLE)],
  ['NOOP', on(ANY, 'NOOP [text]', (scene) => stay(scene.state, say(replies.ok)), IDLE)],
  ['VRFY', on(ANY, 'VRFY address [SMTPUTF8]', vrfy, { last: true })],
  ['EXPN', on(ANY, 'EXPN address [SMTPUTF8]', expn, { last: true })],
  ['ETRN', on(['ready'], 'ETRN [@]domain', etrn, { last: true, only: 'smtp' })],
  ['XCLIENT', on(['start', 'ready'], 'XCLIENT attribute=value ...', xclient, { last: true })],
  ['XFORWARD', on(['ready'], 'XFORWARD attribute=value ...', xforward)],
  ['XWHY', on(['ready'], 'XWHY [FROM:<address>|AUTHOR:<address>|TO:<address>]', why, { only: 'local' })],
  ['HELP', on(ANY, 'HELP', (scene) => stay(scene.state, say(help(syntaxes(scene.setting)))), IDLE)],
  ['QUIT', on(ANY, 'QUIT', (scene) => hangUp(scene.state, replies.closing), IDLE)],
])

/** The command by this name, where there is one on such a listener. */
export function commandFor({ kind }: Setting, verb: string): Command | null {
  const command = commands.get(verb)
  return command && speaks(command, kind) ? command : null
}

function speaks({ only }: Command, kind: ListenerKind): boolean {
  if (only === 'local') return kind === 'local'
  return only === null || (only === 'lmtp') === (kind === 'lmtp')
}

function syntaxes({ kind }: Setting): string[] {
  return [...commands.values()].filter((one) => speaks(one, kind)).map((one) => one.syntax)
}

/** A domain or an address literal, with the liberties that are common (underscores, bare addresses). */
const HELLO_NAME = /^(?:[A-Za-z0-9_][A-Za-z0-9_.:-]*|\[[A-Za-z0-9.:-]+\])$/
const LONGEST_NAME = 255

// RFC 5321 section 4.1.4: a later EHLO ends the transaction, as RSET does
function greet({ setting, state, now }: Scene, argument: string, extended: boolean): Step {
  if (argument.length > LONGEST_NAME || !HELLO_NAME.test(argument))
    return stay(state, say(replies.helloSyntax))
  const keywords = extended ? offered(setting, state, now) : []
  const name = setting.clientHelo ?? argument
  const phase: Phase = { at: 'ready', hello: { name, extended } }
  return move(state, phase, ...dropped(state), say(hello(setting.hostname, keywords)))
}

function mail({ setting, state, now }: Scene, phase: In<'ready'>, argument: string): Step {
  if (state.transactions >= setting.bounds.transactions) return hangUp(state, replies.tooManyTransactions)
  const asked = splitArgument(argument, 'FROM')
  if (!asked) return stay(state, say(replies.mailSyntax))
  const parameters = readMailParameters(asked.rest, mailOffers(setting, state), now.time)
  if ('code' in parameters) return stay(state, say(parameters))
  if (parameters.submitter !== undefined && !setting.auth) return stay(state, say(replies.unknownParameter))
  const sender = readAddress(setting, asked.path, parameters.smtputf8, true)
  if (typeof sender !== 'string') return stay(state, say(sender))
  const foreign = whyNotSender(setting, sender, now)
  if (foreign) return stay(state, say(foreign))
  const denied = whyDenied(setting, sender)
  if (denied) return stay(state, say(denied))
  // RFC 1870 section 6.1
  if (parameters.size > setting.messageSizeLimit) return stay(state, say(replies.tooLarge))
  const trouble = now.time < state.brakedUntil ? replies.tooMuchMail : whyNotNow(now)
  if (trouble) return stay(state, say(trouble))
  const id = now.takeId()
  if (id === null) return stay(state, say(replies.queueLost))
  // who is not trusted has the header seen to like anybody
  const asIs = parameters.asIs === true && setting.rights.trusted
  const { forwarded } = state
  const transaction = openTransaction(id, sender, { ...parameters, asIs }, now.time, setting, forwarded)
  const counted = { ...state, transactions: state.transactions + 1, forwarded: null }
  return move(counted, { at: 'mail', hello: phase.hello, transaction }, say(replies.senderOk))
}

function whyNotNow({ intake }: Moment): SmtpReply | null {
  switch (intake.state) {
    // only new sessions wait, and qmgr has let this one in
    case 'go':
    case 'wait':
      return null
    case 'refuse':
      return withReason(intake.storage ? replies.intakeFull : replies.intakeBusy, intake.reason)
    case 'down':
      return replies.queueLost
    default:
      return intake.state satisfies never
  }
}

function rcpt(scene: Scene, phase: In<'mail'>, argument: string): Step {
  const { transaction } = phase
  const asked = readRecipient(scene.setting, transaction, argument)
  if ('code' in asked) return answer(scene.state, phase, answerAtOnce(transaction, NOBODY, refusal(asked)))
  if (transaction.without) return takeAway(scene.state, phase, transaction.without, asked.address)
  return takeRecipient(scene, phase, asked)
}

/** It need not exist. */
function takeAway(state: State, phase: In<'mail'>, before: readonly string[], address: string): Step {
  const transaction = { ...phase.transaction, without: before.concat(address) }
  return move(state, { ...phase, transaction }, say(replies.recipientTakenAway))
}

const NOBODY: AskedRecipient = { address: '', parameters: {} }

function readRecipient(
  setting: Setting,
  transaction: Transaction,
  argument: string,
): AskedRecipient | SmtpReply {
  const asked = splitArgument(argument, 'TO')
  if (!asked) return replies.rcptSyntax
  const parameters = readRcptParameters(asked.rest, transaction.smtputf8)
  if ('code' in parameters) return parameters
  // RFC 5321 section 4.5.3.1.10: 452, and what was accepted stays so
  const taken = transaction.without?.length ?? transaction.agreed
  if (taken >= setting.recipientLimit) return replies.tooManyRecipients
  const address = readAddress(setting, asked.path, transaction.smtputf8, false)
  return typeof address === 'string' ? { address, parameters } : address
}

function data({ setting, state }: Scene, phase: In<'mail'>, argument: string): Step {
  if (argument !== '') return stay(state, say(replies.noParameters))
  if (phase.transaction.agreed === 0 && !phase.transaction.asksHeader)
    return stay(state, say(replies.noRecipients))
  const { hello: heard, transaction } = phase
  if (transaction.body === 'binarymime') return stay(state, say(replies.binaryByChunks))
  // whom the header names is not known yet
  if (setting.filtered && transaction.recipients.length > 0 && !transaction.asksHeader)
    return move(state, { ...phase, at: 'admit' }, { kind: 'admit', transaction, hello: heard })
  return admitted(state, phase, null)
}

function reset({ state }: Scene, phase: In<(typeof ANY)[number]>, argument: string): Step {
  if (argument !== '') return stay(state, say(replies.noParameters))
  return move(state, afterReset(phase), ...dropped(state), say(replies.ok))
}

function afterReset(phase: In<(typeof ANY)[number]>): Phase {
  return phase.at === 'mail' || phase.at === 'chunks'
    ? { at: 'ready', hello: phase.hello satisfies Hello }
    : phase
}

function startTls({ setting, state }: Scene, _: Phase, argument: string): Step {
  if (setting.starttls === 'none') return stay(state, say(replies.notImplemented))
  if (setting.starttls === 'broken') return stay(state, say(replies.tlsBroken))
  if (argument !== '') return stay(state, say(replies.noParameters))
  if (state.secure) return stay(state, say(replies.tlsAlready))
  return move(state, { at: 'securing' }, ...dropped(state), say(replies.readyForTls), { kind: 'secure' })
}
