/**
 * The header of one MIME entity, as far as it says how its body is encoded (RFC 2045), and that header with another
 * encoding. Pure. Fields are found by name, unfolded, comments left out of account as senders do not write them here.
 */

/** opaque: what may not be encoded (RFC 2046 section 5.2), and a multipart that does not say where its parts are. */
export type Kind = 'leaf' | 'text' | 'multipart' | 'signed' | 'message' | 'opaque'

export interface Entity {
  kind: Kind
  /** Of a multipart; null where it has none. */
  boundary: string | null
  /** Parts of multipart/digest are messages unless they say otherwise (RFC 2046 section 5.1.5). */
  digest: boolean
  /** In lower case; '' where nothing is said. */
  encoding: string
}

const FIELD = /^([!-9;-~]+)[ \t]*:((?:.*\r?\n)(?:[ \t].*\r?\n)*)/gm

interface Field {
  name: string
  value: string
}

const ENCODING = 'content-transfer-encoding'

function fieldsOf(header: string): Field[] {
  return [...header.matchAll(FIELD)].map(([, name = '', value = '']) => ({
    name: name.toLowerCase(),
    value: value.replace(/\r?\n(?=[ \t])/g, '').trim(),
  }))
}

/** @param header with its line ends, without the empty line; latin1. */
export function readEntity(header: string, inDigest: boolean): Entity {
  const fields = fieldsOf(header)
  const find = (name: string) => fields.find((field) => field.name === name)?.value ?? ''
  const type = find('content-type')
  const encoding = (find(ENCODING).split(/[\s;(]/, 1)[0] ?? '').toLowerCase()
  const name = (type.split(';', 1)[0] ?? '').trim().toLowerCase()
  const boundary = name.startsWith('multipart/') ? boundaryOf(type) : null
  return { kind: kindOf(name, boundary, inDigest), boundary, digest: name === 'multipart/digest', encoding }
}

function kindOf(name: string, boundary: string | null, inDigest: boolean): Kind {
  if (name === 'multipart/signed') return 'signed'
  if (boundary !== null) return 'multipart'
  if (name === 'message/rfc822' || (name === '' && inDigest)) return 'message'
  if (/^(multipart|message)\//.test(name)) return 'opaque'
  return name === '' || name.startsWith('text/') ? 'text' : 'leaf'
}

function boundaryOf(type: string): string | null {
  const [, quoted, bare] = /;\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;()"]+))/i.exec(type) ?? []
  const text = quoted?.replace(/\\(.)/g, '$1') ?? bare ?? ''
  return text.length > 0 && text.length <= 200 ? text : null
}

/** The header with this encoding instead of what it said. A message gets what makes it one of MIME. */
export function encodedAs(header: string, encoding: string, isMessage: boolean): string {
  const fields = fieldsOf(header)
  const without = header.replace(FIELD, (whole, name) => (name.toLowerCase() === ENCODING ? '' : whole))
  const has = (name: string) => fields.some((field) => field.name === name)
  const added = [`Content-Transfer-Encoding: ${encoding}`]
  if (isMessage && !has('mime-version')) added.unshift('MIME-Version: 1.0')
  // RFC 1428 section 3: nobody knows what these octets are
  if (isMessage && !has('content-type')) added.push('Content-Type: text/plain; charset=unknown-8bit')
  return `${without}${added.map((line) => `${line}\r\n`).join('')}`
}
