/**
 * The addresses a client names, made whole, and what the config says of this client as a sender. Pure.
 */
import { formatAddress, parsePath } from '../../shared/smtp/address.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { replies } from './replies.ts'
import type { Setting } from './state.ts'

/** The bare address, or why it is none. */
export function readAddress(
  setting: Setting,
  path: string,
  utf8: boolean,
  isSender: boolean,
): string | SmtpReply {
  const { qualifyDomain } = setting
  const parsed = parsePath(path, { allowNull: isSender, utf8, unqualified: qualifyDomain !== '' })
  if (!parsed.ok) {
    // RFC 6531 section 3.5
    if (parsed.problem === 'needs-utf8') return replies.utf8NotAsked
    return isSender ? replies.badSender : replies.badRecipient
  }
  const { local, domain } = parsed.address
  if (domain !== '' || local === '') return formatAddress(parsed.address)
  // RFC 6409 section 8.1: a submitted address without a domain gets ours
  if (qualifyDomain !== '') return formatAddress({ local, domain: qualifyDomain })
  // RFC 5321 section 4.5.1: only a recipient may be <postmaster> alone
  return isSender ? replies.badSender : local
}

/** What the config says of this client and of the sender it names. */
export function whyDenied({ rights, judge }: Setting, sender: string): SmtpReply | null {
  if (rights.mail === 'later') return replies.callerLost
  if (rights.mail === 'no') return replies.callerDenied
  return judge.mayMail(sender) ? null : replies.senderDenied
}
