/**
 * Rules of routing: what decides, what is lacking, and no question that cannot change the answer; what values of maps
 * say; shares by weight.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readWay } from '../../services/resolver/route-value.ts'
import { decide, type Facts, type Mail } from '../../services/resolver/routing.ts'
import { orderTargets } from '../../services/smtpc/hosts.ts'
import type { RouteRuleSlice } from '../../shared/config/slices.ts'

const timeout = 60_000
const mail: Mail = { sender: 'Ann@Brand.example', size: 1000, attempt: 1, user: 'ann', uid: 1000 }

function rule(more: Partial<RouteRuleSlice>): RouteRuleSlice {
  return {
    ...{ place: '', recipient: [], sender: [], user: [], provider: null, attempt: null, size: null },
    ...{ way: { kind: 'direct' }, otherwise: null },
    ...more,
  }
}

function decided(rules: readonly RouteRuleSlice[], facts: Partial<Facts> = {}): string {
  const found = decide(rules, { recipient: 'bob@far.example', mail, providers: [], ...facts })
  if (found.kind === 'rule') return String(found.index)
  return found.kind === 'lacking' ? found.what : 'none'
}

test('the first rule whose conditions all hold decides', { timeout }, () => {
  const rules = [
    rule({ recipient: ['*@near.example'] }),
    rule({ sender: ['*@brand.example'], size: 1001 }),
    rule({ sender: ['*@brand.example'], attempt: 2 }),
    rule({ user: ['0'] }),
    rule({ user: ['bob', '1000'], provider: ['*.google.com'] }),
    rule({ sender: ['*@brand.example'] }),
  ]
  assert.equal(decided(rules), '5')
  assert.equal(decided(rules, { recipient: 'x@near.example' }), '0')
  assert.equal(decided(rules, { mail: { ...mail, size: 1001 } }), '1')
  assert.equal(decided(rules, { mail: { ...mail, attempt: 3 } }), '2')
  assert.equal(decided(rules, { providers: ['aspmx.l.google.com'] }), '4')
  assert.equal(decided(rules, { mail: { sender: '', size: 1, attempt: 1 } }), 'none')
})

test('the null sender is named by itself, never by a star', { timeout }, () => {
  const null_ = { mail: { sender: '', size: 1, attempt: 1 } }
  assert.equal(decided([rule({ sender: ['*'] })], null_), 'none')
  assert.equal(decided([rule({ sender: [''] })], null_), '0')
})

test('what is lacking is asked for only where it can change the answer', { timeout }, () => {
  const bySender = rule({ sender: ['*@brand.example'] })
  const byProvider = rule({ provider: ['google.com'] })
  const elsewhere = rule({ recipient: ['*@near.example'], sender: ['*'] })
  assert.equal(decided([bySender, byProvider], { mail: null, providers: null }), 'mail')
  assert.equal(decided([byProvider, bySender], { mail: null, providers: null }), 'providers')
  assert.equal(decided([rule({ sender: ['*@x.example'], provider: ['x'] })], { providers: null }), 'none')
  assert.equal(decided([elsewhere], { mail: null, providers: null }), 'none')
})

test('knowing more never changes what was decided', { timeout }, () => {
  const some = fc.record(
    {
      recipient: fc.constantFrom<string[]>([], ['*@far.example'], ['x@near.example']),
      sender: fc.constantFrom<string[]>([], ['*@brand.example'], ['*@else.example']),
      provider: fc.constantFrom<(string[] | null)[]>(null, ['google.com'], ['microsoft.com']),
      attempt: fc.constantFrom<(number | null)[]>(null, 2),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.array(some, { maxLength: 6 }), (parts) => {
      const rules = parts.map((one) => rule(one))
      const known = decided(rules, { providers: ['google.com'] })
      for (const less of [
        { mail: null, providers: ['google.com'] },
        { providers: null },
        { mail: null, providers: null },
      ]) {
        const found = decided(rules, less)
        if (found !== 'mail' && found !== 'providers') assert.equal(found, known)
      }
    }),
  )
})

test('values of maps name ways', { timeout }, () => {
  const hop = { port: 25, protocol: 'smtp', weight: null }
  assert.deepEqual(readWay(' relay "a" '), { kind: 'relay', name: 'a' })
  assert.deepEqual(readWay('direct'), { kind: 'direct' })
  assert.deepEqual(readWay('discard'), { kind: 'discard' })
  assert.deepEqual(readWay('smtp:[192.0.2.1]'), { kind: 'host', hop: { ...hop, host: '192.0.2.1' } })
  assert.deepEqual(readWay('smtp:[2001:db8::1]:26'), {
    kind: 'host',
    hop: { ...hop, host: '2001:db8::1', port: 26 },
  })
  assert.deepEqual(readWay('smtp:A.example:587'), {
    kind: 'host',
    hop: { ...hop, host: 'a.example', port: 587 },
  })
  const lmtp = { host: '/run/l', port: 0, protocol: 'lmtp', weight: null }
  assert.deepEqual(readWay('lmtp:unix:/run/l'), { kind: 'host', hop: lmtp })
  const said = (code: number, enhanced: string, text: string) => ({
    kind: 'error',
    reply: { code, enhanced, text },
  })
  assert.deepEqual(readWay('error 550 5.1.6 She has left'), said(550, '5.1.6', 'She has left'))
  assert.deepEqual(readWay('error 4.7.1 later'), 'bad: 4.7.1 does not go with 550'.slice(5))
  assert.deepEqual(readWay('error gone'), said(550, '5.1.2', 'gone'))
  for (const bad of [
    '',
    'relay',
    'relay a b',
    'direct x',
    'error 250 ok\n',
    'smtp:',
    'smtp:a b',
    'smtp:a:99999',
    'uucp:x',
  ])
    assert.equal(typeof readWay(bad) === 'string' || bad.startsWith('error 250'), true, bad)
})

test('any value of a map gives a way or a text', { timeout }, () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      const read = readWay(text)
      if (typeof read !== 'string' && read.kind === 'error') assert.ok(/^[\x20-\x7e]+$/.test(read.reply.text))
      if (typeof read !== 'string' && read.kind === 'host') assert.ok(read.hop.port < 65536)
    }),
  )
})

test('hosts of the same preference share by weight', { timeout }, () => {
  const host = (name: string, preference: number, weight?: number) => ({
    ...{
      name,
      addresses: [name === 'socket' ? '/run/s' : '192.0.2.1'],
      port: name === 'socket' ? 0 : 25,
      preference,
    },
    ...(weight !== undefined && { weight }),
  })
  const hosts = [host('heavy', 0, 9), host('light', 0, 1), host('socket', 1)]
  const rounds = 1000
  let heavy = 0
  for (let n = 0; n < rounds; n++) {
    // evenly spread and in no step with one another
    let at = 0
    const order = orderTargets(
      hosts,
      () => [((n * 617) % rounds) / rounds, ((n * 383 + 91) % rounds) / rounds][at++ % 2] ?? 0,
    )
    assert.equal(order.at(-1)?.name, 'socket')
    if (order[0]?.name === 'heavy') heavy++
  }
  assert.ok(heavy > 0.8 * rounds && heavy < rounds, String(heavy))
})
