/**
 * The canonical body, RFC 6376 section 3.4: the examples of the RFC, every split, and what stands at the end.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { BodyHash, type Canonicalization } from '../../shared/dkim/body-hash.ts'

/** Straight from the text of the RFC, on the whole. */
function canonical(body: string, how: Canonicalization): string {
  const lines = body.endsWith('\r\n') || body === '' ? body : `${body}\r\n`
  const spaced = how === 'simple' ? lines : lines.replace(/[ \t]+(?=\r\n)/g, '').replace(/[ \t]+/g, ' ')
  const bare = spaced.replace(/(?:\r\n)+$/, '')
  return bare === '' && how === 'relaxed' ? '' : `${bare}\r\n`
}

function hashOf(pieces: readonly string[], how: Canonicalization): { digest: string; octets: number } {
  const hash = new BodyHash(how)
  for (const piece of pieces) hash.push(Buffer.from(piece, 'latin1'))
  const { digest, octets } = hash.end()
  return { digest: digest.toString('hex'), octets }
}

function expected(text: string): { digest: string; octets: number } {
  return { digest: createHash('sha256').update(text, 'latin1').digest('hex'), octets: text.length }
}

test('the example of RFC 6376 section 3.4.5', () => {
  const body = ' C \r\nD \t E\r\n\r\n\r\n'
  assert.deepEqual(hashOf([body], 'relaxed'), expected(' C\r\nD E\r\n'))
  assert.deepEqual(hashOf([body], 'simple'), expected(' C \r\nD \t E\r\n'))
})

test('empty bodies: simple has one line end, relaxed nothing', () => {
  for (const body of ['', '\r\n', '\r\n\r\n\r\n']) {
    assert.deepEqual(hashOf([body], 'simple'), expected('\r\n'))
    assert.deepEqual(hashOf([body], 'relaxed'), expected(''))
  }
  assert.deepEqual(hashOf([' \t\r\n \r\n'], 'relaxed'), expected(''))
})

test('a body without a line end gets one; bare CR and LF are text', () => {
  assert.deepEqual(hashOf(['x'], 'simple'), expected('x\r\n'))
  assert.deepEqual(hashOf(['x '], 'relaxed'), expected('x\r\n'))
  assert.deepEqual(hashOf(['x\ry\nz\r'], 'relaxed'), expected('x\ry\nz\r\r\n'))
})

test('many empty lines and long lines go through whole', () => {
  const body = `a${'\r\n'.repeat(20_000)}${'b '.repeat(40_000)}\r\n`
  assert.deepEqual(hashOf([body], 'simple'), expected(canonical(body, 'simple')))
  assert.deepEqual(hashOf([body], 'relaxed'), expected(canonical(body, 'relaxed')))
})

test('any body, cut anywhere, has the hash of the whole', () => {
  const parts = fc.array(fc.constantFrom('a', 'Z', ' ', '\t', '\r\n', '\r\n\r\n', '\r', '\n', '.', '\xe9'))
  fc.assert(
    fc.property(parts, fc.constantFrom('simple' as const, 'relaxed' as const), (pieces, how) => {
      const whole = hashOf([pieces.join('')], how)
      assert.deepEqual(hashOf(pieces, how), whole)
      assert.deepEqual(hashOf([...pieces.join('')], how), whole)
    }),
    { numRuns: 2000 },
  )
})

test('without bare line ends it is what the RFC says, in one sentence each', () => {
  const parts = fc.array(fc.constantFrom('a', 'Z', ' ', '\t', '\r\n', '\r\n\r\n', '.'))
  fc.assert(
    fc.property(parts, fc.constantFrom('simple' as const, 'relaxed' as const), (pieces, how) => {
      const body = pieces.join('')
      assert.deepEqual(hashOf([body], how), expected(canonical(body, how)))
    }),
    { numRuns: 2000 },
  )
})
