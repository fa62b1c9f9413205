/** A key's life from made to gone, at every step and too early; lists of keys and records for zones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Moment, newKey, rotate, type Turn } from '../../commands/keys/rotation.ts'
import { zoneLine } from '../../commands/keys/zone-lines.ts'
import { type KeptKey, parseKeyList, renderKeyList } from '../../shared/dkim/key-list.ts'
import { isRecordOf, keyRecord } from '../../shared/dkim/private-key.ts'
import { signingKey } from '../support/signing-key.ts'

const DAY = 86_400_000
const START = Date.parse('2026-11-21T12:00:00Z')

function at(days: number, seen: readonly string[] = [], hurry = false): Moment {
  return { now: START + days * DAY, seen: (selector) => seen.includes(selector), hurry }
}

const states = ({ keys }: Turn) => keys.map(({ selector, state }) => `${selector} ${state}`)

test('the first key signs at once', () => {
  const turn = rotate([], 'rsa', at(0))
  assert.deepEqual(states(turn), ['r20261121 active'])
  assert.equal(turn.made?.selector, 'r20261121')
})

test('another comes in its time, is seen, waits, signs; the old one stays for a while', () => {
  const first = rotate([], 'ed25519', at(0))
  assert.deepEqual(states(rotate(first.keys, 'ed25519', at(89))), ['e20261121 active'])
  const second = rotate(first.keys, 'ed25519', at(91))
  const name = second.made?.selector ?? ''
  assert.deepEqual(states(second), ['e20261121 active', `${name} next`])
  const unseen = rotate(second.keys, 'ed25519', at(95))
  assert.deepEqual(states(unseen), states(second))
  assert.match(unseen.said.join(), /not in DNS yet/)
  const seen = rotate(unseen.keys, 'ed25519', at(96, [name]))
  assert.deepEqual(states(seen), states(second))
  const lost = rotate(seen.keys, 'ed25519', at(97.5))
  assert.equal(lost.keys.at(-1)?.seen, null, 'gone again: the wait begins anew')
  assert.deepEqual(states(rotate(lost.keys, 'ed25519', at(98, [name]))), states(second))
  const active = rotate(seen.keys, 'ed25519', at(97.5, [name]))
  assert.deepEqual(states(active), ['e20261121 retired', `${name} active`])
  assert.deepEqual(states(rotate(active.keys, 'ed25519', at(100))), states(active))
  const last = rotate(active.keys, 'ed25519', at(106))
  assert.deepEqual([states(last), last.removed], [[`${name} active`], ['e20261121']])
})

test('in a hurry nothing is waited for but DNS', () => {
  let keys: readonly KeptKey[] = rotate([], 'rsa', at(0)).keys
  const made = rotate(keys, 'rsa', at(0, [], true))
  keys = made.keys
  assert.equal(made.made?.selector, 'r20261121-2')
  assert.deepEqual(states(rotate(keys, 'rsa', at(0, [], true))), states(made))
  keys = rotate(keys, 'rsa', at(0, ['r20261121-2'], true)).keys
  assert.equal(keys.find(({ state }) => state === 'active')?.selector, 'r20261121-2')
  assert.deepEqual(rotate(keys, 'rsa', at(0, [], true)).removed, ['r20261121'])
})

test('each algorithm has its own round', () => {
  const both = rotate(rotate([], 'rsa', at(0)).keys, 'ed25519', at(0))
  assert.deepEqual(states(both), ['r20261121 active', 'e20261121 active'])
  const later = rotate(both.keys, 'rsa', at(100))
  assert.equal(later.keys.filter(({ algorithm }) => algorithm === 'ed25519').length, 1)
})

test('a list of keys is read as it was written, and nothing else is one', () => {
  const keys = [
    newKey([], 'rsa', 'active', START),
    { ...newKey([], 'ed25519', 'next', START), seen: START + 7 },
  ]
  assert.deepEqual(parseKeyList(renderKeyList(keys)), keys)
  for (const bad of [
    'x',
    'a rsa active never -',
    '../a rsa active 2026-11-21T12:00:00Z -',
    'a dsa active 2026-11-21T12:00:00Z -',
  ])
    assert.equal(parseKeyList(bad), null, bad)
})

test('records are cut into strings that DNS takes, and are those of their key', () => {
  const rsa = signingKey('rsa')
  const line = zoneLine('s', 'example.org', keyRecord(rsa.key))
  const strings = [...line.matchAll(/"([^"]*)"/g)].map(([, text = '']) => text)
  assert.ok(strings.length > 1 && strings.every((text) => text.length <= 255))
  assert.equal(strings.join(''), rsa.record)
  assert.ok(line.startsWith('s._domainkey.example.org. IN TXT ('))
  assert.ok(isRecordOf(rsa.record.replace('p=', ' p = '), rsa.key))
  assert.ok(!isRecordOf(signingKey('rsa').record, rsa.key))
  assert.ok(!isRecordOf('v=DKIM1; p=', rsa.key), 'revoked')
  const ed = signingKey('ed25519')
  assert.equal(
    zoneLine('s', 'a.example', keyRecord(ed.key)),
    `s._domainkey.a.example. IN TXT "${ed.record}"\n`,
  )
})
