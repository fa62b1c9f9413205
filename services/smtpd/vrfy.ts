/**
 * Commands that ask for something outside of any transaction: VRFY and EXPN (RFC 5321 section 3.5) and ETRN
 * (RFC 1985). Each is for those whom the listener's options of the same names grant it; the session waits for the
 * answer in a phase of its own and goes back to where it was. Pure.
 */
import type { Answer } from '../../shared/bus/messages.ts'
import { formatAddress, parseDomain, parsePath } from '../../shared/smtp/address.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { mailboxes, replies } from './replies.ts'
import type { Idle, Inquiry, Setting, State, Step } from './state.ts'
import { move, say, stay } from './step.ts'

interface Scene {
  setting: Setting
  state: State
}

/** The number of the question, where RCPTs count from 0. */
const ANY_NUMBER = -1

export function vrfy(scene: Scene, phase: Idle, argument: string): Step {
  const { setting, state } = scene
  // section 7.3: who may not know is told nothing, and nothing wrong
  if (!setting.grants.vrfy) return stay(state, say(argument ? replies.cannotVerify : replies.nameMissing))
  return ask(scene, phase, 'VRFY', argument)
}

export function expn(scene: Scene, phase: Idle, argument: string): Step {
  if (!scene.setting.grants.expn) return stay(scene.state, say(replies.notImplemented))
  return ask(scene, phase, 'EXPN', argument)
}

function ask({ setting, state }: Scene, back: Idle, verb: 'VRFY' | 'EXPN', argument: string): Step {
  if (argument === '') return stay(state, say(replies.nameMissing))
  const address = addressIn(setting, argument)
  if (address === null) return stay(state, say(replies.badRecipient))
  const asked: Inquiry = { verb, address }
  return move(state, { at: 'inquiry', back, asked }, { kind: 'resolve', n: ANY_NUMBER, address })
}

/** `user@domain`, with or without brackets; a user alone where the listener completes it. RFC 6531 section 3.7.4. */
function addressIn({ qualifyDomain }: Setting, argument: string): string | null {
  const utf8 = / SMTPUTF8$/i.test(argument)
  const text = utf8 ? argument.slice(0, argument.lastIndexOf(' ')).trimEnd() : argument
  const path = text.startsWith('<') ? text : `<${text}>`
  const parsed = parsePath(path, { utf8, unqualified: qualifyDomain !== '' })
  if (!parsed.ok) return null
  const { local, domain } = parsed.address
  if (local === '') return null
  return formatAddress(
    domain === '' && qualifyDomain !== '' ? { local, domain: qualifyDomain } : parsed.address,
  )
}

/** The resolver's answer; null: it could not be asked. */
export function answered(state: State, back: Idle, asked: Inquiry, answer: Answer<'resolve'> | null): Step {
  return move(state, back, say(replyTo(asked, answer)))
}

function replyTo({ verb, address }: Inquiry, answer: Answer<'resolve'> | null): SmtpReply {
  if (answer === null) return replies.resolverLost
  if (answer.kind !== 'found') return answer.reply
  if (answer.class === 'remote') return replies.cannotVerify
  const found = verb === 'EXPN' ? answer.targets.map((target) => target.address) : [address]
  return found.every((one) => /^[ -~]*$/.test(one)) ? mailboxes(found) : replies.cannotVerify
}

/** RFC 1985 section 5.1: a domain; with `@` the ones below it too. Queues by name (`#`) there are none. */
const NODE = /^(@?)(.+)$/

export function etrn({ setting, state }: Scene, phase: Idle, argument: string): Step {
  if (!setting.grants.etrn) return stay(state, say(replies.turnDenied))
  const [, mark = '', name = ''] = NODE.exec(argument) ?? []
  const domain = name === '' ? null : parseDomain(name)
  if (domain === null) return stay(state, say(replies.turnSyntax))
  const asked: Inquiry = { verb: 'ETRN', address: domain }
  return move(state, { at: 'inquiry', back: phase, asked }, { kind: 'turn', domain, below: mark !== '' })
}

/** How many recipients qmgr has hurried; null: it could not be asked. */
export function turned(state: State, back: Idle, recipients: number | null): Step {
  if (recipients === null) return move(state, back, say(replies.turnFailed))
  return move(state, back, say(recipients > 0 ? replies.turnBegun : replies.nothingWaits))
}
