/** CRLF to LF, whole and in pieces. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toUnix, UnixNewlines } from '../../services/lda/newline.ts'

function inPieces(content: Buffer, cuts: readonly number[]): string {
  const newlines = new UnixNewlines()
  const written: Buffer[] = []
  let from = 0
  for (const cut of [...cuts, content.length]) {
    written.push(newlines.push(content.subarray(from, cut)))
    from = cut
  }
  written.push(newlines.end())
  return Buffer.concat(written).toString('latin1')
}

test('CRLF becomes LF and nothing else changes', () => {
  const cases: [string, string][] = [
    ['', ''],
    ['a\r\nb\r\n', 'a\nb\n'],
    ['no newline at the end', 'no newline at the end'],
    ['lone\rcr and \n lf\r\r\n', 'lone\rcr and \n lf\r\n'],
    ['8-bit \xff\x00\r\n', '8-bit \xff\x00\n'],
    ['\r', '\r'],
  ]
  for (const [from, to] of cases)
    assert.equal(toUnix(Buffer.from(from, 'latin1')).toString('latin1'), to, JSON.stringify(from))
})

test('a message in pieces gives what it gives whole, at every split', () => {
  const content = Buffer.from('ab\r\n\r\r\n\n\rc\r\n.\r\n\r', 'latin1')
  const whole = toUnix(content).toString('latin1')
  for (let first = 0; first <= content.length; first++)
    for (let second = first; second <= content.length; second++)
      assert.equal(inPieces(content, [first, second]), whole, `split at ${first}, ${second}`)
  const everyByte = [...content.keys()]
  assert.equal(inPieces(content, everyByte), whole)
})

test('any bytes at any split', () => {
  const octet = fc.constantFrom(13, 10, 65, 0, 255)
  fc.assert(
    fc.property(fc.array(octet), fc.array(fc.nat()), (octets, rawCuts) => {
      const content = Buffer.from(octets)
      const cuts = rawCuts.map((cut) => cut % (content.length + 1)).sort((a, b) => a - b)
      assert.equal(inPieces(content, cuts), toUnix(content).toString('latin1'))
    }),
  )
})
