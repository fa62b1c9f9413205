/** Lexer and parser: positions, escapes, recovery; and that nothing which anyone can write makes them throw. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadConfigText, printProblems } from '../../shared/config/check.ts'
import { tokenize } from '../../shared/config/lexer.ts'
import { parse } from '../../shared/config/parser.ts'
import { Problems } from '../../shared/config/problem.ts'
import type { Source } from '../../shared/config/source.ts'
import type { Item } from '../../shared/config/tree.ts'
import { anyCharacter } from '../support/any-character.ts'

const timeout = 60_000
const sections = new Set(['options', 'listener', 'zone', 'tls'])

function source(text: string): Source {
  return { name: 'a.conf', directory: '/', text }
}

function show(item: Item): unknown {
  if (item.kind === 'not') return '!'
  if (item.kind === 'word') return item.text
  return item.statements.map(({ items }) => items.map(show))
}

function parsed(text: string): { tree: unknown; places: string[] } {
  const problems = new Problems()
  const tree = parse(source(text), sections, problems).map(({ items }) => items.map(show))
  return { tree, places: problems.sorted().map(({ at, message }) => `${at.start} ${message}`) }
}

test('words, strings, blocks and signs keep their place', { timeout }, () => {
  const tokens = tokenize(source('a "b c" !{ 1.2.3.0/24; };\n  x#y /z//w'), new Problems())
  assert.deepEqual(
    tokens.map(({ kind, text, start, leads }) => [kind, text, start, leads]),
    [
      ['word', 'a', 0, true],
      ['string', 'b c', 2, false],
      ['!', '!', 8, false],
      ['{', '{', 9, false],
      ['word', '1.2.3.0/24', 11, false],
      [';', ';', 21, false],
      ['}', '}', 23, false],
      [';', ';', 24, false],
      ['word', 'x#y', 28, true],
      ['word', '/z//w', 32, false],
      ['end', '', 37, false],
    ],
  )
})

test('escapes in strings', { timeout }, () => {
  assert.deepEqual(parsed('a "say \\"hi\\" \\\\o/";').tree, [['a', 'say "hi" \\o/']])
})

test('nested blocks and empty statements', { timeout }, () => {
  assert.deepEqual(parsed(';;a { b { c d; }; ; !e; };'), {
    tree: [
      [
        'a',
        [
          ['b', [['c', 'd']]],
          ['!', 'e'],
        ],
      ],
    ],
    places: [],
  })
})

test('a missing semicolon is told right behind what it should follow', { timeout }, () => {
  assert.deepEqual(parsed('a { b c }; d'), {
    tree: [['a', [['b', 'c']]], ['d']],
    places: ['7 missing `;`', '12 missing `;`'],
  })
})

test('a section at the margin closes what was left open', { timeout }, () => {
  const { tree, places } = parsed('listener "a" {\n  port 1;\n  relay { x;\nzone "b" { c; };\n')
  assert.deepEqual(tree, [
    [
      'listener',
      'a',
      [
        ['port', '1'],
        ['relay', [['x']]],
      ],
    ],
    ['zone', 'b', [['c']]],
  ])
  assert.deepEqual(places, ['33 this block is never closed'])
})

test('an option called like a section does not close anything', { timeout }, () => {
  assert.deepEqual(parsed('listener "a" {\ntls "x" required;\n};').places, [])
})

test('what comes after an odd brace or string is still read', { timeout }, () => {
  assert.deepEqual(parsed('a; } b "x; c;').tree, [['a'], ['b', 'x'], ['c']])
})

const piece = fc.oneof(
  fc.constantFrom(
    '{',
    '}',
    ';',
    '!',
    '"',
    '\\',
    '/*',
    '*/',
    '//',
    '#',
    '\n',
    ' ',
    '\t',
    '\0',
    '\ufffd',
    '\ud800',
    ',',
  ),
  fc.constantFrom(
    'options',
    'listener',
    'zone',
    'acl',
    'tls',
    'logging',
    'channel',
    'hosts',
    'relay',
    'port',
    'type',
  ),
  fc.constantFrom(
    '"mx"',
    '25',
    '5m',
    '25M',
    'any',
    '10.0.0.0/8',
    '::1',
    'local',
    'constructor',
    '__proto__',
    'include',
  ),
  fc.string({ maxLength: 8, unit: anyCharacter }),
)
const soup = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(' '))
const glued = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(''))
const machine = { asCaller: true, hostname: 'a.example', interfaces: ['127.0.0.1/8'] }

test('any text ends in slices or in problems that can be printed', { timeout: 120_000 }, () => {
  fc.assert(
    fc.property(fc.oneof(soup, glued, fc.string({ unit: anyCharacter })), (text) => {
      const checked = loadConfigText(text, '/nonexistent/fuzz.conf', machine)
      if (checked.kind === 'ok') return
      assert.ok(checked.problems.some(({ severity }) => severity === 'error'))
      for (const line of printProblems(checked.problems).split('\n'))
        assert.doesNotMatch(line, /[^\P{Cc}\t]/u)
    }),
    { numRuns: 1500 },
  )
})

test('a good config with anything cut out or put in never throws', { timeout: 120_000 }, () => {
  const good =
    'options { hostname "mx.example.org"; };\nacl "a" { !b; { any; }; };\nacl "b" { 10.0.0.0/8; };\nlistener "mx" { port 25; relay { a; }; };\nlogging { channel "m" { stderr; }; category default { "m"; }; };\nzone "." { type relay; hosts { "h.example" port 24 lmtp; }; };\n'
  fc.assert(
    fc.property(fc.nat(good.length), fc.nat(20), piece, (at, length, put) => {
      const text = good.slice(0, at) + put + good.slice(at + length)
      const checked = loadConfigText(text, '/nonexistent/fuzz.conf', machine)
      if (checked.kind === 'bad') assert.notEqual(printProblems(checked.problems), '')
    }),
    { numRuns: 1000 },
  )
})
