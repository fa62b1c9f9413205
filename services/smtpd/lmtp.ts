/**
 * What LMTP does differently (RFC 2033 section 4.2): after the end of the content there is a reply for each RCPT that
 * was accepted, in order. Pure.
 *
 * Where the message was queued they are all the same. Where it was delivered while the client waited each has its own
 * fate: a RCPT that stands for several has failed when one of them has, because nobody else tells of that.
 */
import type { RecipientFate } from '../../shared/message/outcome.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { replies } from './replies.ts'
import type { Transaction } from './state.ts'
import { distinct } from './transaction.ts'

/** The same for all; one reply where this is not LMTP. */
export function forEach({ stands }: Transaction, reply: SmtpReply): SmtpReply[] {
  return stands ? stands.map(() => reply) : [reply]
}

/** @param reply what qmgr says of the message, and so of everybody who has no fate yet. */
export function eachFate(
  transaction: Transaction,
  reply: SmtpReply,
  fates: readonly RecipientFate[] | undefined,
): SmtpReply[] {
  if (!fates) return forEach(transaction, reply)
  const byAddress = new Map(distinct(transaction.recipients).map(({ address }, n) => [address, fates[n]]))
  return (transaction.stands ?? []).map((addresses) =>
    addresses.map((address) => ofOne(byAddress.get(address), reply)).reduce(worse, SENT),
  )
}

const SENT: SmtpReply = replies.delivered

function ofOne(fate: RecipientFate | undefined, reply: SmtpReply): SmtpReply {
  const outcome = fate?.outcome
  if (outcome?.kind === 'sent') return SENT
  return outcome?.kind === 'never' ? outcome.reply : reply
}

function worse(one: SmtpReply, other: SmtpReply): SmtpReply {
  return other.code > one.code || one === SENT ? other : one
}
