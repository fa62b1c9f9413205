/**
 * Macros of SPF (RFC 7208 section 7): whether a text is written well, and what it comes to. Pure.
 *
 * `%{p}` costs questions to DNS, so its value is asked for by `wantsName` and given like the others.
 */

export interface MacroValues {
  sender: string
  local: string
  /** The sender's domain. */
  origin: string
  /** The domain that the record is of. */
  domain: string
  /** Dotted: 192.0.2.1, or 32 nibbles. */
  client: string
  /** As people write it. */
  clientText: string
  /** The client's validated name, or `unknown`. */
  name: string
  family: 4 | 6
  helo: string
  /** Who asks. */
  receiver: string
  /** Seconds since 1970. */
  time: number
}

const EXPAND = /%(?:\{([slodipvhcrt])(\d*)(r?)([-.+,/_=]*)\}|([%_-]))/gi
/** Only texts of explanations may have them (section 7.2). */
const FOR_EXPLANATIONS = /%\{[crt]/i
const LITERAL = /^[\x21-\x24\x26-\x7e]*$/
const END = /(?:\.(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])\.?|%\{[^}]*\}|%[%_-])$/i
const LONGEST_NAME = 253

export function isMacroString(text: string): boolean {
  return LITERAL.test(text.replace(EXPAND, '')) && hasGoodCounts(text)
}

/** It ends in a label that can be the last one of a domain, or in a macro. */
export function isDomainSpec(text: string): boolean {
  return isMacroString(text) && !FOR_EXPLANATIONS.test(text) && END.test(text)
}

function hasGoodCounts(text: string): boolean {
  return [...text.matchAll(EXPAND)].every(([, , digits = '']) => digits === '' || Number(digits) > 0)
}

export function wantsName(text: string): boolean {
  return /%\{p/i.test(text)
}

export function expand(text: string, values: MacroValues): string {
  return text.replace(EXPAND, (_, letter?: string, digits = '', reverse = '', marks = '', plain = '') => {
    if (letter === undefined) return plain === '%' ? '%' : plain === '_' ? ' ' : '%20'
    const value = transformed(valueFor(letter.toLowerCase(), values), digits, reverse !== '', marks)
    return letter === letter.toLowerCase() ? value : escaped(value)
  })
}

function valueFor(letter: string, values: MacroValues): string {
  const all: Readonly<Record<string, string>> = {
    s: values.sender,
    l: values.local,
    o: values.origin,
    d: values.domain,
    i: values.client,
    p: values.name,
    v: values.family === 4 ? 'in-addr' : 'ip6',
    h: values.helo,
    c: values.clientText,
    r: values.receiver,
    t: String(values.time),
  }
  return all[letter] ?? ''
}

function transformed(value: string, digits: string, reverse: boolean, marks: string): string {
  if (digits === '' && !reverse && marks === '') return value
  const parts = splitAt(value, marks === '' ? '.' : marks)
  if (reverse) parts.reverse()
  return (digits === '' ? parts : parts.slice(-Number(digits))).join('.')
}

function splitAt(value: string, marks: string): string[] {
  const parts = ['']
  for (const char of value) {
    if (marks.includes(char)) parts.push('')
    else parts.push(`${parts.pop() ?? ''}${char}`)
  }
  return parts
}

/** Section 7.3: what is not unreserved in a URI. */
function escaped(value: string): string {
  return value.replace(/[^A-Za-z0-9._~-]/g, (char) =>
    [...Buffer.from(char, 'utf8')]
      .map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  )
}

/** A domain to ask about: labels go from its left until it is short enough (section 7.3). */
export function expandDomain(spec: string, values: MacroValues): string {
  let domain = expand(spec, values).replace(/\.$/, '')
  while (domain.length > LONGEST_NAME) {
    const dot = domain.indexOf('.')
    if (dot < 0) break
    domain = domain.slice(dot + 1)
  }
  return domain
}
