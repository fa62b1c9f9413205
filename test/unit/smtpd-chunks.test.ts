/**
 * Content by BDAT: the parser at every split, octet for octet, and every line end that is none.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChunkParser } from '../../services/smtpd/chunk-parser.ts'

function parse(pieces: readonly Buffer[], normalise: boolean) {
  let content = ''
  const parser = new ChunkParser(normalise, (chunk, from, to) => {
    content += chunk.toString('latin1', from, to)
  })
  for (const piece of pieces) parser.push(piece, 0, piece.length)
  parser.end()
  const { bare, nuls } = parser.seen
  return { content, bare, nuls }
}

const BARE = /\r(?!\n)|(?<!\r)\n/
const text = fc
  .array(fc.constantFrom('a', '.', '\r', '\n', '\r\n', 'word ', '\0', '\xff', '\r\n.\r\n'), { maxLength: 30 })
  .map((parts) => Buffer.from(parts.join(''), 'latin1'))

test('text is what it was; bare newlines are seen, and made whole where that is asked for', () => {
  fc.assert(
    fc.property(text, fc.array(fc.nat(), { maxLength: 6 }), (whole, cuts) => {
      const places = cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b)
      const pieces = [0, ...places].map((from, n) => whole.subarray(from, places[n] ?? whole.length))
      const plain = whole.toString('latin1')
      const bare = BARE.test(plain)
      const nuls = plain.split('\0').length - 1
      assert.deepEqual(parse(pieces, false), { content: plain, bare, nuls })
      assert.deepEqual(parse(pieces, true), {
        content: plain.replace(new RegExp(BARE, 'g'), '\r\n'),
        ...{ bare, nuls },
      })
    }),
    { numRuns: 5000 },
  )
})

test('only the range that was given is looked at', () => {
  let content = ''
  const parser = new ChunkParser(false, (chunk, from, to) => {
    content += chunk.toString('latin1', from, to)
  })
  parser.push(Buffer.from('\nab\r\ncd\r'), 1, 7)
  assert.deepEqual([content, parser.seen.bare], ['ab\r\ncd', false])
})
