/**
 * DMARC (RFC 9989): does the author's domain stand behind this message, and what does it want done otherwise? Pure: a
 * generator that gives names whose TXT records it wants, and takes them.
 *
 * Policies and organizational domains are found by the walk up the tree (section 4.10), MOST_QUERIES for each domain.
 * `np` counts where DNS knows no name like the author's domain (section 3.2.13: NXDOMAIN), which is asked for only when
 * that makes a difference. DNS trouble is a temperror.
 */
import { readTags } from '../signature/tags.ts'
import type { DmarcResult, Policy, Published } from './results.ts'

/** Null: DNS did not say; 'absent': there is no such name. */
export type Texts = readonly string[] | 'absent' | null
export type Asking<T> = Generator<string, T, Texts>

export interface Evidence {
  /** The author's domain. */
  from: string
  /** What SPF has passed for. */
  spf: string | null
  /** What signatures have passed for. */
  dkim: readonly string[]
  /** All proofs are looked at, for a report to who wants one. */
  forReport?: boolean
}

export interface DmarcVerdict {
  result: DmarcResult
  policy: Policy
  published?: Published
}

interface DmarcRecord {
  domain: string
  text: string
  wantsReports: boolean
  policy: Policy
  subdomains: Policy
  /** For subdomains that do not exist. */
  absent: Policy
  strictSpf: boolean
  strictDkim: boolean
  psd: 'y' | 'n' | 'u'
}

const MOST_QUERIES = 8
/** From a longer name the walk goes on with so many labels. */
const LABELS_AFTER_FIRST = 7

/** Ends the walk: DNS did not say. */
class NoAnswer extends Error {}

export function* judgeDmarc(evidence: Evidence): Asking<DmarcVerdict> {
  try {
    return yield* judge(evidence)
  } catch (error) {
    if (error instanceof NoAnswer) return { result: 'temperror', policy: 'none' }
    throw error
  }
}

function* judge({ from, spf, dkim, forReport = false }: Evidence): Asking<DmarcVerdict> {
  const walked = yield* walk(from)
  const organization = organizationOf(from, walked)
  const own = walked.find(({ domain }) => domain === from)
  // section 4.10.1: the organization's, else that of the public suffix above it
  const record = own ?? walked.find(({ domain }) => domain === organization) ?? walked.at(-1)
  if (!record) return { result: 'none', policy: 'none' }
  const policy = own ? own.policy : yield* policyBelow(record, from)
  const passed = [
    ...(spf === null ? [] : [{ by: 'spf' as const, domain: spf, strict: record.strictSpf }]),
    ...dkim.map((domain) => ({ by: 'dkim' as const, domain, strict: record.strictDkim })),
  ]
  const aligned = { spf: false, dkim: false }
  const all = forReport && record.wantsReports
  for (const { by, domain, strict } of passed) {
    const isDone = all ? aligned[by] : aligned.spf || aligned.dkim
    if (isDone) continue
    try {
      aligned[by] = yield* isAligned(domain, from, organization, strict)
    } catch (error) {
      // a proof that is there already is enough
      if (!(error instanceof NoAnswer) || !(aligned.spf || aligned.dkim)) throw error
    }
  }
  const result = aligned.spf || aligned.dkim ? 'pass' : 'fail'
  const published = { domain: record.domain, record: record.text, ...aligned }
  return { result, policy, ...(all && { published }) }
}

function* policyBelow({ subdomains, absent }: DmarcRecord, from: string): Asking<Policy> {
  if (subdomains === absent) return subdomains
  const texts = yield from
  if (texts === null) throw new NoAnswer()
  return texts === 'absent' ? absent : subdomains
}

/** Section 4.10.2. */
function* isAligned(domain: string, from: string, organization: string, strict: boolean): Asking<boolean> {
  if (domain === from) return true
  if (strict) return false
  return organizationOf(domain, yield* walk(domain)) === organization
}

/** The records from this domain upwards. */
function* walk(domain: string): Asking<DmarcRecord[]> {
  const found: DmarcRecord[] = []
  let labels = domain.split('.')
  for (let n = 0; n < MOST_QUERIES && labels.length > 0; n++) {
    const name = labels.join('.')
    const texts = yield `_dmarc.${name}`
    if (texts === null) throw new NoAnswer()
    const record = texts === 'absent' ? null : theOne(name, texts)
    if (record) found.push(record)
    // its own organization, or the one below a public suffix, is found
    if (record && (record.psd === 'n' || (record.psd === 'y' && n > 0))) break
    labels =
      n === 0 && labels.length > LABELS_AFTER_FIRST ? labels.slice(-LABELS_AFTER_FIRST) : labels.slice(1)
  }
  return found
}

function organizationOf(domain: string, records: readonly DmarcRecord[]): string {
  const highest = records.at(-1)
  if (!highest) return domain
  if (highest.psd !== 'y' || highest.domain === domain) return highest.domain
  // one label below the public suffix
  const depth = highest.domain.split('.').length + 1
  return domain.split('.').slice(-depth).join('.')
}

/** Section 4.10.1: more than one record is none. */
function theOne(domain: string, texts: readonly string[]): DmarcRecord | null {
  const records = texts.filter((text) => /^v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)/.test(text))
  const [text] = records
  return records.length === 1 && text !== undefined ? readRecord(domain, text) : null
}

/** Section 4.7. Null where it says nothing that can be followed. */
function readRecord(domain: string, text: string): DmarcRecord | null {
  const tags = readTags(text)
  if (!tags) return null
  const said = readPolicy(tags.get('p'))
  // a record without a policy that can be read still asks for reports: then it is `none`
  if (said === null && !tags.has('rua')) return null
  const published = said ?? 'none'
  const subdomains = readPolicy(tags.get('sp')) ?? published
  const testing = tags.get('t')?.toLowerCase() === 'y'
  const lower = (policy: Policy) => (testing ? milder[policy] : policy)
  const psd = tags.get('psd')?.toLowerCase()
  return {
    domain,
    text,
    wantsReports: tags.has('rua'),
    policy: lower(published),
    subdomains: lower(subdomains),
    absent: lower(readPolicy(tags.get('np')) ?? subdomains),
    strictSpf: tags.get('aspf')?.toLowerCase() === 's',
    strictDkim: tags.get('adkim')?.toLowerCase() === 's',
    psd: psd === 'y' || psd === 'n' ? psd : 'u',
  }
}

const milder: Readonly<Record<Policy, Policy>> = { reject: 'quarantine', quarantine: 'none', none: 'none' }

function readPolicy(text: string | undefined): Policy | null {
  const word = text?.toLowerCase()
  return word === 'none' || word === 'quarantine' || word === 'reject' ? word : null
}
