/**
 * XCLIENT and XFORWARD, as Postfix has them (XCLIENT_README, XFORWARD_README): a host that the listener trusts says
 * for whom it speaks. Pure.
 *
 * XCLIENT makes the session another client's: rights, limits, the log and Received go by what it says, and the session
 * begins anew with a greeting. XFORWARD changes no right: what it says stands in the log of the next transaction.
 */
import { isIPv4, isIPv6 } from 'node:net'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { decodeXtext } from '../../shared/smtp/xtext.ts'
import { enter } from './auth.ts'
import { replies } from './replies.ts'
import type { Assumed, Phase, Setting, State, Step } from './state.ts'
import { move, say, stay } from './step.ts'

export const XCLIENT_NAMES = [
  'NAME',
  'ADDR',
  'PORT',
  'PROTO',
  'HELO',
  'LOGIN',
  'DESTADDR',
  'DESTPORT',
] as const
export const XFORWARD_NAMES = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'IDENT', 'SOURCE'] as const

const LONGEST_VALUE = 255
/** Said of what is not known. */
const UNAVAILABLE: ReadonlySet<string> = new Set(['[UNAVAILABLE]', '[TEMPUNAVAIL]'])

type Attributes<N extends string> = Partial<Record<N, string>>

/** Attributes that are given and known; null when anything is malformed. */
export function readAttributes<N extends string>(
  argument: string,
  names: readonly N[],
): Attributes<N> | null {
  const found: Attributes<N> = {}
  const words = argument.split(' ').filter((word) => word !== '')
  if (words.length === 0) return null
  for (const word of words) {
    const equals = word.indexOf('=')
    const name = names.find((one) => one === word.slice(0, Math.max(equals, 0)).toUpperCase())
    const value = decodeXtext(word.slice(equals + 1))
    if (!name || value === null || value.length > LONGEST_VALUE || !isFit(name, value)) return null
    if (!UNAVAILABLE.has(value.toUpperCase())) found[name] = value
  }
  return found
}

const PORT = /^\d{1,5}$/
/** What may stand in Received and in the log. */
const NAME = /^[A-Za-z0-9_.:[\]-]+$/

function isFit(name: string, value: string): boolean {
  if (UNAVAILABLE.has(value.toUpperCase())) return true
  switch (name) {
    case 'ADDR':
    case 'DESTADDR':
      return addressOf(value) !== null
    case 'PORT':
    case 'DESTPORT':
      return PORT.test(value) && Number(value) <= 65_535
    case 'PROTO':
      return /^(?:E?SMTP|LMTP)$/i.test(value)
    case 'NAME':
    case 'HELO':
      return NAME.test(value)
    case 'SOURCE':
      return /^(?:LOCAL|REMOTE)$/i.test(value)
    default:
      return true
  }
}

/** `192.0.2.1`, `IPV6:2001:db8::1`. */
function addressOf(value: string): string | null {
  if (isIPv4(value)) return value
  const six = value.replace(/^IPV6:/i, '')
  return isIPv6(six) ? new URL(`http://[${six}]/`).hostname.slice(1, -1) : null
}

interface Scene {
  setting: Setting
  state: State
}

export function xclient({ setting, state }: Scene, _: Phase, argument: string): Step {
  if (!setting.assume) return stay(state, say(replies.notTrusted))
  const given = readAttributes(argument, XCLIENT_NAMES)
  if (!given) return stay(state, say(replies.attributeSyntax))
  const asked: Assumed = {
    ...(given.ADDR && { client: addressOf(given.ADDR) ?? given.ADDR }),
    ...(given.NAME && { name: given.NAME }),
    ...(given.HELO && { helo: given.HELO }),
  }
  const { setting: next, allowed } = setting.assume(asked)
  const login = given.LOGIN ? enter(next, given.LOGIN) : null
  const anew: State = { ...state, login, standing: null, brakedUntil: 0, forwarded: null }
  return move(anew, { at: 'connect' }, { kind: 'assume', setting: next, allowed, told: given })
}

export function xforward({ setting, state }: Scene, _: Phase, argument: string): Step {
  if (!setting.grants.xforward) return stay(state, say(replies.notTrusted))
  const given = readAttributes(argument, XFORWARD_NAMES)
  const reply: SmtpReply = given ? replies.ok : replies.attributeSyntax
  return stay(given ? { ...state, forwarded: { ...state.forwarded, ...given } } : state, say(reply))
}
