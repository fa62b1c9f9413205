/**
 * Maps that are files: what keys find in them, which lines are no good, and which keys are asked for.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keysOf } from '../../services/resolver/maps/keys.ts'
import { parseMapText } from '../../shared/config/map-text.ts'

function find(kind: 'hash' | 'cidr' | 'regexp', text: string, key: string) {
  const entry = parseMapText(kind, text).value.find(key)
  return entry === null || entry === 'faulty' ? entry : entry.value
}

test('hash: lines of Postfix, lines of ours, comments and continuations', () => {
  const text = [
    '# who is who',
    'Anna@Example.org  ben,',
    '    carl',
    'list: dora',
    '"with space" "a \\"b\\"; c";',
    '"plain" 1000;',
    'alone',
    'ü@bücher.example  x',
  ].join('\n')
  const { value, faults } = parseMapText('hash', text)
  assert.deepEqual(faults, [])
  assert.equal(value.size, 6)
  assert.equal(find('hash', text, 'anna@EXAMPLE.org'), 'ben, carl')
  assert.equal(find('hash', text, 'list'), 'dora')
  assert.equal(find('hash', text, 'with space'), 'a "b"; c')
  assert.equal(find('hash', text, 'plain'), '1000')
  assert.equal(find('hash', text, 'alone'), '')
  assert.equal(find('hash', text, 'Ü@xn--bcher-kva.example'), 'x')
  assert.equal(find('hash', text, 'nobody'), null)
})

test('hash: with a bad line what is not found may be in it', () => {
  const text = 'a b\n"c d\na e\n'
  assert.deepEqual(parseMapText('hash', text).faults, [
    { line: 2, why: 'expected "key" "value";' },
    { line: 3, why: 'a is there already, in line 1' },
  ])
  assert.equal(find('hash', text, 'a'), 'b')
  assert.equal(find('hash', text, 'c'), 'faulty')
})

test('cidr: the first line that fits, whatever its length', () => {
  const text = '192.0.2.66 one\n192.0.2.0/24 net\n192.0.2.67 late\n2001:db8::/32 six\n'
  assert.equal(find('cidr', text, '192.0.2.66'), 'one')
  assert.equal(find('cidr', text, '192.0.2.67'), 'net')
  assert.equal(find('cidr', text, '2001:DB8:1::7'), 'six')
  assert.equal(find('cidr', text, '::ffff:192.0.2.1'), 'net')
  assert.equal(find('cidr', text, '198.51.100.1'), null)
  assert.equal(find('cidr', text, 'ann@example.org'), null)
})

test('cidr: behind a bad line nothing is certain', () => {
  const text = '192.0.2.0/24 net\n192.0.3.7/24 oops\n0.0.0.0/0 all\n'
  assert.match(parseMapText('cidr', text).faults[0]?.why ?? '', /bits set behind its prefix/)
  assert.equal(find('cidr', text, '192.0.2.1'), 'net')
  assert.equal(find('cidr', text, '198.51.100.1'), 'faulty')
})

test('regexp: groups, flags, negation, and what RE2 does not take', () => {
  const text = '/^list-(.*)@(.*)$/ $1-owner@$2 costs $$1\n/^CASE/i yes\n!/@/ no at\n'
  assert.equal(find('regexp', text, 'LIST-a@b'), 'a-owner@b costs $1')
  assert.equal(find('regexp', text, 'CASE@'), 'yes')
  assert.equal(find('regexp', text, 'case@'), null)
  assert.equal(find('regexp', text, 'plain'), 'no at')
  for (const bad of ['/(a)\\1/ x', '/(?=a)b/ x', '/(/ x', 'a b', '/a/x y', '/a/ $1', '!/(a)/ $1'])
    assert.equal(parseMapText('regexp', bad).faults.length, 1, bad)
})

test('regexp: a pattern that would take a back-tracking engine for ever takes a moment', {
  timeout: 30_000,
}, () => {
  assert.equal(find('regexp', '/^(a+)+$/ x\n', `${'a'.repeat(900)}!`), null)
  assert.equal(find('regexp', '/(x+x+)+y/ x\n', 'x'.repeat(900)), null)
})

test('the order of keys', () => {
  assert.deepEqual(keysOf('address', 'Ann+x@a.Example.org', '+'), [
    'ann+x@a.example.org',
    'ann@a.example.org',
    '@a.example.org',
    '@.example.org',
    '@.org',
  ])
  assert.deepEqual(keysOf('address', 'ann@example', ''), ['ann@example', '@example'])
  assert.deepEqual(keysOf('address', '', '+'), ['<>'])
  assert.deepEqual(keysOf('address', 'ann@[192.0.2.1]', '+'), ['ann@[192.0.2.1]', '@[192.0.2.1]'])
  assert.deepEqual(keysOf('name', 'ann+x@a.example', '+'), ['ann+x@a.example', 'ann+x'])
  assert.deepEqual(keysOf('rest', 'ann@a.example', '+'), ['@a.example', '@.example'])
  assert.deepEqual(keysOf('host', 'MX.a.example', '+'), ['mx.a.example', '.a.example', '.example'])
  assert.deepEqual(keysOf('client', '192.0.2.7', '+'), ['192.0.2.7', '192.0.2', '192.0', '192'])
  assert.deepEqual(keysOf('client', '2001:db8:1:2::7', '+'), [
    '2001:db8:1:2::7',
    '2001:db8:1:2::/64',
    '2001:db8:1::/48',
    '2001:db8::/32',
  ])
  assert.deepEqual(keysOf('exact', 'As Is', '+'), ['As Is'])
})
