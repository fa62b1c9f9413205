/**
 * DNS messages out of and into octets: dns2's codec behind a check of the layout (`layout.ts`).
 *
 * `decodeReply` never throws: a message that is malformed, no response, or not for our question is null, which
 * the exchange treats as if nothing had come (RFC 5452 section 9.1). Names come in lower case without a last dot.
 * `authenticated` is what the server says of itself; whether it is believed is decided in `stub.ts`.
 * The codec is loaded late (4 MiB): at the first query, or before root is given up.
 */
import type { Packet } from 'dns2'
import { layOut, type RecordPlace, readStrings, TYPE } from './layout.ts'

export { TYPE }
export type RecordType = 'A' | 'AAAA' | 'MX' | 'TXT' | 'PTR' | 'CNAME' | 'SRV' | 'TLSA'

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
  /** RFC 2782. */
  | {
      kind: 'srv'
      name: string
      ttl: number
      priority: number
      weight: number
      port: number
      target: string
    }
  /** RFC 6698 section 2.1; `data` in hexadecimal. */
  | {
      kind: 'tlsa'
      name: string
      ttl: number
      usage: number
      selector: number
      matching: number
      data: string
    }

export interface DnsReply {
  truncated: boolean
  rcode: number
  answers: DnsRecord[]
  /** RFC 2308 section 5: how long the absence may be remembered; null without an SOA. */
  negativeTtl: number | null
  /** The AD bit (RFC 4035 section 3.2.3): the server has validated all of it. */
  authenticated: boolean
  /** The question came back letter for letter. */
  caseKept: boolean
}

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const

/** What a datagram may hold without being cut up on its way (RFC 6891 section 6.2.5, DNS flag day 2020). */
const UDP_PAYLOAD = 1232
const CLASS_IN = 1
/** RFC 4035 section 3.1.6: the second octet of the flags, and the bit in it. */
const FLAGS_LOW = 3
const AD_BIT = 0x20

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
  const message = packet.toBuffer()
  // RFC 6840 section 5.7: AD in a query asks for AD in the answer, without all the signatures that DO would bring
  message.writeUInt8(message.readUInt8(FLAGS_LOW) | AD_BIT, FLAGS_LOW)
  return message
}

/** @param question as it was sent, in whatever case. */
export function decodeReply(codec: Codec, message: Buffer, id: number, question: Question): DnsReply | null {
  const layout = layOut(message)
  if (!layout) return null
  try {
    const header = codec.Header.parse(message)
    if (header.id !== id || header.qr !== 1 || header.opcode !== 0) return null
    const asked = codec.Question.parse(new codec.Reader(message, 12 * 8))
    if (!isOurs(asked, question)) return null
    return {
      authenticated: (message.readUInt8(FLAGS_LOW) & AD_BIT) !== 0,
      caseKept: asked.name === question.name,
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
    normal(asked.name) === normal(question.name) &&
    asked.type === TYPE[question.type] &&
    asked.class === CLASS_IN
  )
}

function readRecord(codec: Codec, message: Buffer, place: RecordPlace): Resource {
  return codec.Resource.parse(new codec.Reader(message, place.start * 8))
}

type Reader = (record: Resource, message: Buffer, place: RecordPlace) => DnsRecord

const head = ({ name, ttl }: Resource) => ({ name: normal(name), ttl })

/** By type; all others are passed over. */
const READERS: ReadonlyMap<number, Reader> = new Map<number, Reader>([
  [TYPE.A, (one) => ({ kind: 'address', ...head(one), type: 'A', address: one.address ?? '' })],
  [TYPE.AAAA, (one) => ({ kind: 'address', ...head(one), type: 'AAAA', address: one.address ?? '' })],
  [TYPE.CNAME, (one) => ({ kind: 'cname', ...head(one), target: normal(one.domain ?? '') })],
  [TYPE.PTR, (one) => ({ kind: 'ptr', ...head(one), target: normal(one.domain ?? '') })],
  [
    TYPE.MX,
    (one) => {
      const exchange = normal(one.exchange ?? '')
      return { kind: 'mx', ...head(one), preference: one.priority ?? 0, exchange }
    },
  ],
  [
    TYPE.TXT,
    (one, message, { data, end }) => {
      return { kind: 'txt', ...head(one), text: readStrings(message, data, end) ?? '' }
    },
  ],
  [
    TYPE.SRV,
    (one, message, { data }) => ({
      kind: 'srv',
      ...head(one),
      priority: message.readUInt16BE(data),
      weight: message.readUInt16BE(data + 2),
      port: message.readUInt16BE(data + 4),
      target: normal(one.target ?? ''),
    }),
  ],
  [
    TYPE.TLSA,
    (one, message, { data, end }) => ({
      kind: 'tlsa',
      ...head(one),
      usage: message.readUInt8(data),
      selector: message.readUInt8(data + 1),
      matching: message.readUInt8(data + 2),
      data: message.toString('hex', data + 3, end),
    }),
  ],
])

function readAnswer(codec: Codec, message: Buffer, place: RecordPlace): DnsRecord[] {
  const reader = place.section === 'answer' ? READERS.get(place.type) : undefined
  if (!reader) return []
  const record = readRecord(codec, message, place)
  return record.class === CLASS_IN ? [reader(record, message, place)] : []
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
