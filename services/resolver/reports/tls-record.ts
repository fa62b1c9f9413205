/**
 * What `_smtp._tls` says about reports (RFC 8460 section 3): that there are to be some, and whom they go to. Pure.
 *
 * `mailto:` and `https:` are known, the latter at port 443 and by name. Limits: the first MOST_DESTINATIONS of each;
 * what cannot be read is passed over.
 */
import { isIP } from 'node:net'
import { destinationsOf, tagsOf } from './record.ts'

export interface TlsDestinations {
  mail: string[]
  /** Addresses to post to. */
  web: string[]
}

const MOST_DESTINATIONS = 5
const LONGEST_RECORD = 1024
const LONGEST_URL = 500

/** Null: the domain wants none; other records at the name do not matter, but two of this kind are none. */
export function tlsRecordIn(texts: readonly string[]): string | null {
  const [record, ...others] = texts.filter((text) => /^v=TLSRPTv1\s*;/.test(text))
  if (record === undefined || others.length > 0) return null
  const { mail, web } = tlsDestinationsOf(record)
  return mail.length + web.length > 0 && record.length <= LONGEST_RECORD ? record : null
}

export function tlsDestinationsOf(record: string): TlsDestinations {
  const uris = (tagsOf(record).get('rua') ?? '').split(',').map((uri) => uri.trim())
  return {
    // a limit on the size is a thing of DMARC: here `!` has to be encoded, so none can be meant
    mail: destinationsOf(record).flatMap(({ address, most }) => (most === null ? [address] : [])),
    web: uris.flatMap((uri) => readUrl(uri) ?? []).slice(0, MOST_DESTINATIONS),
  }
}

function readUrl(uri: string): string | null {
  if (!/^https:\/\//i.test(uri) || uri.length > LONGEST_URL || !URL.canParse(uri)) return null
  const { hostname, password, port, username, href } = new URL(uri)
  const isOdd = port !== '' || username !== '' || password !== ''
  return isOdd || hostname.startsWith('[') || isIP(hostname) !== 0 ? null : href
}
