/**
 * What the fates of the recipients come to: the exit code, and the lines that name who has not got the message. Pure.
 *
 * 75 is for a message that nobody has, since whoever tries again after it sends all of it again. When somebody has it
 * already, which LMTP alone can bring about (RFC 2033), those who were put off are named like those who were refused,
 * and the exit code says that it is not to be tried again as a whole.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { type ExitCode, exitCodeOf, exitCodes, replyLine } from './exit-code.ts'
import type { RefusedRecipient as Failure } from './verdict.ts'

export interface Verdict {
  exit: ExitCode
  /** For standard error; none when all went well. */
  lines: string[]
  /** Nothing was handed over and nothing refused: the whole may be tried again at once. */
  again: boolean
  /** More recipients than one transaction holds: nothing was sent yet. */
  batches?: { recipients: readonly string[]; most: number }
}

export const OTHERS_HAVE_IT = 'the others have the message: send it again to those named here only'

/** @param delivered how many have it for certain. */
export function judge(failures: readonly Failure[], delivered: number): Verdict {
  const { exit, putOff } = gravestOf(failures, delivered)
  const lines = failures.map(({ recipient, reply }) => `<${recipient}>: ${replyLine(reply)}`)
  return { exit, lines: putOff && delivered > 0 ? [...lines, OTHERS_HAVE_IT] : lines, again: false }
}

/** LMTP broke off behind the dot: who was answered has a fate, the rest is in doubt (RFC 1047), by name. */
export function judgeBroken(
  {
    failures,
    awaited,
    delivered,
  }: { failures: readonly Failure[]; awaited: readonly string[]; delivered: number },
  what: string,
  usual: ExitCode,
): Verdict {
  const known = judge(failures, delivered)
  const lines = [
    ...known.lines.filter((line) => line !== OTHERS_HAVE_IT),
    ...awaited.map((recipient) => `<${recipient}>: ${what}; it may have been accepted all the same`),
    ...(delivered > 0 ? [OTHERS_HAVE_IT] : []),
  ]
  if (delivered === 0) return { exit: usual, lines, again: false }
  return { exit: failures.length > 0 ? known.exit : exitCodes.unavailable, lines, again: false }
}

/** The first of the gravest kind decides: put off before refused while nobody has it, refused before put off after. */
function gravestOf(failures: readonly Failure[], delivered: number): { exit: ExitCode; putOff: boolean } {
  const later = failures.find(({ reply }) => reply.code < 500)
  const never = failures.find(({ reply }) => reply.code >= 500)
  const putOff = later !== undefined
  if (delivered === 0) {
    const gravest = later ?? never
    return { exit: gravest ? exitOfFailure(gravest.reply) : exitCodes.ok, putOff }
  }
  if (never) return { exit: exitOfFailure(never.reply), putOff }
  return { exit: putOff ? exitCodes.unavailable : exitCodes.ok, putOff }
}

/** A 2xx or 3xx where none belongs is no SMTP. */
export function exitOfFailure(reply: SmtpReply): ExitCode {
  const exit = exitCodeOf(reply)
  return exit === exitCodes.ok ? exitCodes.protocol : exit
}
