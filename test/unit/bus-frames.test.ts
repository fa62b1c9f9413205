/** Frames: what was written comes out again, at every split, and nothing of it is shared with the reader's buffer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FrameReader, FrameTrouble, MAX_FRAME, packFrame, unpackHead } from '../../shared/bus/frames.ts'

interface Heard {
  head: unknown
  tail: string | null
}

function wire(frames: readonly Heard[]): Buffer {
  const parts = frames.map(({ head, tail }) => {
    const octets = tail === null ? null : Buffer.from(tail)
    return Buffer.concat([packFrame([head], octets), octets ?? Buffer.alloc(0)])
  })
  return Buffer.concat(parts)
}

/** Reads through one buffer, which is wiped after each push as a socket's is. */
function read(octets: Buffer, cuts: readonly number[]): Heard[] {
  const raw: { head: unknown; tail: Uint8Array | null }[] = []
  const reader = new FrameReader((head, tail) => {
    const [only] = unpackHead(head) as [unknown]
    raw.push({ head: only, tail })
  })
  let from = 0
  for (const to of [...cuts, octets.length]) {
    const window = Buffer.from(octets.subarray(from, to))
    reader.push(window)
    window.fill(0xee)
    from = to
  }
  return raw.map(({ head, tail }) => ({ head, tail: tail && Buffer.from(tail).toString() }))
}

const frames = fc.array(
  fc.record({
    head: fc.oneof(fc.string(), fc.integer(), fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string())),
    tail: fc.option(fc.string({ minLength: 1, maxLength: 40 })),
  }),
  { minLength: 1, maxLength: 5 },
)

test('every split gives the same frames, and each owns its octets', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(400), { maxLength: 8 }), (sent, places) => {
      const octets = wire(sent)
      const expected = sent.map(({ head, tail }) => ({ head: plain(head), tail }))
      const cuts = [...new Set(places.filter((at) => at < octets.length))].sort((a, b) => a - b)
      assert.deepEqual(read(octets, cuts), expected)
      assert.deepEqual(read(octets, [...octets.keys()].slice(1)), expected)
    }),
    { numRuns: 300 },
  )
})

test('octets in a head are copies too', () => {
  const octets = packFrame([{ content: Buffer.from('kept') }], null)
  const heads: { content: Uint8Array }[] = []
  const reader = new FrameReader(
    (head) => void heads.push((unpackHead(head) as [{ content: Uint8Array }])[0]),
  )
  reader.push(octets)
  octets.fill(0)
  assert.equal(Buffer.from(heads[0]?.content ?? []).toString(), 'kept')
})

test('lengths that cannot be', () => {
  const lengths = (frame: number, tail: number) => {
    const octets = Buffer.alloc(8)
    octets.writeUInt32BE(frame, 0)
    octets.writeUInt32BE(tail, 4)
    return octets
  }
  const push = (octets: Buffer) => new FrameReader(() => undefined).push(octets)
  assert.throws(() => push(lengths(MAX_FRAME + 1, 0)), FrameTrouble)
  assert.throws(() => push(lengths(2, 3)), FrameTrouble)
  assert.doesNotThrow(() => push(lengths(MAX_FRAME, MAX_FRAME)))
})

/** As msgpack gives objects back: with a prototype. */
function plain(head: unknown): unknown {
  return JSON.parse(JSON.stringify(head))
}
