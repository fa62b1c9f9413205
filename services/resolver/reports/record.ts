/**
 * What a DMARC record says about reports: whom they go to, and how large they may be (RFC 9990 section 4, RFC 9989
 * section 4.7), and whether somebody else has agreed to get them. Pure.
 *
 * Only `mailto:` is known. Limits: the first MOST_DESTINATIONS; what cannot be read is passed over.
 */
export interface Destination {
  address: string
  /** Octets; null: as large as it is. */
  most: number | null
}

const MOST_DESTINATIONS = 5
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }

export function tagsOf(record: string): ReadonlyMap<string, string> {
  const pairs = record.split(';').flatMap((part) => {
    const [, name, value] = /^\s*([a-z]+)\s*=\s*(.*?)\s*$/is.exec(part) ?? []
    return name === undefined ? [] : [[name.toLowerCase(), value ?? ''] as const]
  })
  return new Map(pairs)
}

export function destinationsOf(record: string): Destination[] {
  const uris = (tagsOf(record).get('rua') ?? '').split(',')
  return uris.flatMap((uri) => readUri(uri.trim()) ?? []).slice(0, MOST_DESTINATIONS)
}

function readUri(uri: string): Destination | null {
  const [, encoded = '', number, unit = ''] =
    /^mailto:([^!?\s]{3,300})(?:!(\d{1,9})([kmgt])?)?$/i.exec(uri) ?? []
  const address = decoded(encoded)
  if (address === null || !/^[^\s@<>"(),;:\\\p{Cc}]{1,64}@[a-z0-9.-]{1,253}$/iu.test(address)) return null
  const most = number === undefined ? null : Number(number) * (UNITS[unit.toLowerCase()] ?? 1)
  return { address, most }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase()
}

/** RFC 9990 section 4: where somebody outside says that reports about this domain are welcome. */
export function consentName(domain: string, destination: string): string {
  return `${domain}._report._dmarc.${destination}`
}

export function isConsent(text: string): boolean {
  return /^v\s*=\s*DMARC1\s*(?:;|$)/.test(text)
}
