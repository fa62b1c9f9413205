/**
 * Un-dotting against a plain model, at every split, and with octets that mean something thrown together.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DataParser } from '../../shared/smtp/data-parser.ts'

interface Parsed {
  content: string
  bare: boolean
  nuls: number
  /** What came after the end of data; null when there was no end. */
  rest: string | null
}

function parse(pieces: readonly string[], normalise: boolean): Parsed {
  let content = ''
  const parser = new DataParser(normalise, (chunk, from, to) => {
    content += chunk.toString('latin1', from, to)
  })
  let rest: string | null = null
  for (const piece of pieces) {
    const chunk = Buffer.from(piece, 'latin1')
    if (rest !== null) {
      rest += piece
      continue
    }
    const end = parser.push(chunk, 0)
    if (end >= 0) rest = chunk.toString('latin1', end)
  }
  return { content, bare: parser.seen.bare, nuls: parser.seen.nuls, rest }
}

/** The rules as sentences: find the end, drop the first dot of each line, make newlines whole. */
function model(text: string, normalise: boolean): Parsed {
  const end = text.startsWith('.\r\n') ? 0 : text.indexOf('\r\n.\r\n') + 2
  assert.ok(end === 0 ? text.startsWith('.\r\n') : end > 1, 'the model needs an end')
  const raw = text.slice(0, end)
  const bare = /(^|[^\r])\n|\r(?!\n)/.test(raw)
  const plain = raw.replace(/(^|\r\n)\./g, '$1')
  return {
    content: normalise ? plain.replace(/\r\n|\r|\n/g, '\r\n') : plain,
    bare,
    nuls: raw.split('\0').length - 1,
    rest: text.slice(end + 3),
  }
}

const octets = fc
  .array(
    fc.constantFrom(
      '\r',
      '\n',
      '.',
      'x',
      '\r\n',
      '\r\n.',
      '\r\n..',
      '\n.\r\n',
      '\r\n.\n',
      '\0',
      '\xff',
      '\t',
    ),
  )
  .map((parts) => `${parts.join('')}\r\n.\r\nQUIT\r\n`)

for (const normalise of [false, true]) {
  const way = normalise ? 'normalised' : 'as it came'

  test(`whole, ${way}: as the model says`, () => {
    fc.assert(
      fc.property(octets, (text) => assert.deepEqual(parse([text], normalise), model(text, normalise))),
      { numRuns: 3000 },
    )
  })

  test(`at every split, ${way}: the same`, () => {
    fc.assert(
      fc.property(octets, (text) => {
        const whole = parse([text], normalise)
        for (let at = 1; at < text.length; at++)
          assert.deepEqual(parse([text.slice(0, at), text.slice(at)], normalise), whole)
        assert.deepEqual(parse([...text], normalise), whole)
      }),
      { numRuns: 300 },
    )
  })
}

test('in large chunks, which are looked at four octets at a time: as the model says', () => {
  const filler = fc.integer({ min: 0, max: 70 }).map((length) => 'plain\xe9'.repeat(12).slice(0, length))
  const lines = fc.array(fc.tuple(filler, fc.constantFrom('\r\n', '\r\n.', '\r', '\n', '\t', '.')), {
    minLength: 60,
    maxLength: 120,
  })
  fc.assert(
    fc.property(lines, (parts) => {
      const text = `${parts.flat().join('')}\r\n.\r\nQUIT\r\n`
      assert.deepEqual(parse([text], false), model(text, false))
    }),
    { numRuns: 300 },
  )
})

test('nothing but CRLF.CRLF ends the data', () => {
  for (const impostor of [
    '\n.\n',
    '\n.\r\n',
    '\r.\r',
    '\r\n.\n',
    '\r\n.\r',
    '\r.\r\n',
    '\n\n.\r\n',
    '\r\n.\r\r\n',
    'x.\r\n',
  ])
    assert.equal(parse([`x${impostor}MAIL`], false).rest, null, JSON.stringify(impostor))
})

test('content keeps every octet but the doubled dot', () => {
  const all = Buffer.from(
    Array.from({ length: 256 }, (_, n) => n).filter((n) => n !== 10 && n !== 13),
  ).toString('latin1')
  assert.equal(parse([`${all}\r\n..\r\n.\r\n`], false).content, `${all}\r\n.\r\n`)
})
