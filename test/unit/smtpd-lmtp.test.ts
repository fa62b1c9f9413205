/**
 * LMTP's replies behind the content: one for each accepted RCPT, with its own fate where there is one.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eachFate, forEach } from '../../services/smtpd/lmtp.ts'
import { answerAtOnce, fateOf, openTransaction } from '../../services/smtpd/transaction.ts'
import type { Outcome, RecipientFate } from '../../shared/message/outcome.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'

const MAIL = { size: 0, body: '7bit', smtputf8: false } as const
const QUEUED: SmtpReply = { code: 250, enhanced: '2.0.0', text: 'T1 queued' }
const reply = (code: number) => ({ code, enhanced: '', text: 'words', host: 'mx' })
const sent: Outcome = { kind: 'sent', reply: reply(250) }
const never: Outcome = { kind: 'never', reply: reply(550) }
const later: Outcome = { kind: 'later', reply: reply(451), blame: 'recipient' }

/** Each RCPT with what it stands for. */
function transactionOf(kind: 'lmtp' | 'mx', ...asked: string[][]) {
  let transaction = openTransaction(1, 'a@b.example', MAIL, 0, {
    cutThrough: 1000,
    removesArguments: false,
    requireSignature: false,
    kind,
  })
  for (const [address = '', ...targets] of asked) {
    const answer = {
      ...({ kind: 'found', class: 'local', zone: 'z' } as const),
      targets: targets.map((target) => ({ address: target })),
    }
    const one = { address, parameters: {} }
    const fate = fateOf(one, answer, { mayRelay: false, isFull: () => false, sender: '' })
    transaction = answerAtOnce(transaction, one, fate).transaction
  }
  return transaction
}

const fates = (...all: (Outcome | null)[]): RecipientFate[] =>
  all.map((outcome, n) => ({ address: `${n}`, ...(outcome && { outcome }) }))

test('the same for all where the message was queued, one where it is SMTP', () => {
  assert.equal(forEach(transactionOf('lmtp', ['x@y', 'x@y'], ['z@y', 'z@y']), QUEUED).length, 2)
  assert.equal(forEach(transactionOf('mx', ['x@y', 'x@y'], ['z@y', 'z@y']), QUEUED).length, 1)
})

test('each its own fate; who is not settled is as the message is', () => {
  const t = transactionOf('lmtp', ['x@y', 'x@y'], ['z@y', 'z@y'], ['l@y', 'l@y'], ['w@y', 'w@y'])
  const codes = (answer: SmtpReply) =>
    eachFate(t, answer, fates(sent, never, later, null)).map(({ code }) => code)
  assert.deepEqual(codes(QUEUED), [250, 550, 250, 250])
  assert.deepEqual(codes({ code: 451, enhanced: '4.3.0', text: 'no' }), [250, 550, 451, 451])
})

test('two RCPTs for one mailbox share its fate; one that stands for several fails with any of them', () => {
  const t = transactionOf('lmtp', ['list@y', 'a@y', 'b@y'], ['a@y', 'a@y'], ['b@y', 'b@y'])
  assert.deepEqual(
    eachFate(t, QUEUED, fates(sent, never)).map(({ code }) => code),
    [550, 250, 550],
  )
})
