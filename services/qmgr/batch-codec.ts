/**
 * A batch on its way to the store's thread: the inserts' bytes in one buffer that is transferred, not copied,
 * and a table of ids and lengths beside it. (Posting small views would clone the whole slab behind each.)
 */
import type { Batch, Change, StoredMessage } from './store.ts'

export interface PackedBatch {
  /** id, envelope length, content length (-1: a file) for each insert. */
  table: Float64Array<ArrayBuffer>
  bytes: Uint8Array<ArrayBuffer>
  changes: Change[]
}

const COLUMNS = 3

export function packBatch(batch: Batch): PackedBatch {
  const { inserts, changes } = batch
  const table = new Float64Array(inserts.length * COLUMNS)
  let total = 0
  for (const { envelope, content } of inserts) total += envelope.length + (content?.length ?? 0)
  const bytes = new Uint8Array(new ArrayBuffer(total))
  let at = 0
  inserts.forEach(({ id, envelope, content }, index) => {
    table[index * COLUMNS] = id
    table[index * COLUMNS + 1] = envelope.length
    table[index * COLUMNS + 2] = content ? content.length : -1
    bytes.set(envelope, at)
    at += envelope.length
    if (!content) return
    bytes.set(content, at)
    at += content.length
  })
  return { table, bytes, changes }
}

export function unpackBatch({ table, bytes, changes }: PackedBatch): Batch {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const inserts: StoredMessage[] = []
  let at = 0
  const cut = (length: number) => {
    at += length
    return buffer.subarray(at - length, at)
  }
  for (let row = 0; row < table.length; row += COLUMNS) {
    const [id = 0, envelopeLength = 0, contentLength = -1] = table.subarray(row, row + COLUMNS)
    const envelope = cut(envelopeLength)
    inserts.push({ id, envelope, content: contentLength < 0 ? null : cut(contentLength) })
  }
  return { inserts, changes }
}
