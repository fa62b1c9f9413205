/** Address match lists: the flat list that a slice gets decides like the nested one that was written. */
import assert from 'node:assert/strict'
import { BlockList, isIP } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadConfigText } from '../../shared/config/check.ts'
import { formatNetwork, masked, parseNetwork } from '../../shared/config/network.ts'
import type { AddressMatchList } from '../../shared/config/slices.ts'

const timeout = 60_000
const machine = { asCaller: true, interfaces: ['127.0.0.1/8', '::1/128', '192.0.2.7/24', '2001:db8::7/64'] }

function flat(text: string): AddressMatchList {
  const config = `options { hostname "mx.example.org"; };\n${text}\nlistener "local" { socket "s"; relay { test; }; };\nzone "." { type remote; };`
  const checked = loadConfigText(config, '/tmp/a.conf', machine)
  assert.equal(checked.kind, 'ok')
  const relay = checked.kind === 'ok' ? (checked.slices.mcp.listeners[0]?.relay ?? []) : []
  return relay.flatMap((one) => ('network' in one ? [one] : assert.fail('it has names')))
}

/** As smtpd does it: the first that matches decides. */
function decide(list: AddressMatchList, address: string): boolean {
  for (const { negated, network } of list) if (matches(network, address)) return !negated
  return false
}

function matches(network: string, address: string): boolean {
  if (network === 'any') return true
  if (network === 'local' || address === 'local') return network === address
  const [base = '', prefix] = network.split('/')
  if (isIP(base) !== isIP(address)) return false // BlockList would match ::/0 with mapped IPv4 addresses
  const list = new BlockList()
  list.addSubnet(base, Number(prefix), isIP(base) === 6 ? 'ipv6' : 'ipv4')
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

test('networks are read and written back', { timeout }, () => {
  const shapes = [
    '192.0.2.1/32',
    '0.0.0.0/0',
    '10.0.0.0/8',
    '::/0',
    '2001:db8::/32',
    '::1/128',
    'fe80::1:2/128',
  ]
  for (const text of shapes) assert.equal(formatNetwork(parseNetwork(text) ?? assert.fail(text)), text)
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/',
    '/8',
    'fe80::1%eth0',
    '1.2.3.4/8/8',
    'x',
  ]) {
    assert.equal(parseNetwork(text), null, text)
  }
  assert.equal(formatNetwork(parseNetwork('::ffff:10.0.0.1/128') ?? assert.fail()), '::ffff:a00:1/128')
  assert.equal(
    formatNetwork(masked(parseNetwork('2001:db8:17:99::5/48') ?? assert.fail())),
    '2001:db8:17::/48',
  )
})

test('the words of BIND', { timeout }, () => {
  assert.deepEqual(flat('acl test { 192.0.2.0/24; };'), [{ negated: false, network: '192.0.2.0/24' }])
  const own = flat('acl test { localhost; };')
  assert.ok(decide(own, '127.0.0.5') && decide(own, '192.0.2.7') && decide(own, '2001:db8::7'))
  assert.ok(!decide(own, '192.0.2.8') && !decide(own, 'local'))
  const near = flat('acl test { localnets; };')
  assert.ok(decide(near, '192.0.2.8') && decide(near, '2001:db8::99') && !decide(near, '192.0.3.1'))
  const all = flat('acl test { any; };')
  assert.ok(decide(all, '8.8.8.8') && decide(all, '2001:db8::1') && decide(all, 'local'))
  const nobody = flat('acl test { none; };')
  assert.ok(!decide(nobody, '8.8.8.8') && !decide(nobody, 'local'))
})

test('a `!` inside a named list keeps it from matching, and no more than that', { timeout }, () => {
  const list = flat('acl inner { !10.1.0.0/16; 10.0.0.0/8; };\nacl test { inner; 10.1.2.0/24; };')
  assert.ok(decide(list, '10.2.0.1'))
  assert.ok(decide(list, '10.1.2.3'))
  assert.ok(!decide(list, '10.1.3.3'))
  const turned = flat('acl inner { !10.1.0.0/16; 10.0.0.0/8; };\nacl test { !inner; any; };')
  assert.ok(!decide(turned, '10.2.0.1'))
  assert.ok(decide(turned, '10.1.2.3'))
  assert.ok(decide(turned, '192.0.2.1') && decide(turned, '::1'))
})

interface Written {
  negated: boolean
  network: string | Written[]
}

const leaf = fc.tuple(fc.nat(3), fc.integer({ min: 28, max: 32 })).map(([last, prefix]) => {
  return formatNetwork(masked(parseNetwork(`10.0.0.${last * 5}/${prefix}`) ?? assert.fail()))
})
const { list: anyList } = fc.letrec<{ element: Written; list: Written[] }>((tie) => ({
  element: fc.record({
    negated: fc.boolean(),
    network: fc.oneof({ maxDepth: 2 }, fc.oneof(leaf, fc.constantFrom('any', 'none')), tie('list')),
  }),
  list: fc.array(tie('element'), { maxLength: 4 }),
}))

function write(list: Written[]): string {
  return list
    .map(
      ({ negated, network }) =>
        `${negated ? '!' : ''}${typeof network === 'string' ? network : `{ ${write(network)} }`}; `,
    )
    .join('')
}

/** BIND's rule, straight from its words: a list inside counts where it says yes. */
function oracle(list: Written[], address: string): boolean {
  for (const { negated, network } of list) {
    const hit =
      typeof network !== 'string'
        ? oracle(network, address)
        : network === 'none'
          ? false
          : matches(network, address)
    if (hit) return !negated
    if (network === 'none') return negated
  }
  return false
}

test('nested lists decide as written', { timeout: 120_000 }, () => {
  const addresses = Array.from({ length: 20 }, (_, last) => `10.0.0.${last}`)
  fc.assert(
    fc.property(anyList, (list) => {
      const made = flat(`acl test { ${write(list)} };`)
      for (const address of addresses) assert.equal(decide(made, address), oracle(list, address), write(list))
    }),
    { numRuns: 300 },
  )
})
