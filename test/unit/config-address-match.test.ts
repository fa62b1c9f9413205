/**
 * Address match lists: the first element that matches decides.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ClientMatcher, compileClients, compileMatch } from '../../shared/config/address-match.ts'
import type { ClientMatch } from '../../shared/config/slices.ts'

function matcher(...elements: string[]): (address: string) => boolean {
  return compileMatch(
    elements.map((element) => ({ negated: element.startsWith('!'), network: element.replace('!', '') })),
  )
}

test('nobody is in an empty list, everybody in any', () => {
  assert.equal(matcher()('192.0.2.1'), false)
  for (const address of ['192.0.2.1', '2001:db8::1', '']) assert.equal(matcher('any')(address), true)
})

test('the first match decides, and a negated one says no', () => {
  const trusted = matcher('!192.0.2.66', '192.0.2.0/24', '!2001:db8:1::/48', '2001:db8::/32')
  assert.equal(trusted('192.0.2.1'), true)
  assert.equal(trusted('192.0.2.66'), false)
  assert.equal(trusted('198.51.100.1'), false)
  assert.equal(trusted('2001:db8:1::5'), false)
  assert.equal(trusted('2001:DB8:2::5'), true)
  assert.equal(matcher('192.0.2.0/24', '!192.0.2.66')('192.0.2.66'), true)
})

test('the local socket is no address, and no address is the local socket', () => {
  assert.equal(matcher('local')(''), true)
  assert.equal(matcher('0.0.0.0/0', '::/0')(''), false)
  assert.equal(matcher('local')('127.0.0.1'), false)
  assert.equal(matcher('!local', 'any')(''), false)
})

test('an IPv4 client of a dual-stack socket is an IPv4 client', () => {
  assert.equal(matcher('192.0.2.0/24')('::ffff:192.0.2.1'), true)
  assert.equal(matcher('::/0')('::ffff:192.0.2.1'), false)
})

test('the edges of a network', () => {
  const net = matcher('10.0.0.8/30')
  assert.deepEqual(['10.0.0.7', '10.0.0.8', '10.0.0.11', '10.0.0.12'].map(net), [false, true, true, false])
  assert.equal(matcher('0.0.0.0/0')('255.255.255.255'), true)
})

test('what is no network is refused', () => {
  assert.throws(() => matcher('example.org'), RangeError)
})

test('what depends on a name that is not known is unclear', () => {
  const list = (...elements: (string | ClientMatch)[]) =>
    compileClients(elements.map((one) => (typeof one === 'string' ? { negated: false, network: one } : one)))
  const good = { negated: false, name: '*.good.example' }
  const bad = { negated: true, name: '*.bad.example' }
  const told = (matcher: ClientMatcher, address = '192.0.2.1') =>
    ['mx.good.example', 'pc.bad.example', '', null].map((name) => matcher(address, name))
  assert.deepEqual(told(list(good)), ['yes', 'no', 'no', 'unclear'])
  assert.deepEqual(told(list(good, 'any')), ['yes', 'yes', 'yes', 'yes'])
  assert.deepEqual(told(list(bad, 'any')), ['yes', 'no', 'yes', 'unclear'])
  assert.deepEqual(told(list('192.0.2.0/24', good)), ['yes', 'yes', 'yes', 'yes'])
  assert.deepEqual(told(list(good, bad, '192.0.2.0/24'), '198.51.100.1'), ['yes', 'no', 'no', 'unclear'])
  const nested = { negated: true, list: [{ negated: false, network: '192.0.2.0/24' }, good] }
  assert.deepEqual(told(list(nested, 'any'), '198.51.100.1'), ['no', 'yes', 'yes', 'unclear'])
  assert.deepEqual(told(list(good, 'any'), ''), ['yes', 'yes', 'yes', 'yes'])
  assert.deepEqual(told(list(good), ''), ['no', 'no', 'no', 'no'], 'the local socket has no name')
})

test('what is clear without a name is so with any', () => {
  const leaf: fc.Arbitrary<ClientMatch> = fc.oneof(
    fc.record({ negated: fc.boolean(), network: fc.constantFrom('any', '192.0.2.0/24', '198.51.100.0/24') }),
    fc.record({ negated: fc.boolean(), name: fc.constantFrom('*.a.example', 'x.a.example', '*') }),
  )
  const lists = fc.array(
    fc.oneof(leaf, fc.record({ negated: fc.boolean(), list: fc.array(leaf, { maxLength: 3 }) })),
    { maxLength: 5 },
  )
  fc.assert(
    fc.property(lists, fc.constantFrom('192.0.2.1', '203.0.113.1'), (list, address) => {
      const matcher = compileClients(list)
      const unnamed = matcher(address, null)
      const named = ['x.a.example', 'y.a.example', 'b.example', ''].map((name) => matcher(address, name))
      assert.ok(!named.includes('unclear'))
      if (unnamed !== 'unclear') assert.deepEqual(new Set(named), new Set([unnamed]))
    }),
  )
})
