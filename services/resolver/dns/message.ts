/**
 * DNS messages out of and into octets: dns2's codec behind a check of the layout (`layout.ts`).
 *
 * `decodeReply` never throws: a message that is malformed, no response, or not for our question is null, which
 * the exchange treats as if nothing had come (RFC 5452 section 9.1). Names come in lower case without a last dot.
 * The codec is loaded late (4 MiB): at the first query, or before root is given up.
 */
import type { Packet } from 'dns2'
import { layOut, type RecordPlace, readStrings, TYPE } from './layout.ts'

export { TYPE }
export type RecordType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'PTR'

export interface Question {
  name: string
  type: RecordType
}

export type DnsRecord =
  | { kind: 'address'; name: string; ttl: number; type: 'A' | 'AAAA'; address: string }
  | { kind: 'mx'; name: string; ttl: number; preference: number; exchange: string }
  /** Its strings put together, latin1. */
  | { kind: 'txt'; name: string; ttl: number; text: string }
  | { kind: 'ptr'; name: string; ttl: number; target: string }
  | { kind: 'cname'; name: string; ttl: number; target: string }

export interface DnsReply {
  truncated: boolean
  rcode: number
  answers: DnsRecord[]
  /** RFC 2308 section 5: how long the absence may be remembered; null without an SOA. */
  negativeTtl: number | null
}

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const

/** What a datagram may hold without being cut up on its way (RFC 6891 section 6.2.5, DNS flag day 2020). */
const UDP_PAYLOAD = 1232
const CLASS_IN = 1

type Codec = typeof Packet
type Resource = ReturnType<Codec['Resource']['parse']>
let loading: Promise<Codec> | null = null

export function loadCodec(): Promise<Codec> {
  loading ??= import('dns2').then((dns2) => dns2.default.Packet)
  return loading
}

export function encodeQuery(codec: Codec, id: number, question: Question, edns: boolean): Buffer {
  const packet = new codec(new codec.Header({ id, rd: 1 }))
  packet.questions.push(new codec.Question(question.name, TYPE[question.type], CLASS_IN))
  if (edns) {
    const options = codec.Resource.EDNS([])
    packet.additionals.push(Object.assign(options, { class: UDP_PAYLOAD }))
  }
  return packet.toBuffer()
}

export function decodeReply(codec: Codec, message: Buffer, id: number, question: Question): DnsReply | null {
  const layout = layOut(message)
  if (!layout) return null
  try {
    const header = codec.Header.parse(message)
    if (header.id !== id || header.qr !== 1 || header.opcode !== 0) return null
    if (!isOurs(codec.Question.parse(new codec.Reader(message, 12 * 8)), question)) return null
    return {
      truncated: header.tc === 1,
      rcode: extendedRcode(message, layout.records, header.rcode),
      answers: layout.records.flatMap((place) => readAnswer(codec, message, place)),
      negativeTtl: readNegativeTtl(codec, message, layout.records),
    }
  } catch {
    return null
  }
}

function isOurs(asked: { name: string; type: number; class: number }, question: Question): boolean {
  return (
    normal(asked.name) === question.name && asked.type === TYPE[question.type] && asked.class === CLASS_IN
  )
}

function readRecord(codec: Codec, message: Buffer, place: RecordPlace): Resource {
  return codec.Resource.parse(new codec.Reader(message, place.start * 8))
}

const WANTED: readonly number[] = [TYPE.A, TYPE.AAAA, TYPE.MX, TYPE.TXT, TYPE.PTR, TYPE.CNAME]

function readAnswer(codec: Codec, message: Buffer, place: RecordPlace): DnsRecord[] {
  const { type, section } = place
  if (section !== 'answer' || !WANTED.includes(type)) return []
  const record = readRecord(codec, message, place)
  if (record.class !== CLASS_IN) return []
  const name = normal(record.name)
  const { ttl } = record
  if (type === TYPE.TXT)
    return [{ kind: 'txt', name, ttl, text: readStrings(message, place.data, place.end) ?? '' }]
  if (type === TYPE.PTR) return [{ kind: 'ptr', name, ttl, target: normal(record.domain ?? '') }]
  if (type === TYPE.CNAME) return [{ kind: 'cname', name, ttl, target: normal(record.domain ?? '') }]
  if (type === TYPE.MX) {
    const exchange = normal(record.exchange ?? '')
    return [{ kind: 'mx', name, ttl, preference: record.priority ?? 0, exchange }]
  }
  return [{ kind: 'address', name, ttl, type: type === TYPE.A ? 'A' : 'AAAA', address: record.address ?? '' }]
}

function readNegativeTtl(codec: Codec, message: Buffer, records: readonly RecordPlace[]): number | null {
  const place = records.find(({ section, type }) => section === 'authority' && type === TYPE.SOA)
  if (!place) return null
  const soa = readRecord(codec, message, place)
  return Math.min(soa.ttl, soa.minimum ?? 0)
}

/** RFC 6891 section 6.1.3: the upper eight bits stand where another record has its time to live. */
function extendedRcode(message: Buffer, records: readonly RecordPlace[], low: number): number {
  const place = records.find(({ section, type }) => section === 'additional' && type === TYPE.OPT)
  // the name of an OPT record is the root: one octet
  return place && message[place.start] === 0 ? ((message[place.start + 5] ?? 0) << 4) | low : low
}

function normal(name: string): string {
  return name.toLowerCase()
}
