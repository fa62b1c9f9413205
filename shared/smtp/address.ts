/**
 * Addresses as SMTP writes them: the path and mailbox grammar of RFC 5321 section 4.1.2 with the widening of
 * RFC 6531 section 3.3. Pure, linear in the text, never throws.
 *
 * `parsePath` takes a whole path with its angle brackets, `measurePath` finds where one ends in a command line,
 * `parseMailbox` takes a bare mailbox, `formatAddress` writes an address as envelopes keep it (no brackets).
 * The text is decoded UTF-8; U+FFFD in it stands for octets that were none and is refused.
 *
 * What comes out is normal: the local part is the value, without quotes that mean nothing (`"a"@x` and `a@x` are
 * one mailbox) and with its case kept; the domain is in A-labels and lower case, an address literal in its
 * shortest form. The null path is `{ local: '', domain: '' }`; `<postmaster>` needs no domain (section 4.5.1) and
 * comes as `{ local: 'postmaster', domain: '' }`, so whoever takes a reverse-path looks for an empty domain.
 *
 * Limits of RFC 5321 section 4.5.3.1: local part 64 octets, domain 255, path 256. Underscores in domains are
 * taken, because hosts have them; a last label of digits only is not, because it is an address without brackets.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII } from 'node:url'

export interface Address {
  readonly local: string
  readonly domain: string
}

export type AddressProblem =
  | 'syntax'
  | 'local-part'
  | 'domain'
  | 'unqualified'
  | 'too-long'
  /** It would be an address with SMTPUTF8. */
  | 'needs-utf8'

export type ParsedAddress = { ok: true; address: Address } | { ok: false; problem: AddressProblem }

export interface MailboxOptions {
  /** RFC 6531: characters beyond ASCII, in the local part and in the domain. */
  utf8?: boolean
  /** A local part without a domain is an address (submission, where the server completes it). */
  unqualified?: boolean
}

export interface PathOptions extends MailboxOptions {
  /** `<>` is an address. */
  allowNull?: boolean
}

const LONGEST_LOCAL = 64
const LONGEST_DOMAIN = 255
const LONGEST_LABEL = 63
const LONGEST_PATH = 256

// RFC 5321 section 4.1.2, RFC 6531 section 3.3: no controls, C1 included, no surrogate halves, no U+FFFD
const BEYOND_ASCII = '\\u{a0}-\\u{d7ff}\\u{e000}-\\u{fffc}\\u{10000}-\\u{10ffff}'
const ATOM = `[A-Za-z0-9!#$%&'*+\\-/=?^_\`{|}~${BEYOND_ASCII}]+`
const DOT_STRING = new RegExp(`${ATOM}(?:\\.${ATOM})*`, 'uy')
const QUOTED_STRING = new RegExp(`"((?:[ !#-[\\]-~${BEYOND_ASCII}]|\\\\[ -~])*)"`, 'uy')
const WHOLE_DOT_STRING = new RegExp(`^${DOT_STRING.source}$`, 'u')
const LABELS = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/
const NOT_ASCII = /[^\x20-\x7e]/
const PLAIN = /^[A-Za-z0-9._%+=-]+$/

/** @param text the path whole, from `<` to `>`. */
export function parsePath(text: string, options: PathOptions = {}): ParsedAddress {
  if (!text.startsWith('<') || !text.endsWith('>') || text.length < 2) return bad('syntax')
  const inside = text.slice(1, -1)
  if (inside === '') return options.allowNull ? good('', '') : bad('syntax')
  if (!inside.startsWith('@')) return parseMailbox(inside, options)
  const mailbox = afterSourceRoute(inside)
  return mailbox === null ? bad('syntax') : parseMailbox(mailbox, options)
}

export function parseMailbox(text: string, options: MailboxOptions = {}): ParsedAddress {
  const local = takeLocal(text)
  if (!local) return bad(text === '' || text.startsWith('@') ? 'syntax' : 'local-part')
  const rest = text.slice(local.length)
  if (rest === '') return withoutDomain(local.value, options)
  if (!rest.startsWith('@')) return bad('syntax')
  if (!options.utf8 && NOT_ASCII.test(text)) return bad('needs-utf8')
  const domain = parseDomain(rest.slice(1))
  if (domain === null) return bad('domain')
  return bounded(local.value, domain)
}

/** The number of characters that a path at the begin of `text` takes, quotes respected; -1 when none ends. */
export function measurePath(text: string): number {
  if (!text.startsWith('<')) return -1
  let quoted = false
  for (let at = 1; at < text.length; at++) {
    const character = text[at]
    if (character === '"') quoted = !quoted
    else if (quoted && character === '\\') at++
    else if (character === '>' && !quoted) return at + 1
  }
  return -1
}

/** `local@domain`; quotes come back where the local part needs them. The null path gives ''. */
export function formatAddress({ local, domain }: Address): string {
  if (local === '' && domain === '') return ''
  const text = formatLocal(local)
  return domain === '' ? text : `${text}@${domain}`
}

export function formatLocal(local: string): string {
  if (PLAIN.test(local) && !local.includes('..') && !local.startsWith('.') && !local.endsWith('.'))
    return local
  return WHOLE_DOT_STRING.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`
}

/** A domain or address literal in normal form, or null when it is neither. */
export function parseDomain(text: string): string | null {
  if (text.startsWith('[')) return parseLiteral(text)
  if (text.length > LONGEST_DOMAIN) return null
  const ascii = NOT_ASCII.test(text) ? domainToASCII(text) : text
  const name = ascii.toLowerCase()
  if (name.length > LONGEST_DOMAIN || !LABELS.test(name)) return null
  const labels = name.split('.')
  if (/^\d+$/.test(labels[labels.length - 1] ?? '')) return null
  return labels.every((label) => label.length <= LONGEST_LABEL) ? name : null
}

/** The address inside an address literal in normal form; null when the domain is a name. */
export function literalAddress(domain: string): string | null {
  if (!domain.startsWith('[') || !domain.endsWith(']')) return null
  const inside = domain.slice(1, -1)
  return inside.startsWith('IPv6:') ? inside.slice(5) : inside
}

/** RFC 5321 section 4.1.3; no other kinds of literal are known. */
function parseLiteral(text: string): string | null {
  const inside = /^\[([\x21-\x7e]*)\]$/.exec(text)?.[1] ?? ''
  if (isIPv4(inside)) return `[${inside}]`
  const address = /^IPv6:([0-9a-f:.]+)$/i.exec(inside)?.[1] ?? ''
  if (!isIPv6(address)) return null
  return `[IPv6:${new URL(`http://[${address}]/`).hostname.slice(1, -1)}]`
}

/** RFC 5321 appendix C: `@a,@b:` before the mailbox is taken and forgotten. */
function afterSourceRoute(text: string): string | null {
  const colon = text.startsWith('@[') ? text.indexOf(':', text.indexOf(']') + 1) : text.indexOf(':')
  if (colon < 0) return null
  for (const hop of text.slice(0, colon).split(',')) {
    if (!hop.startsWith('@') || parseDomain(hop.slice(1)) === null) return null
  }
  return text.slice(colon + 1)
}

function takeLocal(text: string): { value: string; length: number } | null {
  const pattern = text.startsWith('"') ? QUOTED_STRING : DOT_STRING
  pattern.lastIndex = 0
  const match = pattern.exec(text)
  if (!match) return null
  const [whole, inside] = match
  return { value: inside === undefined ? whole : inside.replace(/\\(.)/g, '$1'), length: whole.length }
}

function withoutDomain(local: string, options: MailboxOptions): ParsedAddress {
  // `<"">` is somebody, if nobody we know; written without a domain it would be the null path
  if (local === '') return bad('local-part')
  if (local.toLowerCase() !== 'postmaster' && !options.unqualified) return bad('unqualified')
  if (!options.utf8 && NOT_ASCII.test(local)) return bad('needs-utf8')
  return bounded(local, '')
}

function bounded(local: string, domain: string): ParsedAddress {
  const octets = octetsOf(formatLocal(local))
  if (octets > LONGEST_LOCAL || octets + domain.length + 3 > LONGEST_PATH) return bad('too-long')
  return good(local, domain)
}

function octetsOf(text: string): number {
  return NOT_ASCII.test(text) ? Buffer.byteLength(text) : text.length
}

function good(local: string, domain: string): ParsedAddress {
  return { ok: true, address: { local, domain } }
}

function bad(problem: AddressProblem): ParsedAddress {
  return { ok: false, problem }
}
