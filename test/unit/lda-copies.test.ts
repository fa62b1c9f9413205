/** Which copies a delivery makes, what stands on top of each, and what its file is called. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planCopies, traceHeader } from '../../services/lda/trace-header.ts'
import { escapeHost, uniqueName } from '../../services/lda/unique-name.ts'

test('one copy for each final address, settling all who came to stand for it', () => {
  const plans = planCopies([
    { n: 0, address: 'ann@example.org' },
    { n: 1, address: 'ann@example.org', original: 'info@example.org' },
    { n: 2, address: 'ann+list@example.org', original: 'ann+list@example.org' },
    { n: 3, address: 'ann@example.org', original: 'info@example.org' },
  ])
  assert.deepEqual(plans, [
    { address: 'ann@example.org', originals: ['info@example.org'], settles: [0, 1, 3] },
    { address: 'ann+list@example.org', originals: [], settles: [2] },
  ])
})

test('the trace header names the reverse-path and the addresses', () => {
  const plan = { address: 'ann@example.org', originals: ['info@example.org'], settles: [0] }
  assert.equal(
    traceHeader('bob@example.net', plan, '\n').toString(),
    'Return-Path: <bob@example.net>\nX-Original-To: info@example.org\nDelivered-To: ann@example.org\n',
  )
  assert.match(traceHeader('', plan, '\n').toString(), /^Return-Path: <>\n/)
})

test('no address can add a line to the header', () => {
  const plan = { address: 'a\r\nX-Evil: 1@b', originals: ['c\nd@e'], settles: [0] }
  assert.equal(traceHeader('x\0\ny@z', plan, '\n').toString().split('\n').length, 4)
})

test('names differ by time, counter and process life, and never hold a slash or colon', () => {
  const writer = { host: 'mx/1:a', pid: 7, salt: '0123abcd' }
  const name = uniqueName(writer, 1_763_711_623_123, 5)
  assert.equal(name, '1763711623.M123000P7R0123abcdQ5.mx\\0571\\072a')
  assert.notEqual(name, uniqueName(writer, 1_763_711_623_123, 6))
  assert.notEqual(name, uniqueName({ ...writer, salt: '0123abce' }, 1_763_711_623_123, 5))
  assert.equal(escapeHost(''), 'localhost')
})
