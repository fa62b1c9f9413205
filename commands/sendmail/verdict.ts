/**
 * VERDICT, our extension that tells what the first attempt made of each recipient (`shared/README.md`), as -odi uses
 * it: how long to ask for, and what the lines of the reply say. Pure. Lines of any other shape are not for us.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'

export interface RefusedRecipient {
  recipient: string
  reply: SmtpReply
}

/** Seconds that -odi waits where nothing else is asked for. */
const USUAL = 120

/** @param offered what EHLO says, @param patience --timeout: the answer should come before that; null: not worth it. */
export function secondsToAsk(offered: string, patience: number | null): number | null {
  const most = /^\d{1,5}$/.test(offered) ? Number(offered) : 0
  const seconds = Math.min(USUAL, most, patience === null ? USUAL : Math.floor(patience / 2))
  return seconds >= 1 ? seconds : null
}

const NEVER = /^<(.+)> never: (\d{3})(?: (5\.\d{1,3}\.\d{1,3}))?(?: (.*))?$/

/** Those that are refused for good; who is sent, or waits in the queue, needs nothing of the caller. */
export function refusedIn({ text }: SmtpReply): RefusedRecipient[] {
  return text.split('\n').flatMap((line) => {
    const [, recipient, code, enhanced = '', words = ''] = NEVER.exec(line.trim()) ?? []
    if (recipient === undefined) return []
    return [{ recipient, reply: { code: Number(code), enhanced, text: words } }]
  })
}
