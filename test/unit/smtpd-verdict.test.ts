/** VERDICT: how long a client waits, and the lines that name each fate. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readMailParameters } from '../../services/smtpd/parameters.ts'
import { openTransaction } from '../../services/smtpd/transaction.ts'
import { VERDICT_LIMIT, waitFor, withFates } from '../../services/smtpd/verdict.ts'
import { renderReply } from '../../shared/smtp/reply.ts'

const accepted = { code: 250, enhanced: '2.0.0', text: 'T1 queued' }

test('one line for each recipient, and none that could end early', () => {
  const reply = { code: 550, enhanced: '5.1.1', text: 'no\nsuch\r\nuser', host: 'mx' }
  const said = withFates(accepted, [
    { address: 'b@y', outcome: { kind: 'sent', reply: { ...reply, code: 250, enhanced: '', text: 'ok' } } },
    { address: 'c@y', outcome: { kind: 'never', reply } },
    { address: 'd@y' },
  ])
  assert.equal(
    renderReply(said),
    '250-2.0.0 T1 queued\r\n250-2.0.0 <b@y> sent: 250 ok\r\n' +
      '250-2.0.0 <c@y> never: 550 5.1.1 no such user\r\n250 2.0.0 <d@y> waiting\r\n',
  )
})

const OFFERS = { longestHold: 0, submission: true, local: true, requireTls: false }

test('seconds from 1 to the limit', () => {
  for (const bad of ['', '=0', `=${VERDICT_LIMIT + 1}`, '=x', '=1.5', '=-1']) {
    const read = readMailParameters(` VERDICT${bad}`, OFFERS, 0)
    assert.equal('code' in read && read.code, 501, bad)
  }
  const read = readMailParameters(' VERDICT=7', OFFERS, 0)
  assert.equal('verdict' in read && read.verdict, 7)
})

test('the client’s word holds instead of the listener’s, and nobody waits for a long list', () => {
  const parameters = { size: 0, body: '7bit', smtputf8: false, verdict: 7 } as const
  const transaction = openTransaction(1, 'a@x', parameters, 0, {
    cutThrough: 0,
    removesArguments: false,
    requireSignature: false,
    kind: 'submission',
  })
  assert.deepEqual(waitFor(transaction), { cutThrough: 7000, verdict: true })
  const recipients = Array.from({ length: 101 }, (_none, n) => ({ address: `u${n}@y` }))
  assert.deepEqual(waitFor({ ...transaction, recipients }), { cutThrough: 0, verdict: false })
  const plain = openTransaction(1, 'a@x', { size: 0, body: '7bit', smtputf8: false }, 0, {
    cutThrough: 5000,
    removesArguments: false,
    requireSignature: false,
    kind: 'mx',
  })
  assert.deepEqual(waitFor(plain), { cutThrough: 5000, verdict: false })
})
