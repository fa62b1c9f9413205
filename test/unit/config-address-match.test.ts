/**
 * Address match lists: the first element that matches decides.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileMatch } from '../../shared/config/address-match.ts'

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
