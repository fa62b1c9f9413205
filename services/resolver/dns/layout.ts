/**
 * Where the parts of a DNS message lie (RFC 1035 section 4.1), found before any of them is decoded. Pure.
 *
 * The codec follows what a message says of itself: it trusts counts, lets pointers lead anywhere and does not
 * hold record data to its length. So a message is walked first, octet by octet and in linear time: names end
 * inside it, pointers lead strictly backwards and are few, data of the types that we read have the form of their
 * type, and only then single records are given to the codec. Anything else is null: no answer.
 */

export interface RecordPlace {
  /** Offsets in octets. */
  start: number
  /** Of the record's data, and behind it. */
  data: number
  end: number
  type: number
  section: 'answer' | 'authority' | 'additional'
}

export interface Layout {
  records: RecordPlace[]
}

export const TYPE = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  TLSA: 52,
} as const

const HEADER_OCTETS = 12
const MOST_RECORDS = 500
const MOST_POINTERS = 16
const LONGEST_NAME = 255
const SECTIONS = ['answer', 'authority', 'additional'] as const

export function layOut(message: Buffer): Layout | null {
  if (message.length < HEADER_OCTETS || message.readUInt16BE(4) !== 1) return null
  const afterName = skipName(message, HEADER_OCTETS)
  let at = afterName === null ? message.length + 1 : afterName + 4
  const records: RecordPlace[] = []
  for (const [index, section] of SECTIONS.entries()) {
    const count = message.readUInt16BE(6 + 2 * index)
    if (count > MOST_RECORDS) return null
    for (let n = 0; n < count; n++) {
      const record = readRecord(message, at)
      if (!record) return null
      records.push({ start: at, section, ...record })
      at = record.end
    }
  }
  return at <= message.length ? { records } : null
}

function readRecord(message: Buffer, start: number): Omit<RecordPlace, 'start' | 'section'> | null {
  const at = start < message.length ? skipName(message, start) : null
  if (at === null || at + 10 > message.length) return null
  const type = message.readUInt16BE(at)
  const data = at + 10
  const end = data + message.readUInt16BE(at + 8)
  return end <= message.length && isWellFormed(message, type, data, end) ? { type, data, end } : null
}

function isWellFormed(message: Buffer, type: number, data: number, end: number): boolean {
  switch (type) {
    case TYPE.A:
      return end - data === 4
    case TYPE.AAAA:
      return end - data === 16
    case TYPE.CNAME:
    case TYPE.PTR:
      return skipName(message, data) === end
    case TYPE.MX:
      return end - data > 2 && skipName(message, data + 2) === end
    // RFC 2782: priority, weight, port, target
    case TYPE.SRV:
      return end - data > 6 && skipName(message, data + 6) === end
    // RFC 6698 section 2.1: usage, selector, matching type, and something to match
    case TYPE.TLSA:
      return end - data > 3
    case TYPE.SOA: {
      const second = skipName(message, data)
      const numbers = second !== null && second < end ? skipName(message, second) : null
      return numbers !== null && numbers + 20 === end
    }
    case TYPE.TXT:
      return readStrings(message, data, end) !== null
    default:
      return true
  }
}

/** The strings of a TXT record (RFC 1035 section 3.3.14), put together; null when they do not fill it. */
export function readStrings(message: Buffer, data: number, end: number): string | null {
  let text = ''
  let at = data
  while (at < end) {
    const next = at + 1 + (message[at] ?? 0)
    if (next > end) return null
    text += message.toString('latin1', at + 1, next)
    at = next
  }
  return at > data ? text : null
}

/** The offset behind the name at `start`, or null when it is none. */
function skipName(message: Buffer, start: number): number | null {
  let at = start
  let end: number | null = null
  let pointers = 0
  let octets = 1
  for (;;) {
    const length = message[at]
    if (length === undefined) return null
    if (length === 0) return end ?? at + 1
    if ((length & 0xc0) === 0xc0) {
      const target = ((length & 0x3f) << 8) | (message[at + 1] ?? 0xff)
      if (at + 1 >= message.length || target >= at || ++pointers > MOST_POINTERS) return null
      end ??= at + 2
      at = target
    } else {
      octets += length + 1
      if (length > 63 || octets > LONGEST_NAME) return null
      at += length + 1
    }
  }
}
