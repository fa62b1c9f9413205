/**
 * What a reply means for the question that was asked (RFC 1034 section 5.3.3, RFC 2308): records, nothing of this
 * type, no such name, or failed. Pure.
 *
 * A chain of CNAMEs is followed inside the reply; where it leads out of it, `alias` says where to ask next.
 */
import { isIP } from 'node:net'
import { type DnsRecord, type DnsReply, type Question, RCODE } from './message.ts'

export type Answer =
  | { kind: 'records'; records: DnsRecord[]; ttl: number }
  | { kind: 'nodata'; ttl: number }
  | { kind: 'nxdomain'; ttl: number }
  /** No server gave an answer that can be used: SERVFAIL, REFUSED, silence. */
  | { kind: 'failed'; why: string; ttl: number }
export type Reading = Answer | { kind: 'alias'; target: string; ttl: number }

const MOST_CNAMES = 16
const LONGEST_TTL = 86_400
/** RFC 2308 section 5 finds one to three hours sensible. */
const LONGEST_NEGATIVE_TTL = 3 * 3600

export function readReply(reply: DnsReply, question: Question): Reading {
  const { rcode } = reply
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN)
    return { kind: 'failed', why: rcodeName(rcode), ttl: 0 }
  const chain = followCnames(reply.answers, question.name)
  if (!chain) return { kind: 'failed', why: 'CNAME loop', ttl: 0 }
  const records = reply.answers.filter((record) => isWanted(record, chain.name, question))
  if (records.length > 0) {
    const ttl = Math.min(chain.ttl, ...records.map((record) => record.ttl), LONGEST_TTL)
    return { kind: 'records', records, ttl }
  }
  const ttl = Math.min(chain.ttl, reply.negativeTtl ?? 0, LONGEST_NEGATIVE_TTL)
  // RFC 6604 section 3: with CNAMEs, NXDOMAIN is said of the end of the chain
  if (rcode === RCODE.NXDOMAIN) return { kind: 'nxdomain', ttl }
  if (chain.name !== question.name && reply.negativeTtl === null)
    return { kind: 'alias', target: chain.name, ttl: chain.ttl }
  return { kind: 'nodata', ttl }
}

function isWanted(record: DnsRecord, name: string, { type }: Question): boolean {
  if (record.name !== name) return false
  if (record.kind === 'mx') return type === 'MX'
  if (record.kind === 'txt') return type === 'TXT'
  if (record.kind === 'ptr') return type === 'PTR'
  return record.kind === 'address' && record.type === type && isIP(record.address) === (type === 'A' ? 4 : 6)
}

function followCnames(records: readonly DnsRecord[], start: string): { name: string; ttl: number } | null {
  let name = start
  let ttl = LONGEST_TTL
  for (let n = 0; n <= MOST_CNAMES; n++) {
    const cname = records.find((record) => record.kind === 'cname' && record.name === name)
    if (cname?.kind !== 'cname') return { name, ttl }
    name = cname.target
    ttl = Math.min(ttl, cname.ttl)
  }
  return null
}

function rcodeName(rcode: number): string {
  return Object.entries(RCODE).find(([, code]) => code === rcode)?.[0] ?? `RCODE ${rcode}`
}
