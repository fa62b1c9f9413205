/**
 * What the resolver says of recipients, by name. The replies travel to the client (through smtpd) or into a
 * report (through qmgr), so none shows more of our insides than the sender needs; the log has the rest.
 *
 * Never (5xx) only where the recipient or its domain is at fault, or an alias asks for what cannot be done;
 * trouble of ours or of DNS is later (4xx).
 */
import type { Reply } from '../../shared/message/outcome.ts'
import { defineReply } from '../../shared/smtp/reply.ts'
import type { Failure } from './expansion.ts'

export type Refusal = { kind: 'refused'; reply: Reply } | { kind: 'later'; reply: Reply }

export const replies = {
  notAnAddress: defineReply(553, '5.1.3', 'That is not an address'),
  unknownUser: defineReply(550, '5.1.1', 'No such user here'),
  noZone: defineReply(550, '5.7.1', 'Mail for this domain is not accepted here'),
  noZoneNow: defineReply(451, '4.3.5', 'No zone takes mail for this domain at present'),
  aliasLoop: defineReply(550, '5.4.6', 'The aliases of this address form a loop'),
  aliasTooDeep: defineReply(550, '5.4.6', 'The aliases of this address are too deeply nested'),
  aliasUnsupported: defineReply(550, '5.3.3', 'This address stands for something that takes no mail here'),
  aliasTooMany: defineReply(451, '4.3.5', 'This address stands for too many others'),
  mapsUnreadable: defineReply(451, '4.3.5', 'Local configuration error, try again later'),
  mailboxNotOurs: defineReply(450, '4.2.1', 'This mailbox cannot be delivered to at present'),

  // RFC 3463 section 3.2: bad destination system address
  noSuchDomain: defineReply(550, '5.1.2', 'The domain does not exist'),
  noMailHost: defineReply(550, '5.1.2', 'The domain has neither mail exchanger nor address'),
  // RFC 7505 section 3
  nullMx: defineReply(556, '5.1.10', 'The domain says that it takes no mail'),
  deadMx: defineReply(550, '5.4.4', 'No mail exchanger of the domain has an address'),
  mxLoop: defineReply(550, '5.4.6', 'The mail exchangers of the domain lead back to here'),
  dnsTrouble: defineReply(451, '4.4.3', 'The domain cannot be looked up now'),
  relayHostTrouble: defineReply(451, '4.4.4', 'No next hop of this domain can be found now'),
} as const

export type ReplyName = keyof typeof replies

export function refusal(name: ReplyName): Refusal {
  return refusalOf({ ...replies[name], host: '' })
}

export function refusalOf(reply: Reply): Refusal {
  return reply.code >= 500 ? { kind: 'refused', reply } : { kind: 'later', reply }
}

/** @param queued the message is ours already: a zone that has gone from the config is our trouble now. */
export function replyTo(failure: Failure, queued: boolean): ReplyName {
  switch (failure.kind) {
    case 'unknown':
      return 'unknownUser'
    case 'no-zone':
      return queued ? 'noZoneNow' : 'noZone'
    case 'unreadable':
    case 'faulty-alias':
      return 'mapsUnreadable'
    case 'loop':
      return 'aliasLoop'
    case 'too-deep':
      return 'aliasTooDeep'
    case 'unsupported':
      return 'aliasUnsupported'
    default: {
      const never: never = failure
      throw new Error(`unknown failure ${String(never)}`)
    }
  }
}
