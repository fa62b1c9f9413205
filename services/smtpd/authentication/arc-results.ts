/**
 * Reads one thing out of an ARC-Authentication-Results field (RFC 8617 section 4.1.1, RFC 8601 section 2.2): whether it
 * says that DMARC has passed for this author. Pure.
 *
 * What stands in quotation marks or comments came from a stranger as like as not (a local part, an explanation), so
 * nothing in there counts. A field that leaves one of them open says nothing.
 */
import { withoutQuotes } from '../unquoted.ts'

export function passesDmarc(value: string, from: string): boolean {
  // what was said around a quoted string is not one word
  const plain = withoutQuotes(value, '?')
  if (plain === null) return false
  const tight = plain.replace(/[ \t]*=[ \t]*/g, '=')
  return tight.split(';').some((part) => {
    const [method = '', ...properties] = part.trim().toLowerCase().split(/\s+/)
    return method === 'dmarc=pass' && properties.includes(`header.from=${from}`)
  })
}
