/**
 * Lines out of octets: limits, bad octets, and the same lines at every split.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ENDLESS, LINE_LIMIT, type Line, LineReader } from '../../shared/smtp/line-reader.ts'

function read(pieces: readonly Buffer[]): Line[] {
  const reader = new LineReader()
  const lines: Line[] = []
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      at = reader.read(piece, at)
      if (reader.line) lines.push(reader.line)
    }
  }
  return lines
}

function readText(text: string): Line[] {
  return read([Buffer.from(text, 'latin1')])
}

test('a line is what stands before CRLF', () => {
  assert.deepEqual(readText('EHLO x\r\nQUIT\r\nrest'), [
    { kind: 'line', text: 'EHLO x' },
    { kind: 'line', text: 'QUIT' },
  ])
})

test('bad lines say why', () => {
  assert.deepEqual(readText('NOOP\n'), [{ kind: 'bad-line', why: 'bare-newline' }])
  assert.deepEqual(readText('\n'), [{ kind: 'bad-line', why: 'bare-newline' }])
  assert.deepEqual(readText('NO\rOP\r\n'), [{ kind: 'bad-line', why: 'control' }])
  assert.deepEqual(readText('NO\tOP\r\n'), [{ kind: 'bad-line', why: 'control' }])
  assert.deepEqual(readText('\xff\r\n'), [{ kind: 'bad-line', why: 'not-utf8' }])
  assert.deepEqual(readText('\xc3\xbc\r\n'), [{ kind: 'line', text: 'ü' }])
})

test('the longest line passes, one octet more does not, and the next line is in step', () => {
  const longest = `${'x'.repeat(LINE_LIMIT - 2)}\r\n`
  assert.deepEqual(
    readText(`${longest}y${longest}QUIT\r\n`).map((line) =>
      line.kind === 'line' ? line.text.length : line.why,
    ),
    [LINE_LIMIT - 2, 'too-long', 4],
  )
})

test('an endless line is told before it ends, and never kept', () => {
  const piece = Buffer.alloc(1000, 'x')
  const reader = new LineReader()
  let told = 0
  for (let n = 0; n < 2 * (ENDLESS / 1000); n++) {
    reader.read(piece, 0)
    if (reader.line) told++
  }
  assert.ok(told > 0)
})

test('the same lines at every split', () => {
  const octets = fc
    .array(
      fc.constantFrom('\r\n', '\n', '\r', 'MAIL', 'x'.repeat(700), ' ', '\0', '\xc3\xbc', '\xc3', '\x80'),
    )
    .map((parts) => Buffer.from(parts.join(''), 'latin1'))
  fc.assert(
    fc.property(octets, fc.array(fc.nat(), { maxLength: 20 }), (whole, cuts) => {
      const places = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b)
      const pieces = [0, ...places].map((from, n) => whole.subarray(from, places[n] ?? whole.length))
      assert.deepEqual(read(pieces), read([whole]))
      assert.deepEqual(read([...whole].map((octet) => Buffer.from([octet]))), read([whole]))
    }),
    { numRuns: 300 },
  )
})
