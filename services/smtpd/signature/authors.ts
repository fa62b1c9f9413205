/**
 * The domains that a From field speaks for (RFC 5322 section 3.6.2): pure.
 *
 * Not a parser of addresses, on purpose: whatever follows an `@` outside of quoted strings and comments counts,
 * wherever it stands, so that no reader of mail can see an author whose domain was not asked for. A field that
 * leaves a quotation open, or has something behind an `@` that is no domain, is null.
 */
import { parseDomain } from '../../../shared/smtp/address.ts'
import { withoutQuotes } from '../unquoted.ts'

const DOMAIN = /@[ \t]*(\[[^\]]*\]|[^\s<>()[\]@,;:"]*)/g

/** @param value unfolded, latin1. */
export function authorDomains(value: string): string[] | null {
  const plain = withoutQuotes(Buffer.from(value, 'latin1').toString('utf8'))
  if (plain === null) return null
  const domains = [...plain.matchAll(DOMAIN)].map(([, text = '']) => parseDomain(text))
  return domains.includes(null) || domains.length === 0 ? null : [...new Set(domains as string[])]
}
