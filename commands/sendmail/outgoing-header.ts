/**
 * The header as sendmail hands it on: rid of Bcc unless the server asks the header for recipients (RCPTHDR), and with the From
 * that -F makes where there is none. Text is latin1; see `shared/message/header.ts`.
 */
import type { Field } from '../../shared/message/header.ts'
import { renderPhrase } from '../../shared/message/phrase.ts'

export interface Author {
  fullName: string
  /** The reverse-path, or the caller's name where that is null. */
  address: string
}

/** With the blank line. @param author null: no From is made. @param whole with Bcc, for a server that looks for recipients there and takes it out. */
export function renderHeader(fields: readonly Field[], author: Author | null, whole = false): string {
  const kept = whole ? fields : fields.filter(({ name }) => name !== 'bcc' && name !== 'resent-bcc')
  const from = author ? renderFrom(author) : ''
  return `${from}${kept.map(({ raw }) => raw).join('')}\r\n`
}

function renderFrom({ fullName, address }: Author): string {
  const line = `From: ${renderPhrase(fullName)} <${address}>\r\n`
  return Buffer.from(line, 'utf8').toString('latin1')
}
