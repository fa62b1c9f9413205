/**
 * Bounds of header and lines: each at its edge, over the borders of pieces, and with headers that are none.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type HeaderTerms, headerText, LineMeter, whyNotHeader } from '../../services/smtpd/header-bounds.ts'
import type { BoundsSlice } from '../../shared/config/bounds.ts'
import { stageBounds } from '../system/smtpd-stage.ts'

function fault(
  content: string,
  change: Partial<BoundsSlice> = {},
  more: Partial<HeaderTerms & { more: boolean }> = {},
) {
  const terms = { bounds: { ...stageBounds, ...change }, utf8: false, binary: false, ...more }
  return whyNotHeader(headerText(Buffer.from(content, 'latin1')), more.more === true, terms)
}

test('each bound at its edge', () => {
  const line = `X: ${'y'.repeat(7)}\r\n`
  assert.equal(fault(`${line}\r\n`, { headerLine: 10 }), null)
  assert.equal(fault(`${line}\r\n`, { headerLine: 9 }), 'long-line')
  assert.equal(fault(`${line}\r\n${'z'.repeat(99)}\r\n`, { headerLine: 10 }), null, 'the body is no header')
  assert.equal(fault(`${line}\r\n`, { headerSize: 14 }), null)
  assert.equal(fault(`${line}\r\n`, { headerSize: 13 }), 'long-header')
  const fields = `${'A: b\r\n c\r\n'.repeat(3)}\r\nD: e\r\n`
  assert.equal(fault(fields, { headerFields: 3 }), null, 'what is folded counts once')
  assert.equal(fault(fields, { headerFields: 2 }), 'many-fields')
  const hops = `${'Received: x\r\n'.repeat(4)}\r\nReceived: y\r\n`
  assert.equal(fault(hops, { hops: 4 }), null)
  assert.equal(fault(hops, { hops: 3 }), 'looping')
})

test('NUL and 8 bits in a header, by rule', () => {
  assert.equal(fault('A: \0\r\n\r\n'), 'nul-in-header')
  assert.equal(fault('A: \0\r\n\r\n', { headerNul: 'pass' }), null)
  assert.equal(fault('A: b\r\n\r\n\0'), null)
  assert.equal(fault('A: \xe9\r\n\r\n'), null)
  assert.equal(fault('A: \xe9\r\n\r\n', { header8bit: 'refuse' }), 'eight-bit-header')
  assert.equal(fault('A: \xe9\r\n\r\n', { header8bit: 'refuse' }, { utf8: true }), null)
  assert.equal(fault('A: b\r\n\r\n\xe9', { header8bit: 'refuse' }), null)
})

test('binary content has a header of lines all the same', () => {
  for (const bare of ['A: b\nC: d\r\n\r\n', 'A: b\rC: d\r\n\r\n', 'A: b\n\n\n'])
    assert.equal(fault(bare, {}, { binary: true }), 'bare-newline', JSON.stringify(bare))
  assert.equal(fault('A: b\r\n\r\n\n\r', {}, { binary: true }), null)
})

test('a header that does not end: refused while it may go on, taken where it is none', () => {
  const endless = 'A: b\r\n'.repeat(5000)
  const few = { headerSize: 8192, headerFields: 100_000 }
  assert.equal(fault(endless, few, { more: true }), 'long-header')
  assert.equal(fault(endless, few), 'long-header')
  const text = 'just words, for page after page\r\n'.repeat(5000)
  assert.equal(fault(text, few, { more: true }), null)
  assert.equal(fault(`A: b\r\n${text}`, few, { more: true }), null)
  assert.equal(fault('x'.repeat(50_000), few, { more: true }), null, 'a line without end and colon')
  assert.equal(fault(`A:${'x'.repeat(50_000)}`, few, { more: true }), 'long-header')
})

test('lines are measured over the borders of pieces', () => {
  const text = fc
    .array(fc.constantFrom('\r\n', 'abc', 'x', 'longer line'), { maxLength: 40 })
    .map((parts) => parts.join(''))
  fc.assert(
    fc.property(
      text,
      fc.array(fc.nat(), { maxLength: 6 }),
      fc.integer({ min: 1, max: 30 }),
      (whole, cuts, limit) => {
        const octets = Buffer.from(whole)
        const places = cuts.map((cut) => cut % (octets.length + 1)).sort((a, b) => a - b)
        const meter = new LineMeter(limit)
        let from = 0
        for (const to of [...places, octets.length]) {
          meter.push(octets, from, to)
          from = to
        }
        const lines = whole.split('\r\n')
        const last = lines.pop() ?? ''
        const longest = Math.max(0, ...lines.map((line) => line.length))
        // of a line that has not ended two octets may be its end
        assert.equal(meter.tooLong, longest > limit || last.length > limit + 2)
      },
    ),
    { numRuns: 2000 },
  )
})
