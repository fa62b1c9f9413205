/**
 * FUTURERELEASE, DELIVERBY and MT-PRIORITY as MAIL has them, and what of them the envelope keeps.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type MailOffers, readMailParameters } from '../../services/smtpd/parameters.ts'

const NOW = Date.UTC(2030, 0, 1)
const OFFERS: MailOffers = { longestHold: 3_600_000, submission: true, local: true, requireTls: true }

function read(rest: string, offers: Partial<MailOffers> = {}): unknown {
  const found = readMailParameters(` ${rest}`, { ...OFFERS, ...offers }, NOW)
  if ('code' in found) return found.code
  const { size: _size, body: _body, smtputf8: _smtputf8, ...wishes } = found
  return wishes
}

test('times are absolute from here on', () => {
  assert.deepEqual(read('HOLDFOR=3600'), { holdUntil: NOW + 3_600_000 })
  assert.deepEqual(read('HOLDUNTIL=2030-01-01T00:30:00Z'), { holdUntil: NOW + 1_800_000 })
  assert.deepEqual(read('HOLDUNTIL=2030-01-01T02:30:00+02:00'), { holdUntil: NOW + 1_800_000 })
  assert.deepEqual(read('BY=120;R'), { deliverBy: { at: NOW + 120_000, mode: 'return', trace: false } })
  assert.deepEqual(read('by=-120;nt'), { deliverBy: { at: NOW - 120_000, mode: 'notify', trace: true } })
})

test('malformed and excessive values are refused', () => {
  for (const rest of [
    ...[
      'HOLDFOR',
      'HOLDFOR=',
      'HOLDFOR=01',
      'HOLDFOR=-1',
      'HOLDFOR=1e3',
      'HOLDFOR=3601',
      'HOLDFOR=9999999999',
    ],
    ...['HOLDUNTIL=2030-01-01', 'HOLDUNTIL=2030-13-01T00:00:00Z', 'HOLDUNTIL=2030-01-01T01:00:01Z'],
    ...['BY', 'BY=', 'BY=1', 'BY=1;', 'BY=;R', 'BY=1;T', 'BY=1;RTT', 'BY=-1;R', 'BY=1234567890;N'],
    ...[
      'MT-PRIORITY',
      'MT-PRIORITY=',
      'MT-PRIORITY=-0',
      'MT-PRIORITY=+1',
      'MT-PRIORITY=1.5',
      'MT-PRIORITY=12',
    ],
    ...['REQUIRETLS=1', 'HOLDFOR=1 HOLDUNTIL=2030-01-01T00:30:00Z', 'BY=1;R BY=1;R'],
  ])
    assert.equal(read(rest), 501, rest)
})

test('XTLS says what is demanded of TLS', () => {
  for (const demand of ['none', 'encrypted', 'verified'])
    assert.deepEqual(read(`XTLS=${demand.toUpperCase()}`), { tlsDemand: demand })
  for (const rest of ['XTLS', 'XTLS=', 'XTLS=yes', 'XTLS=NONE XTLS=NONE']) assert.equal(read(rest), 501, rest)
  assert.equal(read('XTLS=NONE', { submission: false }), 555)
})

test('what was not offered is unknown', () => {
  assert.equal(read('HOLDFOR=1', { longestHold: 0 }), 555)
  assert.equal(read('BY=1;R', { submission: false }), 555)
  assert.equal(read('MT-PRIORITY=1', { submission: false }), 555)
  assert.equal(read('REQUIRETLS', { requireTls: false }), 555)
  assert.deepEqual(read('REQUIRETLS MT-PRIORITY=-4'), { requireTls: true, priority: -4 })
})
