/**
 * A map in a constant database (cdb, D. J. Bernstein): read where it is, at most a few pages for a key, and opened
 * anew when another file stands under its name, which is how such databases are changed.
 *
 * The layout: 256 pairs of position and length of hash tables, records, then the tables; all numbers are 32 bits,
 * little-endian. Keys end with a NUL where Postfix or Sendmail wrote them, so both forms are looked for. Fails: what
 * points outside the file is trouble.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { found, LONGEST_VALUE, type MapSource, MISSING, trouble } from './answer.ts'

const LOOK_INTERVAL_MS = 500

interface Open {
  fd: number
  stamp: string
}

export function openCdbMap(path: string, now: () => number): MapSource {
  let open: Open | null = null
  let lookedAt = Number.NEGATIVE_INFINITY
  const close = () => {
    if (open) closeSync(open.fd)
    open = null
  }
  const current = (): Open => {
    if (open && now() - lookedAt < LOOK_INTERVAL_MS) return open
    lookedAt = now()
    if (open?.stamp === stampOf(statSync(path))) return open
    close()
    const fd = openSync(path, 'r')
    open = { fd, stamp: stampOf(fstatSync(fd)) }
    return open
  }
  return {
    wholeKeys: false,
    close,
    lookUp: (key) => {
      try {
        const { fd } = current()
        const value = findInCdb(fd, Buffer.from(key)) ?? findInCdb(fd, Buffer.from(`${key}\0`))
        return value ? found(value.toString('utf8').replace(/\0$/, '')) : MISSING
      } catch (error) {
        close()
        return trouble(error)
      }
    },
  }
}

function stampOf({ ino, mtimeMs, size }: { ino: number; mtimeMs: number; size: number }): string {
  return `${ino} ${mtimeMs} ${size}`
}

export function hashOf(key: Uint8Array): number {
  let hash = 5381
  for (const octet of key) hash = (((hash << 5) + hash) ^ octet) >>> 0
  return hash
}

/** @throws RangeError for a file that is no cdb. */
export function findInCdb(fd: number, key: Buffer): Buffer | null {
  const hash = hashOf(key)
  const [table, slots] = pairAt(fd, (hash & 255) * 8)
  const start = slots === 0 ? 0 : (hash >>> 8) % slots
  for (let n = 0; n < slots; n++) {
    const [slotHash, position] = pairAt(fd, table + ((start + n) % slots) * 8)
    if (position === 0) return null
    if (slotHash !== hash) continue
    const [keyLength, valueLength] = pairAt(fd, position)
    if (keyLength !== key.length || !readAt(fd, position + 8, keyLength).equals(key)) continue
    if (valueLength > LONGEST_VALUE) throw new RangeError(`a value of ${valueLength} octets`)
    return readAt(fd, position + 8 + keyLength, valueLength)
  }
  return null
}

function pairAt(fd: number, position: number): [number, number] {
  const octets = readAt(fd, position, 8)
  return [octets.readUInt32LE(0), octets.readUInt32LE(4)]
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length)
  if (readSync(fd, buffer, 0, length, position) !== length)
    throw new RangeError('this is no cdb, or part of one')
  return buffer
}
