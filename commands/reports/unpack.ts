/**
 * What a report came in, opened: gzip, zip, or nothing around it. Pure.
 *
 * Whoever sent it may mean harm: nothing is unpacked beyond MOST_OCTETS, of a zip only the first MOST_ENTRIES files are
 * looked at, one inside another never. Names in a zip are not used. Fails: throws `Error` with a sentence.
 */
import { gunzipSync, inflateRawSync } from 'node:zlib'

const MOST_OCTETS = 64 << 20
const MOST_ENTRIES = 10

const BOUNDS = { maxOutputLength: MOST_OCTETS }

export function unpack(data: Buffer): Buffer[] {
  if (data.length > MOST_OCTETS) throw new Error('too large')
  if (data[0] === 0x1f && data[1] === 0x8b) return [gunzipSync(data, BOUNDS)]
  if (data.length > 4 && data.readUInt32LE(0) === LOCAL) return unzip(data)
  return [data]
}

/** Of PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16. */
const LOCAL = 0x04034b50
const CENTRAL = 0x02014b50
const END = 0x06054b50
const END_OCTETS = 22
const LONGEST_COMMENT = 65_535
const STORED = 0
const DEFLATED = 8

function unzip(data: Buffer): Buffer[] {
  const end = endOf(data)
  const count = Math.min(data.readUInt16LE(end + 10), MOST_ENTRIES)
  let at = data.readUInt32LE(end + 16)
  const found: Buffer[] = []
  for (let n = 0; n < count; n++) {
    if (data.readUInt32LE(at) !== CENTRAL) throw new Error('a zip file that is broken')
    const entry = readEntry(data, at)
    if (entry && entry.length > 0) found.push(entry)
    at += 46 + data.readUInt16LE(at + 28) + data.readUInt16LE(at + 30) + data.readUInt16LE(at + 32)
  }
  return found
}

function endOf(data: Buffer): number {
  const last = data.length - END_OCTETS
  for (let at = last; at >= Math.max(0, last - LONGEST_COMMENT); at--)
    if (data.readUInt32LE(at) === END) return at
  throw new Error('a zip file without an end')
}

/** Null: a folder, or empty. */
function readEntry(data: Buffer, at: number): Buffer | null {
  const method = data.readUInt16LE(at + 10)
  const size = data.readUInt32LE(at + 20)
  const local = data.readUInt32LE(at + 42)
  if (size === 0) return null
  if ((data.readUInt16LE(at + 8) & 1) !== 0) throw new Error('a zip file that is encrypted')
  if (data.readUInt32LE(local) !== LOCAL) throw new Error('a zip file that is broken')
  const from = local + 30 + data.readUInt16LE(local + 26) + data.readUInt16LE(local + 28)
  const packed = data.subarray(from, from + size)
  if (method === STORED) return packed
  if (method === DEFLATED) return inflateRawSync(packed, BOUNDS)
  throw new Error(`a zip file packed by method ${method}`)
}
