/**
 * -t: who gets the message, and who finds that out. A server that offers RCPTHDR (`shared/README.md`) reads the header
 * itself and is given it with its Bcc; any other is told by RCPT of those that our own parser has found, and Bcc goes.
 * Pure.
 *
 * The null reverse-path would be made into another by RCPTHDR, and NOTIFY belongs to a RCPT: with these our own parser
 * decides everywhere. `RCPTHDR REMOVE` in the answer to EHLO means that those on the command line get nothing (the
 * listener's `t-arguments remove`); it holds for both ways.
 */
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import type { RefusedRecipient } from './verdict.ts'

/** What -t knows. */
export interface HeaderSource {
  /** On the command line. */
  given: readonly string[]
  named: readonly string[]
  /** Octets of the message with its Bcc; null when the end is not known yet. */
  size: number | null
}

export interface Addressed {
  /** Those that RCPT tells of. */
  recipients: readonly string[]
  /** RCPTHDR: the server reads the header, and is given all of it. */
  byHeader: boolean
  /** Those of the header, as far as we can tell; only where the server reads it. */
  named: readonly string[]
  size: number | null
}

interface Asked {
  sender: string
  recipients: readonly string[]
  size: number | null
  notify: string | null
  header: HeaderSource | null
}

export function addressedBy(
  { sender, recipients, size, notify, header }: Asked,
  offers: ReadonlyMap<string, string>,
): Addressed {
  const ours = { byHeader: false, named: [], size }
  const offered = offers.get('RCPTHDR')
  if (!header || offered === undefined) return { ...ours, recipients }
  const { given, named } = header
  if (sender !== '' && !(notify && offers.has('DSN')))
    return { recipients: given, byHeader: true, named, size: header.size }
  if (offered.toUpperCase() !== 'REMOVE') return { ...ours, recipients }
  const away = new Set(given.map(folded))
  return { ...ours, recipients: named.filter((address) => !away.has(folded(address))) }
}

/** RFC 5321 section 2.4: the domain alone has no case. */
function folded(address: string): string {
  const at = address.lastIndexOf('@') + 1
  return address.slice(0, at) + address.slice(at).toLowerCase()
}

const FATE = /^<(.+)> (refused|later): (\d{3})(?: ([245]\.\d{1,3}\.\d{1,3}))?(?: (.*))?$/
const MORE = /^and \d+ more$/

/**
 * Those that the reply to the final dot names as refused; those that are put off only where the whole is, since
 * VERDICT has the same word for what waits in the queue.
 */
export function failedIn({ code, text }: SmtpReply): RefusedRecipient[] {
  const putOff = code >= 400 && code < 500
  return text.split('\n').flatMap((line) => {
    const [, recipient, word, digits, enhanced = '', words = ''] = FATE.exec(line.trim()) ?? []
    if (recipient === undefined || (word === 'later' && !putOff)) return []
    return [{ recipient, reply: { code: Number(digits), enhanced, text: words } }]
  })
}

/** Where the reply had no room for all that were refused. */
export function moreOf({ text }: SmtpReply): string[] {
  const lines = text.split('\n')
  const last = lines.at(-1)?.trim() ?? ''
  return MORE.test(last) && !lines.some((line) => /> taken: /.test(line)) ? [last] : []
}
