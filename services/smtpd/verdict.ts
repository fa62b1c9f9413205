/**
 * VERDICT, an extension of ours for those who submit mail (shared/README.md says what goes over the wire): the reply
 * to the final dot waits for the first attempt and names each recipient's fate. Made of cut-through, so a zone that
 * wants none has none here either; then, and where a report of success was asked for or a queue is short of memory,
 * the message is accepted as any other and no fate is named.
 *
 * Pure. Lines of the reply: `<address> sent|later|never|waiting: code enhanced text`.
 */
import type { RecipientFate } from '../../shared/message/outcome.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { Transaction } from './state.ts'

/** Seconds; below the time that qmgr has for its answer. */
export const VERDICT_LIMIT = 240
/** What a reply has room for: a client should read 64 KiB. */
const MOST_NAMED = 100
const LONGEST_WORDS = 120

/** How long the client waits for deliveries, and whether it hears of each. */
export function waitFor({ cutThrough, verdict, recipients, stands }: Transaction): {
  cutThrough: number
  verdict: boolean
} {
  // LMTP has a reply for each
  if (!verdict || stands) return { cutThrough, verdict }
  return recipients.length > MOST_NAMED ? { cutThrough: 0, verdict: false } : { cutThrough, verdict }
}

export function withFates(reply: SmtpReply, fates: readonly RecipientFate[]): SmtpReply {
  return { ...reply, text: [reply.text.replace(/\s*\n\s*/g, ' '), ...fates.map(fateLine)].join('\n') }
}

function fateLine({ address, outcome }: RecipientFate): string {
  if (!outcome) return `<${address}> waiting`
  const { code, enhanced, text } = outcome.reply
  const words = [String(code), enhanced, text.replace(/\s+/g, ' ').slice(0, LONGEST_WORDS)]
  return `<${address}> ${outcome.kind}: ${words.filter((word) => word !== '').join(' ')}`
}
