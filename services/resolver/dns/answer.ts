/**
 * What a reply means for the question that was asked (RFC 1034 section 5.3.3, RFC 2308): records, nothing of this
 * type, no such name, or failed. Pure.
 *
 * A chain of CNAMEs is followed inside the reply; where it leads out of it, `alias` says where to ask next.
 */
import { isIP } from 'node:net'
import { type DnsRecord, type DnsReply, type Question, RCODE } from './message.ts'

/** `secure`: a server that we trust says that DNSSEC proves it, absence too (RFC 4035 section 4.3). */
export type Answer =
  | { kind: 'records'; records: DnsRecord[]; ttl: number; secure: boolean }
  | { kind: 'nodata'; ttl: number; secure: boolean }
  | { kind: 'nxdomain'; ttl: number; secure: boolean }
  /** No server gave an answer that can be used. */
  | { kind: 'failed'; why: string; ttl: number; trouble: Trouble }
export type Reading = Answer | { kind: 'alias'; target: string; ttl: number; secure: boolean }

/** A server said so (SERVFAIL, REFUSED, nonsense), said nothing in time, or cannot be reached. */
export type Trouble = 'said' | 'silent' | 'unreachable'

const MOST_CNAMES = 16
const LONGEST_TTL = 86_400
/** RFC 2308 section 5 finds one to three hours sensible. */
const LONGEST_NEGATIVE_TTL = 3 * 3600

/** @param trusted the server's word on DNSSEC is believed. */
export function readReply(reply: DnsReply, question: Question, trusted: boolean): Reading {
  const { rcode } = reply
  const secure = trusted && reply.authenticated
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN)
    return { kind: 'failed', why: rcodeName(rcode), ttl: 0, trouble: 'said' }
  const chain =
    question.type === 'CNAME'
      ? { name: question.name, ttl: LONGEST_TTL }
      : followCnames(reply.answers, question.name)
  if (!chain) return { kind: 'failed', why: 'CNAME loop', ttl: 0, trouble: 'said' }
  const records = reply.answers.filter((record) => isWanted(record, chain.name, question))
  if (records.length > 0) {
    const ttl = Math.min(chain.ttl, ...records.map((record) => record.ttl), LONGEST_TTL)
    return { kind: 'records', records, ttl, secure }
  }
  const ttl = Math.min(chain.ttl, reply.negativeTtl ?? 0, LONGEST_NEGATIVE_TTL)
  // RFC 6604 section 3: with CNAMEs, NXDOMAIN is said of the end of the chain
  if (rcode === RCODE.NXDOMAIN) return { kind: 'nxdomain', ttl, secure }
  if (chain.name !== question.name && reply.negativeTtl === null)
    return { kind: 'alias', target: chain.name, ttl: chain.ttl, secure }
  return { kind: 'nodata', ttl, secure }
}

function isWanted(record: DnsRecord, name: string, { type }: Question): boolean {
  if (record.name !== name) return false
  if (record.kind !== 'address') return record.kind === type.toLowerCase()
  return record.type === type && isIP(record.address) === (type === 'A' ? 4 : 6)
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
