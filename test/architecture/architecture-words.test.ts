/**
 * What no file may contain, how long files and functions may be, and what each folder must have.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { at, functionsIn, sourceFiles } from '../support/source-tree.ts'

const MOST_LINES = 350
const MOST_LINES_OF_FUNCTION = 60
/** A stage for tests may be set in one go. */
const MOST_LINES_IN_TESTS = 100
const files = sourceFiles()

function linesWith(pattern: RegExp, among = files): string[] {
  return among.flatMap((file) =>
    file.lines.flatMap((line, n) => (pattern.test(line) ? [at(file, n + 1, line.trim())] : [])),
  )
}

test('no file is far beyond the usual size', () => {
  const long = files.filter((file) => file.lines.length > MOST_LINES && !file.path.startsWith('test/'))
  assert.deepEqual(
    long.map((file) => `${file.path}: ${file.lines.length} lines`),
    [],
  )
})

test('no function is far beyond the usual size', () => {
  const counted = files.flatMap((file) => functionsIn(file).map((one) => ({ file, ...one })))
  assert.ok(counted.length > files.length, 'the search for functions finds some')
  // the callback of a test and of a suite holds other functions and is none itself
  const judged = counted.filter((one) => !/^(await )?(test|describe|suite|it|t\.test)\(/.test(one.text))
  const most = (path: string) => (path.startsWith('test/') ? MOST_LINES_IN_TESTS : MOST_LINES_OF_FUNCTION)
  const long = judged.filter((one) => one.length > most(one.file.path))
  assert.deepEqual(
    long.map((one) => at(one.file, one.line, `${one.length} lines: ${one.text}`)),
    [],
  )
})

test('every file opens with what it is for', () => {
  const silent = files.filter((file) => !/^(#!.*\n)?\/\*\*\n? \*? ?/.test(file.lines.slice(0, 3).join('\n')))
  assert.deepEqual(
    silent.map((file) => file.path),
    [],
  )
})

test('main files are wiring only', () => {
  const mains = files.filter((file) => /^services\/\w+\/main\.ts$/.test(file.path))
  assert.deepEqual(
    mains.filter((file) => file.lines.length > 80).map((file) => `${file.path}: ${file.lines.length} lines`),
    [],
  )
})

test('no unfinished business', () => {
  const marks = ['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK']
  assert.deepEqual(linesWith(new RegExp(`\\b(${marks.join('|')})\\b`)), [])
})

test('no way around the types', () => {
  const ways = [
    '@ts-' + 'ignore',
    '@ts-' + 'expect-error',
    '@ts-' + 'nocheck',
    'as ' + 'any\\b',
    ': ' + 'any\\b',
  ]
  assert.deepEqual(
    linesWith(new RegExp(ways.join('|'))).filter((line) => !/^\S+ (\*|\/\/)/.test(line)),
    [],
  )
})

test('no path or name of one machine', () => {
  const homes = ['/ho' + 'me/[a-z]+/(?!user)', '/wo' + 'rk/', '/ro' + 'ot/', '/Us' + 'ers/']
  const product = files.filter((file) => !file.path.startsWith('test/'))
  assert.deepEqual(linesWith(new RegExp(homes.join('|')), product), [])
})

test('no module named after nothing', () => {
  const empty = files.filter((file) => /(^|\/)(utils?|helpers?|common|misc|manager)(-|\.|\/)/.test(file.path))
  assert.deepEqual(
    empty.map((file) => file.path),
    [],
  )
})

test('every service and the top of shared have a README', () => {
  const folders = readdirSync('services').map((name) => join('services', name))
  const missing = [...folders, 'shared', 'commands', '.'].filter(
    (name) => !existsSync(join(name, 'README.md')),
  )
  assert.deepEqual(missing, [])
})

test('what the READMEs point at exists', () => {
  const readmes = ['README.md', 'shared/README.md', 'commands/README.md'].concat(
    readdirSync('services').map((name) => `services/${name}/README.md`),
  )
  const dead = readmes.filter(existsSync).flatMap((readme) => {
    const text = readFileSync(readme, 'utf8')
    const links = [...text.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map((match) => match[1] ?? '')
    const named = [...text.matchAll(/`((?:services|shared|commands|config|test)\/[\w./-]+)`/g)].map(
      (m) => m[1] ?? '',
    )
    const fromHere = links.filter((link) => !/^[a-z]+:/.test(link)).map((link) => join(readme, '..', link))
    return [...fromHere, ...named].filter((path) => !existsSync(path)).map((path) => `${readme}: ${path}`)
  })
  assert.deepEqual(dead, [])
})
