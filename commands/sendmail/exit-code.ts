/**
 * What sendmail leaves with: sysexits(3), by cause. Callers act on these: 75 means try all of it again later,
 * anything else but 0 means that trying again is of no use.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'

export const exitCodes = {
  ok: 0,
  /** The command line. */
  usage: 64,
  /** Syntax, size or content of the message. */
  data: 65,
  noUser: 67,
  noHost: 68,
  /** Refused for any other reason. */
  unavailable: 69,
  /** A bug of ours. */
  software: 70,
  /** The other side has no room for it, for good. */
  cannotCreate: 73,
  /** Standard input cannot be read. */
  io: 74,
  temporary: 75,
  /** The other side does not speak SMTP. */
  protocol: 76,
  policy: 77,
  /** The other side is set up wrongly, and says so. */
  config: 78,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** By enhanced code (RFC 3463), the longest prefix first. */
const byEnhanced: readonly (readonly [string, ExitCode])[] = [
  ['5.1.10', exitCodes.noHost], // RFC 7505 section 4: null MX
  ['5.1.1', exitCodes.noUser],
  ['5.1.2', exitCodes.noHost],
  ['5.1.3', exitCodes.data],
  ['5.1.6', exitCodes.noUser],
  ['5.1.7', exitCodes.data],
  ['5.2.2', exitCodes.cannotCreate],
  ['5.2.3', exitCodes.data],
  ['5.2.4', exitCodes.config],
  ['5.3.1', exitCodes.cannotCreate],
  ['5.3.4', exitCodes.data],
  ['5.3.5', exitCodes.config],
  ['5.4.4', exitCodes.noHost],
  ['5.4.6', exitCodes.config],
  ['5.5.', exitCodes.data],
  ['5.6.', exitCodes.data],
  ['5.7.', exitCodes.policy],
]
const byCode: Readonly<Record<number, ExitCode>> = {
  500: exitCodes.data,
  501: exitCodes.data,
  552: exitCodes.data,
  553: exitCodes.data,
  555: exitCodes.data,
}

export function exitCodeOf({ code, enhanced }: SmtpReply): ExitCode {
  if (code < 400) return exitCodes.ok
  if (code < 500) return exitCodes.temporary
  const known = byEnhanced.find(([prefix]) =>
    prefix.endsWith('.') ? enhanced.startsWith(prefix) : enhanced === prefix,
  )
  if (known) return known[1]
  return (enhanced === '' ? byCode[code] : undefined) ?? exitCodes.unavailable
}

/** `550 5.1.1 no such user`, in one line. */
export function replyLine({ code, enhanced, text }: SmtpReply): string {
  const words = text.replace(/\s+/g, ' ').trim()
  return [String(code), enhanced, words].filter((part) => part !== '').join(' ')
}
