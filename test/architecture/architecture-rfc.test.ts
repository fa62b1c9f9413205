/**
 * The table of RFCs in shared/README.md and the code agree: what is cited is listed, and what is listed as done
 * is cited in the files it names.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { sourceFiles } from '../support/source-tree.ts'

interface Row {
  number: string
  state: string
  files: string[]
}

function table(): Row[] {
  const rows = readFileSync('shared/README.md', 'utf8').matchAll(
    /^\| RFC (\d+) +\| [^|]+ \| (\w+) +\| ([^|]*) *\|$/gm,
  )
  return [...rows].map((match) => ({
    number: match[1] ?? '',
    state: match[2] ?? '',
    files: [...(match[3] ?? '').matchAll(/`([^`]+)`/g)].map((one) => one[1] ?? ''),
  }))
}

const rows = table()

test('every RFC cited in the code is in the table', () => {
  const listed = new Set(rows.map((row) => row.number))
  const cited = sourceFiles(['services', 'shared', 'commands']).flatMap((file) =>
    [...file.lines.join('\n').matchAll(/RFC (\d+)/g)].map((match) => ({
      path: file.path,
      number: match[1] ?? '',
    })),
  )
  assert.ok(cited.length > 20, 'the search for citations finds some')
  const missing = cited
    .filter((one) => !listed.has(one.number))
    .map((one) => `${one.path}: RFC ${one.number}`)
  assert.deepEqual([...new Set(missing)], [])
})

test('a row says yes, partly or no, and names files that cite it', () => {
  assert.ok(rows.length > 10, 'the table is read')
  for (const row of rows) {
    assert.match(row.state, /^(yes|partly|no)$/, `RFC ${row.number}`)
    assert.equal(
      row.files.length === 0,
      row.state === 'no',
      `RFC ${row.number}: files, unless the answer is no`,
    )
    for (const path of row.files) {
      assert.ok(existsSync(path), `RFC ${row.number}: ${path} does not exist`)
      assert.match(readFileSync(path, 'utf8'), new RegExp(`RFC ${row.number}\\b`), `${path} does not cite it`)
    }
  }
})

test('no RFC is listed twice', () => {
  const numbers = rows.map((row) => row.number)
  assert.deepEqual(
    numbers.filter((one, at) => numbers.indexOf(one) !== at),
    [],
  )
})
