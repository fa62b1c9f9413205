/**
 * The table of RFCs in shared/README.md and the code agree: what is cited is listed, and what is listed as done
 * is cited somewhere. Rows are one short line each, in order, so that two people seldom change the same one.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sourceFiles } from '../support/source-tree.ts'

interface Row {
  number: number
  state: string
}

function table(): Row[] {
  const rows = readFileSync('shared/README.md', 'utf8').matchAll(/^\| RFC (\d+) \| [^|]+ \| (\w+) \|$/gm)
  return [...rows].map((match) => ({ number: Number(match[1]), state: match[2] ?? '' }))
}

/** Number to the files that cite it. */
function citations(): ReadonlyMap<number, readonly string[]> {
  const cited = new Map<number, string[]>()
  for (const { path, lines } of sourceFiles(['services', 'shared', 'commands'])) {
    const numbers = new Set([...lines.join('\n').matchAll(/RFC (\d+)/g)].map((match) => Number(match[1])))
    for (const number of numbers) cited.set(number, [...(cited.get(number) ?? []), path])
  }
  return cited
}

const rows = table()
const cited = citations()

test('every RFC cited in the code is in the table', () => {
  assert.ok(cited.size > 20, 'the search for citations finds some')
  const listed = new Set(rows.map(({ number }) => number))
  const missing = [...cited].filter(([number]) => !listed.has(number))
  assert.deepEqual(
    missing.map(([number, paths]) => `RFC ${number}: ${paths.join(', ')}`),
    [],
  )
})

test('every row of the table is read, and says yes, partly or no', () => {
  assert.ok(rows.length > 10, 'the table is read')
  const lines = readFileSync('shared/README.md', 'utf8').match(/^\| RFC \d+ .*$/gm) ?? []
  assert.equal(rows.length, lines.length, 'a row that is not `| RFC n | what | done |`')
  for (const { number, state } of rows) assert.match(state, /^(yes|partly|no)$/, `RFC ${number}`)
})

test('what is followed is cited beside the line that follows it', () => {
  const uncited = rows.filter(({ number, state }) => state !== 'no' && !cited.has(number))
  assert.deepEqual(
    uncited.map(({ number }) => `RFC ${number}`),
    [],
  )
})

test('rows are in order, and no RFC is listed twice', () => {
  const numbers = rows.map(({ number }) => number)
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].toSorted((one, other) => one - other),
  )
})
