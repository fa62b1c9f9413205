/**
 * What rspamd is told beside the message, as fields of the request (its protocol documentation has them). Pure.
 * Octets beyond ASCII go as they are; control characters, which no field may have, as `?`.
 */
import { confirmedName, type MessageFacts } from './change.ts'

export function renderFacts(
  facts: MessageFacts,
  recipients: readonly string[],
): Record<string, string | string[]> {
  const { hostname, listener, client, named, helo, user, tls, id, sender } = facts
  const optional = {
    Hostname: confirmedName(named) ?? (client === '' ? 'localhost' : undefined),
    User: user,
    'TLS-Version': tls?.version,
    'TLS-Cipher': tls?.cipher,
  }
  const known = Object.entries(optional).flatMap(([field, value]) =>
    value === undefined ? [] : [[field, plain(value)]],
  )
  return {
    'Transfer-Encoding': 'chunked',
    IP: client === '' ? '127.0.0.1' : client,
    Helo: plain(helo),
    From: plain(sender),
    Rcpt: recipients.map(plain),
    'Queue-Id': id,
    'MTA-Name': hostname,
    'MTA-Tag': listener,
    ...Object.fromEntries(known),
  }
}

function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return Buffer.from(text.replace(/[\x00-\x1f\x7f]/g, '?')).toString('latin1')
}
