/**
 * The arguments of MAIL and RCPT (RFC 5321 section 4.1.2): a path in angle brackets, then parameters.
 *
 * `splitArgument` finds where the path ends, quoted local parts considered; `readMailParameters` and
 * `readRcptParameters` take the rest apart. A parameter that is unknown is refused with 555 (section 4.1.1.11),
 * a malformed or repeated one with 501. The path itself is for `shared/smtp/address.ts`.
 * RCPTHDR, XTLS, XASIS and XNAME are ours: see `shared/README.md`.
 * What RFC 3461 has sent on unchanged (ENVID, ORCPT) is checked here and kept as it came.
 */
import type { TlsDemand } from '../../shared/message/envelope.ts'
import { parseNotify } from '../../shared/message/notify.ts'
import { measurePath } from '../../shared/smtp/address.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { decodeXtext, parseTypedAddress } from '../../shared/smtp/xtext.ts'
import { replies } from './replies.ts'
import {
  type DeliverBy,
  readDeliverBy,
  readHoldFor,
  readHoldUntil,
  readPriority,
} from './submission-parameters.ts'
import { VERDICT_LIMIT } from './verdict.ts'

export interface Argument {
  /** With its angle brackets. */
  path: string
  rest: string
}

/** `argument` is what follows the verb; null when it is not `KEYWORD:<…>`. Blanks before `<` are forgiven. */
export function splitArgument(argument: string, keyword: 'FROM' | 'TO'): Argument | null {
  const colon = keyword.length
  if (argument.charAt(colon) !== ':' || argument.slice(0, colon).toUpperCase() !== keyword) return null
  const text = argument.slice(colon + 1).trimStart()
  const end = measurePath(text)
  if (end < 0) return null
  const rest = text.slice(end)
  if (rest !== '' && rest.charAt(0) !== ' ') return null
  return { path: text.slice(0, end), rest }
}

/** RFC 6152, RFC 3030 section 3. */
export type Body = '7bit' | '8bitmime' | 'binarymime'

export interface MailParameters {
  /** RFC 1870: what the client says the message will have, or 0. */
  size: number
  body: Body
  /** RFC 6531. */
  smtputf8: boolean
  /** RFC 3461 sections 4.3 and 4.4. */
  ret?: 'full' | 'hdrs'
  envid?: string
  /** RFC 4954 section 5; nobody's word is taken for it, so every message counts as one of `<>`. */
  submitter?: string
  /** VERDICT, ours (shared/README.md): seconds to wait for the first attempt. */
  verdict?: number
  /** RFC 4865: the time of release, milliseconds since 1970. */
  holdUntil?: number
  deliverBy?: DeliverBy
  /** RFC 6710. */
  priority?: number
  /** RFC 8689. */
  requireTls?: boolean
  /** XTLS. */
  tlsDemand?: TlsDemand
  /** The header names recipients. */
  asksHeader?: boolean
  /** The header is to stay as it is. */
  asIs?: boolean
  /** The author's name. */
  authorName?: string
}

/** What EHLO offered, where not everybody is offered it; what was not is an unknown parameter. */
export interface MailOffers {
  /** RFC 4865: milliseconds that a message may be held, 0 for none. */
  longestHold: number
  /** RFC 2852, RFC 6710, and what is ours. */
  submission: boolean
  /** What is ours on the local socket. */
  local: boolean
  /** RFC 8689. */
  requireTls: boolean
}

const NO_MAIL_PARAMETERS: MailParameters = { size: 0, body: '7bit', smtputf8: false }
const KEYWORD = /^[A-Za-z0-9][A-Za-z0-9-]*$/
/** RFC 1870 section 3: at most 20 digits. */
const SIZE_VALUE = /^[0-9]{1,20}$/
/** RFC 3461 sections 4.4 and 4.2. */
const LONGEST_ENVID = 100
const LONGEST_ORCPT = 500
/** 1 to VERDICT_LIMIT seconds. */
const VERDICT_VALUE = /^[0-9]{1,3}$/
const LONGEST_NAME = 200

export function readMailParameters(
  rest: string,
  offers: MailOffers,
  now: number,
): MailParameters | SmtpReply {
  const given = split(rest)
  if ('code' in given) return given
  if (given.size === 0) return NO_MAIL_PARAMETERS
  const found: MailParameters = { ...NO_MAIL_PARAMETERS }
  for (const [keyword, value] of given) {
    const trouble = setMailParameter(found, keyword, value, { offers, now })
    if (trouble) return trouble
  }
  return found
}

function setMailParameter(
  found: MailParameters,
  keyword: string,
  value: string | null,
  { offers, now }: Asked,
): SmtpReply | null {
  switch (keyword) {
    case 'SIZE':
      if (value === null || !SIZE_VALUE.test(value)) return replies.parameterSyntax
      found.size = Number(value)
      return null
    case 'BODY': {
      const body = value?.toLowerCase()
      if (body !== '7bit' && body !== '8bitmime' && body !== 'binarymime') return replies.parameterSyntax
      found.body = body
      return null
    }
    case 'SMTPUTF8':
      if (value !== null) return replies.parameterSyntax
      found.smtputf8 = true
      return null
    case 'RET': {
      const ret = value?.toLowerCase()
      if (ret !== 'full' && ret !== 'hdrs') return replies.parameterSyntax
      found.ret = ret
      return null
    }
    case 'ENVID':
      if (value === null || value.length > LONGEST_ENVID || decodeXtext(value) === null)
        return replies.parameterSyntax
      found.envid = value
      return null
    case 'AUTH':
      if (value === null || decodeXtext(value) === null) return replies.parameterSyntax
      found.submitter = value
      return null
    case 'REQUIRETLS':
      if (!offers.requireTls) return replies.unknownParameter
      // RFC 8689 section 2: without a value
      if (value !== null) return replies.parameterSyntax
      found.requireTls = true
      return null
    default:
      return setSubmissionParameter(found, keyword, value ?? '', { offers, now })
  }
}

interface Asked {
  offers: MailOffers
  now: number
}

function setSubmissionParameter(
  found: MailParameters,
  keyword: string,
  value: string,
  { offers, now }: Asked,
): SmtpReply | null {
  switch (keyword) {
    case 'HOLDFOR':
    case 'HOLDUNTIL': {
      if (offers.longestHold === 0) return replies.unknownParameter
      if (found.holdUntil !== undefined) return replies.parameterTwice
      const until = keyword === 'HOLDFOR' ? readHoldFor(value, now) : readHoldUntil(value)
      if (until === null) return replies.parameterSyntax
      if (until > now + offers.longestHold) return replies.heldTooLong
      found.holdUntil = until
      return null
    }
    case 'BY': {
      if (!offers.submission) return replies.unknownParameter
      const deliverBy = readDeliverBy(value, now)
      if (!deliverBy) return replies.parameterSyntax
      found.deliverBy = deliverBy
      return null
    }
    case 'MT-PRIORITY': {
      if (!offers.submission) return replies.unknownParameter
      const priority = readPriority(value)
      if (priority === null) return replies.parameterSyntax
      found.priority = priority
      return null
    }
    default:
      return offers.submission ? setOwnParameter(found, keyword, value, offers) : replies.unknownParameter
  }
}

/** Ours, see `shared/README.md`. */
function setOwnParameter(
  found: MailParameters,
  keyword: string,
  value: string,
  { local }: MailOffers,
): SmtpReply | null {
  switch (keyword) {
    case 'VERDICT': {
      const seconds = VERDICT_VALUE.test(value) ? Number(value) : 0
      if (seconds < 1 || seconds > VERDICT_LIMIT) return replies.parameterSyntax
      found.verdict = seconds
      return null
    }
    case 'RCPTHDR':
      if (value !== '') return replies.parameterSyntax
      found.asksHeader = true
      return null
    case 'XTLS': {
      const demand = value.toLowerCase()
      if (demand !== 'none' && demand !== 'encrypted' && demand !== 'verified') return replies.parameterSyntax
      found.tlsDemand = demand
      return null
    }
    case 'XASIS':
      if (!local) return replies.unknownParameter
      if (value !== '') return replies.parameterSyntax
      found.asIs = true
      return null
    case 'XNAME': {
      if (!local) return replies.unknownParameter
      const name = parseTypedAddress(`utf-8;${value}`, false)?.address
      if (name === undefined || name.length > LONGEST_NAME) return replies.parameterSyntax
      found.authorName = name
      return null
    }
    default:
      return replies.unknownParameter
  }
}

/** RFC 3461 sections 4.1 and 4.2. */
export interface RcptParameters {
  notify?: string
  orcpt?: string
}

const NO_RCPT_PARAMETERS: RcptParameters = {}

/** @param utf8 MAIL had SMTPUTF8, so ORCPT may hold characters beyond ASCII (RFC 6533 section 3). */
export function readRcptParameters(rest: string, utf8: boolean): RcptParameters | SmtpReply {
  const given = split(rest)
  if ('code' in given) return given
  if (given.size === 0) return NO_RCPT_PARAMETERS
  const found: RcptParameters = {}
  for (const [keyword, value] of given) {
    const trouble = setRcptParameter(found, keyword, value ?? '', utf8)
    if (trouble) return trouble
  }
  return found
}

function setRcptParameter(
  found: RcptParameters,
  keyword: string,
  value: string,
  utf8: boolean,
): SmtpReply | null {
  switch (keyword) {
    case 'NOTIFY': {
      const notify = parseNotify(value)
      if (notify === null) return replies.parameterSyntax
      found.notify = notify
      return null
    }
    case 'ORCPT':
      if (value.length > LONGEST_ORCPT || parseTypedAddress(value, utf8) === null)
        return replies.parameterSyntax
      found.orcpt = value
      return null
    default:
      return replies.unknownParameter
  }
}

const NONE: ReadonlyMap<string, string | null> = new Map()

function split(rest: string): ReadonlyMap<string, string | null> | SmtpReply {
  if (rest === '') return NONE
  const found = new Map<string, string | null>()
  for (const word of rest.split(' ')) {
    if (word === '') continue
    const equals = word.indexOf('=')
    const keyword = (equals < 0 ? word : word.slice(0, equals)).toUpperCase()
    if (!KEYWORD.test(keyword) || equals === word.length - 1) return replies.parameterSyntax
    if (found.has(keyword)) return replies.parameterTwice
    found.set(keyword, equals < 0 ? null : word.slice(equals + 1))
  }
  return found
}
