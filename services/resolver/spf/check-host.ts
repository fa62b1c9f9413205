/**
 * check_host() of RFC 7208 section 4: may this client send as this domain? Pure: a generator that gives questions to
 * DNS and takes answers, so that the same machine runs against a table, a cache or the network.
 *
 * Limits of section 4.6.4: MOST_TERMS terms that ask DNS, MOST_VOIDS questions without an answer, MOST_NAMES hosts of
 * one `mx` (more are a PermError) and names of one address (the others are left out).
 */
import { type Network, parseNetwork } from '../../../shared/config/network.ts'
import { reverseName } from '../client-address.ts'
import type { Answer } from '../dns/answer.ts'
import type { DnsRecord, Question } from '../dns/message.ts'
import { expand, expandDomain, isMacroString, type MacroValues, wantsName } from './macro.ts'
import {
  type Directive,
  isSpfRecord,
  type Prefixes,
  readRecord,
  type SpfRecord,
  type Verdict,
} from './record.ts'

export type SpfResult = Verdict | 'none' | 'temperror' | 'permerror'

export interface SpfOutcome {
  result: SpfResult
  /** What the domain says of a `fail`; null where it says nothing. ASCII. */
  explanation: string | null
}

/** Who asks for what. */
export interface SpfQuestion {
  client: string
  helo: string
  /** The reverse-path; empty: it is HELO that is asked about. */
  sender: string
  /** Our own name. */
  receiver: string
  /** Seconds since 1970. */
  time: number
}

export type Asking<T> = Generator<Question, T, Answer>

const MOST_TERMS = 10
const MOST_VOIDS = 2
const MOST_NAMES = 10

/** Ends the whole of it. */
class Fault extends Error {
  readonly result: 'temperror' | 'permerror'
  constructor(result: 'temperror' | 'permerror') {
    super(result)
    this.result = result
  }
}

interface Check {
  client: Network
  values: MacroValues
  terms: number
  voids: number
}

export function* checkHost(question: SpfQuestion): Asking<SpfOutcome> {
  const check = begin(question)
  if (!check) return { result: 'none', explanation: null }
  try {
    return yield* evaluate(check, check.values.domain, true)
  } catch (error) {
    if (error instanceof Fault) return { result: error.result, explanation: null }
    throw error
  }
}

/** Null: there is no address to ask for. */
function begin({ client, helo, sender, receiver, time }: SpfQuestion): Check | null {
  // an IPv4 client seen through an IPv6 socket
  const clientText = client.replace(/^::ffff:(?=\d+\.)/i, '').toLowerCase()
  const network = parseNetwork(clientText)
  if (!network || network.family === 'local') return null
  // section 2.4: without a reverse-path it is postmaster's at the host that says HELO
  const path = sender === '' ? `postmaster@${helo}` : sender
  const at = path.lastIndexOf('@')
  const local = path.slice(0, Math.max(at, 0)) || 'postmaster'
  const domain = path.slice(at + 1).replace(/\.$/, '')
  const nibbles = [...network.bits.toString(16).toUpperCase().padStart(32, '0')].join('.')
  const values: MacroValues = {
    ...{ sender: `${local}@${domain}`, local, origin: domain, domain, clientText, helo, receiver, time },
    client: network.family === 4 ? clientText : nibbles,
    family: network.family,
    name: 'unknown',
  }
  return { client: network, values, terms: 0, voids: 0 }
}

/** @param explains whether anybody wants to know why not. */
function* evaluate(check: Check, domain: string, explains: boolean): Asking<SpfOutcome> {
  if (!isName(domain) || !domain.includes('.')) return { result: 'none', explanation: null }
  const answer = yield { name: domain.toLowerCase(), type: 'TXT' }
  if (answer.kind === 'failed') throw new Fault('temperror')
  const texts = textsOf(answer).filter(isSpfRecord)
  if (texts.length > 1) throw new Fault('permerror')
  const [text] = texts
  if (text === undefined) return { result: 'none', explanation: null }
  const record = readRecord(text)
  if (!record) throw new Fault('permerror')
  const outer = check.values
  check.values = { ...outer, domain }
  const outcome = yield* obey(check, record, explains)
  check.values = outer
  return outcome
}

function* obey(check: Check, record: SpfRecord, explains: boolean): Asking<SpfOutcome> {
  for (const directive of record.directives) {
    if (!(yield* matches(check, directive))) continue
    const { verdict } = directive
    const explanation = explains && verdict === 'fail' ? yield* explain(check, record.explanation) : null
    return { result: verdict, explanation }
  }
  if (record.redirect === null) return { result: 'neutral', explanation: null }
  countTerm(check)
  const outcome = yield* evaluate(check, yield* domainOf(check, record.redirect), explains)
  // section 6.1
  if (outcome.result === 'none') throw new Fault('permerror')
  return outcome
}

function* matches(check: Check, directive: Directive): Asking<boolean> {
  switch (directive.kind) {
    case 'all':
      return true
    case 'ip':
      return isWithin(check.client, directive.network, directive.network.prefix)
    case 'include':
      return yield* isIncluded(check, directive.domain)
    case 'exists': {
      countTerm(check)
      const found = yield* ask(check, { name: yield* domainOf(check, directive.domain), type: 'A' })
      return found.length > 0
    }
    case 'a':
      countTerm(check)
      return yield* isHost(check, yield* domainOf(check, directive.domain), directive.prefixes)
    case 'mx':
      countTerm(check)
      return yield* isExchanger(check, yield* domainOf(check, directive.domain), directive.prefixes)
    case 'ptr': {
      countTerm(check)
      const domain = (yield* domainOf(check, directive.domain)).toLowerCase()
      const names = yield* validatedNames(check)
      return names.some((name) => name === domain || name.endsWith(`.${domain}`))
    }
    default:
      return directive satisfies never
  }
}

/** Section 5.2. */
function* isIncluded(check: Check, spec: string): Asking<boolean> {
  countTerm(check)
  const { result } = yield* evaluate(check, yield* domainOf(check, spec), false)
  if (result === 'none') throw new Fault('permerror')
  return result === 'pass'
}

function* isHost(check: Check, name: string, prefixes: Prefixes): Asking<boolean> {
  const six = check.client.family === 6
  const records = yield* ask(check, { name, type: six ? 'AAAA' : 'A' })
  return records.some((record) => {
    const address = record.kind === 'address' ? parseNetwork(record.address) : null
    return address !== null && isWithin(check.client, address, six ? prefixes.six : prefixes.four)
  })
}

function* isExchanger(check: Check, name: string, prefixes: Prefixes): Asking<boolean> {
  const records = yield* ask(check, { name, type: 'MX' })
  const hosts = records.flatMap((record) => (record.kind === 'mx' ? [record.exchange] : []))
  if (hosts.length > MOST_NAMES) throw new Fault('permerror')
  for (const host of hosts) if (yield* isHost(check, host, prefixes)) return true
  return false
}

/** Names of the client that lead back to it (section 5.5). What DNS does not say is no name. */
function* validatedNames({ client, values }: Check): Asking<string[]> {
  const pointer = reverseName(values.clientText)
  if (pointer === null) return []
  const answer: Answer = yield { name: pointer, type: 'PTR' }
  const records = answer.kind === 'records' ? answer.records : []
  const names = records.flatMap((record) => (record.kind === 'ptr' ? [record.target] : []))
  const good: string[] = []
  for (const name of names.filter(isName).slice(0, MOST_NAMES)) {
    const found: Answer = yield { name, type: client.family === 6 ? 'AAAA' : 'A' }
    const addresses = found.kind === 'records' ? found.records : []
    const leadsBack = addresses.some(
      (record) => record.kind === 'address' && parseNetwork(record.address)?.bits === client.bits,
    )
    if (leadsBack) good.push(name)
  }
  return good
}

/** Where a term points; null: at the domain of its record. */
function* domainOf(check: Check, spec: string | null): Asking<string> {
  if (spec === null) return check.values.domain
  return expandDomain(spec, yield* valuesFor(check, spec))
}

function* valuesFor(check: Check, spec: string): Asking<MacroValues> {
  if (!wantsName(spec)) return check.values
  const names = yield* validatedNames(check)
  const domain = check.values.domain.toLowerCase()
  const name =
    names.find((one) => one === domain) ??
    names.find((one) => one.endsWith(`.${domain}`)) ??
    names[0] ??
    'unknown'
  return { ...check.values, name }
}

/** Section 6.2: whatever is wrong with it, there just is none. */
function* explain(check: Check, spec: string | null): Asking<string | null> {
  if (spec === null) return null
  const name = yield* domainOf(check, spec)
  if (!isName(name)) return null
  const texts = textsOf(yield { name: name.toLowerCase(), type: 'TXT' })
  const [text] = texts
  // spaces may stand in it as they are
  if (texts.length !== 1 || text === undefined || !isMacroString(text.replaceAll(' ', ''))) return null
  const said = expand(text, yield* valuesFor(check, text))
  return /^[\x20-\x7e]*$/.test(said) ? said : null
}

function* ask(check: Check, { name, type }: Question): Asking<DnsRecord[]> {
  if (!isName(name)) return []
  const answer = yield { name: name.toLowerCase(), type }
  if (answer.kind === 'failed') throw new Fault('temperror')
  if (answer.kind === 'records') return answer.records
  if (++check.voids > MOST_VOIDS) throw new Fault('permerror')
  return []
}

function countTerm(check: Check): void {
  if (++check.terms > MOST_TERMS) throw new Fault('permerror')
}

function textsOf(answer: Answer): string[] {
  const records = answer.kind === 'records' ? answer.records : []
  return records.flatMap((record) => (record.kind === 'txt' ? [record.text] : []))
}

/** RFC 1035 section 2.3.4. */
function isName(name: string): boolean {
  return name.length <= 253 && name.split('.').every((label) => label.length > 0 && label.length <= 63)
}

function isWithin(client: Network, network: Network, prefix: number): boolean {
  if (client.family !== network.family) return false
  const shift = BigInt((client.family === 4 ? 32 : 128) - prefix)
  return client.bits >> shift === network.bits >> shift
}
