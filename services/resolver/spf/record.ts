/**
 * An SPF record taken apart (RFC 7208 sections 4.5, 4.6.1, 5, 6 and 12): pure. The whole of it is checked before any
 * term counts; a record with a single fault in it is a PermError.
 *
 * Names and values keep their macros: `macro.ts` puts the values in.
 */
import { type Network, parseNetwork } from '../../../shared/config/network.ts'
import { isDomainSpec, isMacroString } from './macro.ts'

export type Verdict = 'pass' | 'fail' | 'softfail' | 'neutral'

/** Prefix lengths for each family. */
export interface Prefixes {
  four: number
  six: number
}

export type Mechanism =
  | { kind: 'all' }
  | { kind: 'include' | 'exists'; domain: string }
  /** Null: the domain that the record is of. */
  | { kind: 'ptr'; domain: string | null }
  | { kind: 'a' | 'mx'; domain: string | null; prefixes: Prefixes }
  | { kind: 'ip'; network: Network }

export type Directive = Mechanism & { verdict: Verdict }

export interface SpfRecord {
  directives: Directive[]
  redirect: string | null
  explanation: string | null
}

const verdicts: Readonly<Record<string, Verdict>> = {
  '+': 'pass',
  '-': 'fail',
  '~': 'softfail',
  '?': 'neutral',
}

/** RFC 7208 section 4.5. */
export function isSpfRecord(text: string): boolean {
  return /^v=spf1(?: |$)/i.test(text)
}

/** Null: PermError. */
export function readRecord(text: string): SpfRecord | null {
  const record: SpfRecord = { directives: [], redirect: null, explanation: null }
  for (const term of text.slice('v=spf1'.length).split(' ')) {
    if (term !== '' && !readTerm(term, record)) return null
  }
  return record
}

function readTerm(term: string, record: SpfRecord): boolean {
  const [, modifier, value = ''] = /^([a-z][a-z0-9_.-]*)=(.*)$/is.exec(term) ?? []
  if (modifier !== undefined) return readModifier(modifier.toLowerCase(), value, record)
  const qualifier = verdicts[term.charAt(0)]
  const mechanism = readMechanism(qualifier ? term.slice(1) : term)
  if (!mechanism) return false
  record.directives.push({ ...mechanism, verdict: qualifier ?? 'pass' })
  return true
}

/** RFC 7208 section 6: these two once at most; those that nobody knows only need to be written well. */
function readModifier(name: string, value: string, record: SpfRecord): boolean {
  if (name !== 'redirect' && name !== 'exp') return isMacroString(value)
  const key = name === 'exp' ? 'explanation' : 'redirect'
  if (record[key] !== null || !isDomainSpec(value)) return false
  record[key] = value
  return true
}

function readMechanism(text: string): Mechanism | null {
  const [, word = '', rest = ''] = /^([a-z0-9]+)(.*)$/is.exec(text) ?? []
  const kind = word.toLowerCase()
  switch (kind) {
    case 'all':
      return rest === '' ? { kind } : null
    case 'include':
    case 'exists': {
      const domain = rest.slice(1)
      return rest.startsWith(':') && isDomainSpec(domain) ? { kind, domain } : null
    }
    case 'ptr': {
      const domain = optionalDomain(rest)
      return domain === undefined ? null : { kind, domain }
    }
    case 'a':
    case 'mx':
      return readHosts(kind, rest)
    case 'ip4':
    case 'ip6':
      return readIp(kind === 'ip4' ? 4 : 6, rest)
    default:
      return null
  }
}

/** Undefined: it is written wrong. */
function optionalDomain(text: string): string | null | undefined {
  if (text === '') return null
  const domain = text.slice(1)
  return text.startsWith(':') && isDomainSpec(domain) ? domain : undefined
}

const PREFIXES = /^(.*?)(?:\/(0|[1-9]\d?))?(?:\/\/(0|[1-9]\d{0,2}))?$/s

function readHosts(kind: 'a' | 'mx', text: string): Mechanism | null {
  const [, before = '', four = '32', six = '128'] = PREFIXES.exec(text) ?? []
  const domain = optionalDomain(before)
  const prefixes = { four: Number(four), six: Number(six) }
  if (domain === undefined || prefixes.four > 32 || prefixes.six > 128) return null
  return { kind, domain, prefixes }
}

function readIp(family: 4 | 6, text: string): Mechanism | null {
  const [, address = '', prefix] = /^:([0-9a-f.:]+)(?:\/(0|[1-9]\d{0,2}))?$/i.exec(text) ?? []
  const network = parseNetwork(address)
  const bits = family === 4 ? 32 : 128
  const length = prefix === undefined ? bits : Number(prefix)
  if (network?.family !== family || length > bits) return null
  return { kind: 'ip', network: { ...network, prefix: length } }
}
