/**
 * Frames: how messages lie on the wire between two processes.
 *
 * A frame is two 4-byte big-endian lengths, then a msgpack array (the head), then the tail: octets of content that
 * would otherwise be copied into the head and out of it again. The lengths are those of head and tail together, and
 * of the tail. Most frames have none.
 *
 * Writing: small frames are joined in one buffer, tails leave from where they lie, so their owner must not change
 * them any more. Reading: what `push` gets may be used again as soon as it returns; every frame's octets are its own.
 * Fails: `FrameTrouble` for a frame over MAX_FRAME or one whose lengths contradict each other.
 */
import { Packr, RESERVE_START_SPACE, Unpackr } from 'msgpackr'

export const MAX_FRAME = 32 << 20
const LENGTHS = 8
/** Fewer octets are copied sooner than written on their own. */
export const LEAST_TAIL = 16 << 10
const NO_OCTETS = new Uint8Array(0)

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true })

export class FrameTrouble extends Error {
  override name = 'FrameTrouble'
}

/** The frame but for its tail. */
export function packFrame(head: readonly unknown[], tail: Uint8Array | null): Buffer {
  const frame = packr.pack(head, RESERVE_START_SPACE + LENGTHS)
  const tailLength = tail?.length ?? 0
  frame.writeUInt32BE(frame.length - LENGTHS + tailLength, 0)
  frame.writeUInt32BE(tailLength, 4)
  return frame
}

/** Throws where this is not msgpack. Octets in it are copies. */
export function unpackHead(head: Uint8Array): unknown {
  return unpackr.unpack(head)
}

export type OnFrame = (head: Uint8Array, tail: Uint8Array | null) => void

export class FrameReader {
  readonly #onFrame: OnFrame
  readonly #lengths = Buffer.alloc(LENGTHS)
  /** The frame that is coming in, its lengths not included, when it did not come in one piece. */
  #frame: Buffer | null = null
  /** Octets of `#frame`, or of `#lengths` while there is none. */
  #have = 0
  #tail = 0

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#frame) at = this.#fill(this.#frame, chunk, at)
      else if (this.#have > 0 || chunk.length - at < LENGTHS) at = this.#fillLengths(chunk, at)
      else at = this.#whole(chunk, at)
    }
  }

  /** A frame begins here, its lengths at least. */
  #whole(chunk: Buffer, at: number): number {
    const length = this.#measure(chunk, at)
    const begin = at + LENGTHS
    const end = begin + length
    if (end > chunk.length) {
      this.#frame = Buffer.allocUnsafeSlow(length)
      this.#have = 0
      return begin
    }
    const cut = end - this.#tail
    this.#onFrame(chunk.subarray(begin, cut), this.#tail > 0 ? copyOf(chunk, cut, end) : null)
    return end
  }

  #fillLengths(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#lengths, this.#have, at)
    this.#have += taken
    if (this.#have < LENGTHS) return at + taken
    const length = this.#measure(this.#lengths, 0)
    this.#have = 0
    if (length > 0) this.#frame = Buffer.allocUnsafeSlow(length)
    else this.#onFrame(NO_OCTETS, null)
    return at + taken
  }

  #fill(frame: Buffer, chunk: Buffer, at: number): number {
    const taken = chunk.copy(frame, this.#have, at)
    this.#have += taken
    if (this.#have < frame.length) return at + taken
    this.#frame = null
    this.#have = 0
    const cut = frame.length - this.#tail
    this.#onFrame(frame.subarray(0, cut), this.#tail > 0 ? frame.subarray(cut) : null)
    return at + taken
  }

  #measure(octets: Buffer, at: number): number {
    const length = octets.readUInt32BE(at)
    this.#tail = octets.readUInt32BE(at + 4)
    if (length > MAX_FRAME) throw new FrameTrouble(`a frame of ${length} octets`)
    if (this.#tail > length) throw new FrameTrouble('a frame of unknown form')
    return length
  }
}

function copyOf(octets: Buffer, from: number, to: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(to - from)
  octets.copy(copy, 0, from, to)
  return copy
}
