/**
 * The milter protocol on the wire: packets of a length in four octets (which counts the command), a command of one
 * octet, and data. No RFC has it: sendmail's libmilter is the standard, its `mfdef.h` has the letters.
 *
 * PacketReader takes octets as they come, at any split. Fails: FilterTrouble for a length that no packet has.
 */
import { FilterTrouble } from './change.ts'

export interface Packet {
  command: string
  data: Buffer
}

/** libmilter's largest data with its largest option, and its command. */
export const LARGEST_PACKET = (1 << 20) + 1
/** What every milter takes in one piece of a body. */
export const LARGEST_PIECE = 65_535

export function renderPacket(command: string, ...data: readonly Buffer[]): Buffer {
  const head = Buffer.allocUnsafe(5)
  head.writeUInt32BE(1 + data.reduce((sum, { length }) => sum + length, 0))
  head.write(command, 4, 1, 'latin1')
  return Buffer.concat([head, ...data])
}

/** Strings, each with the NUL that ends it; a NUL inside is left out. */
export function strings(...texts: readonly string[]): Buffer {
  return Buffer.from(texts.map((text) => `${text.replaceAll('\0', '')}\0`).join(''), 'latin1')
}

export function number32(value: number): Buffer {
  const octets = Buffer.allocUnsafe(4)
  octets.writeUInt32BE(value)
  return octets
}

/** The strings that follow each other from `from` on. */
export function readStrings(data: Buffer, from = 0): string[] {
  const text = data.toString('latin1', from)
  const parts = text.split('\0')
  if (parts.at(-1) === '') parts.pop()
  return parts
}

export class PacketReader {
  #pieces: Buffer[] = []
  #octets = 0

  /** The packets that are whole by now. */
  push(chunk: Buffer): Packet[] {
    this.#pieces.push(chunk)
    this.#octets += chunk.length
    const packets: Packet[] = []
    for (let packet = this.#next(); packet; packet = this.#next()) packets.push(packet)
    return packets
  }

  #next(): Packet | null {
    if (this.#octets < 5) return null
    const length = this.#peek(4).readUInt32BE(0)
    if (length < 1 || length > LARGEST_PACKET) throw new FilterTrouble(`a packet of ${length} octets`)
    if (this.#octets < 4 + length) return null
    const all = this.#peek(this.#octets)
    this.#pieces = all.length > 4 + length ? [all.subarray(4 + length)] : []
    this.#octets -= 4 + length
    return { command: all.toString('latin1', 4, 5), data: all.subarray(5, 4 + length) }
  }

  /** Puts pieces together only where the first one is too short. */
  #peek(octets: number): Buffer {
    const [first] = this.#pieces
    if (first && first.length >= octets) return first
    const all = Buffer.concat(this.#pieces)
    this.#pieces = [all]
    return all
  }
}
