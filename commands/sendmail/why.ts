/**
 * --why: what the server is asked about a message that is not sent (XWHY, `shared/README.md`), and what its answers
 * mean. Pure. What is refused is in the answer like all else; the exit code is what sending would have left with.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { addressedBy, failedIn, type HeaderSource } from './addressed.ts'
import { replyLine } from './exit-code.ts'

export interface Plan {
  sender: string
  /** Whom From names; none where no message was looked at. */
  authors: readonly string[]
  recipients: readonly string[]
  header: HeaderSource | null
}

export interface Question {
  /** For the line above its answer. */
  about: string
  command: string
}

export function questionsOf(plan: Plan, offers: ReadonlyMap<string, string>): Question[] {
  const { sender, authors } = plan
  // as with the null sender: our own parser decides, with what the listener takes away
  const { recipients } = addressedBy({ ...plan, sender: '', size: null, notify: null }, offers)
  const ask = (about: string, keyword: string, address: string) => ({
    about: `${about} <${address}>`,
    command: `XWHY ${keyword}:<${address}>`,
  })
  return [
    { about: 'here', command: 'XWHY' },
    ask('reverse-path', 'FROM', sender),
    ...authors.map((author) => ask('From', 'AUTHOR', author)),
    ...recipients.map((recipient) => {
      const { about, command } = ask('recipient', 'TO', recipient)
      return { about, command: `${command} FROM:<${sender}>` }
    }),
  ]
}

export interface Explained {
  lines: string[]
  /** Why sending would fail. */
  failure: SmtpReply | null
}

export function explained({ about }: Question, reply: SmtpReply): Explained {
  if (reply.code !== 250) return { lines: [`${about}`, `  ${replyLine(reply)}`], failure: reply }
  const lines = reply.text.split('\n').map((line) => `  ${line.trim()}`)
  // put off is put off here, whatever the reply's own code is
  const [failed] = failedIn({ ...reply, code: 450 })
  return { lines: [about, ...lines], failure: failed?.reply ?? null }
}
