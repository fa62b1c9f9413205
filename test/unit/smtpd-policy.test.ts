/** Policy servers and rspamd: what they are told, what their answers mean, noise, and the word of several filters. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Chain } from '../../services/smtpd/filter/chain.ts'
import {
  CONTINUE,
  type Filter,
  FilterTrouble,
  type MessageFacts,
  type Word,
} from '../../services/smtpd/filter/change.ts'
import type { Field } from '../../services/smtpd/filter/header.ts'
import { ActionReader, readAction } from '../../services/smtpd/filter/policy-answer.ts'
import { renderQuestion } from '../../services/smtpd/filter/policy-request.ts'
import { readAnswer } from '../../services/smtpd/filter/rspamd-answer.ts'
import { renderFacts } from '../../services/smtpd/filter/rspamd-request.ts'
import { silentLog } from '../../shared/base/log.ts'

const facts: MessageFacts = {
  named: null,
  agreed: 2,
  hostname: 'mx.example.org',
  listener: 'mx',
  session: 'S1',
  client: '192.0.2.7',
  helo: 'client.example',
  user: undefined,
  mechanism: undefined,
  tls: null,
  id: 'T1',
  sender: 'me@example.org',
  size: 100,
  body: '7bit',
  smtputf8: false,
  protocol: 'ESMTP',
  ends: { clientPort: 40_000, serverAddress: '192.0.2.1', serverPort: 25 },
}

test('a policy server is told what Postfix tells', () => {
  const text = renderQuestion({ stage: 'rcpt', facts, recipients: ['anna@example.org'] }).toString()
  assert.ok(text.startsWith('request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n'))
  assert.ok(text.endsWith('\n\n') && !text.slice(0, -2).includes('\n\n'))
  const told = new Map(
    text
      .trim()
      .split('\n')
      .map((line) => line.split(/=(.*)/s) as [string, string]),
  )
  assert.equal(told.get('recipient'), 'anna@example.org')
  assert.equal(told.get('client_address'), '192.0.2.7')
  assert.equal(told.get('client_name'), 'unknown')
  const tls = {
    ...{ version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', exporter: null, certificateNames: [] },
    certificate: { issuer: 'Our CA', fingerprint: 'AA:BB' },
  }
  const secure = renderQuestion({ stage: 'rcpt', facts: { ...facts, tls }, recipients: [] }).toString()
  assert.match(secure, /^ccert_issuer=Our CA\nccert_fingerprint=AA:BB$/m)
  assert.match(secure, /^encryption_keysize=128$/m)
  const named = { ...facts, named: { kind: 'unconfirmed', name: 'mx.client.example' } } as const
  const doubted = renderQuestion({ stage: 'rcpt', facts: named, recipients: ['a@b.example'] }).toString()
  assert.match(doubted, /^client_name=unknown\nreverse_client_name=mx\.client\.example$/m)
  assert.equal(told.get('client_port'), '40000')
  assert.equal(told.get('instance'), 'S1.T1')
  assert.equal(told.get('size'), '100')
  const odd = { ...facts, helo: 'a\nrecipient=other', client: '' }
  const later = renderQuestion({
    stage: 'end-of-message',
    facts: odd,
    recipients: ['a@b.c', 'd@e.f'],
    size: 7,
  })
  assert.match(later.toString(), /^helo_name=a\?recipient=other$/m)
  assert.match(later.toString(), /^protocol_state=END-OF-MESSAGE$/m)
  assert.match(later.toString(), /^recipient=$/m)
  assert.match(later.toString(), /^recipient_count=2$/m)
  assert.match(later.toString(), /^size=7$/m)
  assert.match(later.toString(), /^client_address=127\.0\.0\.1$/m)
})

test('actions are what access(5) says', () => {
  const word = (action: string) => readAction(action).word
  for (const action of ['OK', 'dunno', 'permit', '200', 'DUNNO whatever'])
    assert.deepEqual(readAction(action), { word: CONTINUE })
  const reply = (code: number, enhanced: string, text: string) => ({ code, enhanced, text })
  assert.deepEqual(word('REJECT'), { kind: 'refuse', reply: reply(550, '5.7.1', 'Not accepted') })
  assert.deepEqual(word('reject 5.7.23 no SPF'), { kind: 'refuse', reply: reply(550, '5.7.23', 'no SPF') })
  assert.deepEqual(word('554 go'), { kind: 'refuse', reply: reply(554, '5.7.1', 'go') })
  assert.deepEqual(word('450 4.2.0 Greylisted'), { kind: 'refuse', reply: reply(450, '4.2.0', 'Greylisted') })
  assert.deepEqual(word('421 bye'), { kind: 'refuse', reply: reply(451, '4.7.1', 'bye') })
  assert.deepEqual(word('DEFER 5.1.1 x'), { kind: 'refuse', reply: reply(451, '4.7.1', 'x') })
  assert.equal(word('DEFER_IF_PERMIT wait').kind, 'defer')
  assert.equal(word('DEFER_IF_REJECT wait').kind, 'soften')
  assert.equal(word('DISCARD').kind, 'discard')
  assert.deepEqual(readAction('HOLD look').change, { kind: 'hold', reason: 'look' })
  assert.deepEqual(readAction('PREPEND X-A: b: c').change, {
    kind: 'insert-field',
    index: 0,
    name: 'X-A',
    value: ' b: c',
  })
  assert.deepEqual(readAction('REDIRECT <x@example.org>').redirect, 'x@example.org')
  assert.equal(readAction('BCC x@example.org').change?.kind, 'add-recipient')
  assert.deepEqual(readAction('WARN hm').note, { text: 'hm', odd: true })
  for (const action of ['', 'FILTER smtp:x', 'PREPEND no field', 'REDIRECT nobody', 'constructor'])
    assert.throws(() => readAction(action), FilterTrouble, action)
})

test('answers are the same at every split, and noise is trouble', () => {
  const stream = Buffer.from('action=DUNNO\n\nother=x\naction=REJECT schön\n\n')
  for (let at = 0; at <= stream.length; at++) {
    const reader = new ActionReader()
    const found = [...reader.push(stream.subarray(0, at)), ...reader.push(stream.subarray(at))]
    assert.deepEqual(found, ['DUNNO', 'REJECT schön'])
  }
  assert.throws(() => new ActionReader().push(Buffer.alloc(70_000, 'x')), FilterTrouble)
  const words = fc.constantFrom(
    'action=',
    'PREPEND ',
    'REDIRECT ',
    '550 ',
    '\n\n',
    '\n',
    'x',
    ':',
    '\0',
    '\r',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(words, fc.string())), (parts) => {
      try {
        const reader = new ActionReader()
        for (const part of parts) for (const action of reader.push(Buffer.from(part))) readAction(action)
      } catch (error) {
        assert.ok(error instanceof FilterTrouble, String(error))
      }
    }),
  )
})

const field = (name: string, value: string): Field => ({ name, raw: `${name}: ${value}` })
const fields = [field('X-Spam', 'a'), field('Subject', 's'), field('x-spam', 'b'), field('X-Spam', 'c')]
const answer = (said: unknown) => readAnswer(JSON.stringify(said), fields)

test('rspamd is told of client and envelope', () => {
  const told = renderFacts({ ...facts, user: 'anna', helo: 'a\r\nFrom: x' }, ['a@b.c', 'd@e.f'])
  assert.deepEqual(told['Rcpt'], ['a@b.c', 'd@e.f'])
  assert.equal(told['Helo'], 'a??From: x')
  assert.equal(told['User'], 'anna')
  assert.equal(told['IP'], '192.0.2.7')
  assert.equal(told['Queue-Id'], 'T1')
})

test("rspamd's actions are refusals and changes", () => {
  for (const action of ['no action', 'greylist', 'made up'])
    assert.deepEqual(answer({ action }), { word: CONTINUE, changes: [] })
  const refused = (said: unknown) => {
    const { word } = answer(said)
    assert.ok(word.kind === 'refuse')
    return [word.reply.code, word.reply.enhanced, word.reply.text]
  }
  const milter = { add_headers: { 'X-A': 'x' } }
  assert.deepEqual(refused({ action: 'reject', milter }), [550, '5.7.1', 'Not accepted'])
  assert.deepEqual(answer({ action: 'reject', milter }).changes, [])
  assert.deepEqual(refused({ action: 'reject', messages: { smtp_message: '5.7.9 Gtube\r\nx' } }), [
    550,
    '5.7.9',
    'Gtube??x',
  ])
  assert.deepEqual(refused({ action: 'soft reject', messages: { smtp_message: 'Try again' } }), [
    451,
    '4.7.1',
    'Try again',
  ])
  assert.equal(answer({ action: 'discard' }).word.kind, 'discard')
  assert.equal(answer({ action: 'reject', milter: { reject: 'discard' } }).word.kind, 'discard')
  assert.equal(answer({ action: 'reject', milter: { reject: 'quarantine' } }).changes[0]?.kind, 'hold')
  assert.deepEqual(answer({ action: 'reject', milter: { no_action: true } }), { word: CONTINUE, changes: [] })
  assert.deepEqual(answer({ action: 'add header' }).changes, [
    { kind: 'add-field', name: 'X-Spam', value: ' Yes' },
  ])
  assert.deepEqual(answer({ action: 'rewrite subject', subject: '*** s' }).changes, [
    { kind: 'change-field', index: 1, name: 'Subject', value: ' *** s' },
  ])
  for (const text of ['', '[]', '{}', 'null', '{"action":1}'])
    assert.throws(() => readAnswer(text, fields), FilterTrouble)
})

test("rspamd's milter block is carried out", () => {
  const changed = (milter: unknown) => answer({ action: 'no action', milter }).changes
  assert.deepEqual(
    changed({ remove_headers: { 'X-SPAM': 0 } }).map((one) => 'index' in one && one.index),
    [3, 2, 1],
  )
  assert.deepEqual(changed({ remove_headers: { 'X-Spam': -1 } }), [
    { kind: 'change-field', index: 3, name: 'X-Spam', value: '' },
  ])
  assert.deepEqual(changed({ remove_headers: { 'X-Spam': 4, Other: 0, Subject: 'x' } }), [])
  const added = {
    'X-B': { value: 'b', order: 1 },
    'X-A': ['a', { value: 'A', order: 0 }, { order: 3 }],
    'X-C': { value: 'c', order: -2 },
  }
  assert.deepEqual(changed({ add_headers: added }), [
    { kind: 'insert-field', index: 3, name: 'X-C', value: ' c' },
    { kind: 'add-field', name: 'X-A', value: ' a' },
    { kind: 'insert-field', index: 0, name: 'X-A', value: ' A' },
    { kind: 'insert-field', index: 1, name: 'X-B', value: ' b' },
  ])
  assert.deepEqual(changed({ change_from: '<x@y.z>', add_rcpt: ['a@b.c'], del_rcpt: ['<d@e.f>'] }), [
    { kind: 'sender', address: 'x@y.z' },
    { kind: 'add-recipient', address: 'a@b.c', parameters: '' },
    { kind: 'remove-recipient', address: 'd@e.f' },
  ])
  fc.assert(
    fc.property(fc.jsonValue(), (milter) => {
      assert.equal(answer({ action: 'no action', milter }).word.kind, 'continue')
    }),
  )
})

function saying(word: Word, remembers = false): Filter & { asked: number } {
  const filter = {
    remembers,
    asked: 0,
    recipient: () => {
      filter.asked++
      return Promise.resolve(word)
    },
    data: () => Promise.resolve(word),
    header: () => Promise.resolve(CONTINUE),
    body: () => Promise.resolve(CONTINUE),
    end: () => Promise.resolve({ word: CONTINUE, changes: [] }),
    over: () => undefined,
    close: () => undefined,
  }
  return filter
}

const chainOf = (...filters: Filter[]) =>
  new Chain(
    filters.map((filter, n) => ({ name: String(n), onFailure: 'tempfail' as const, filter })),
    silentLog,
  )
const refuse = (code: number): Word => ({ kind: 'refuse', reply: { code, enhanced: '', text: 'no' } })
const maybe = (kind: 'defer' | 'soften'): Word => ({ kind, reply: { code: 450, enhanced: '', text: 'wait' } })

test('who only defers if nobody refuses leaves the last word to others', async () => {
  const code = async (...filters: Filter[]) =>
    (await chainOf(...filters).recipient(facts, 'a@b.c'))?.code ?? null
  assert.equal(await code(saying(maybe('defer')), saying(CONTINUE)), 450)
  assert.equal(await code(saying(maybe('defer')), saying(refuse(550))), 550)
  assert.equal(await code(saying(maybe('soften')), saying(refuse(550))), 450)
  assert.equal(await code(saying(maybe('soften')), saying(CONTINUE)), null)
  const milter = saying(refuse(550), true)
  assert.equal(await code(saying(maybe('defer')), milter), 450)
  assert.equal(milter.asked, 0, 'who remembers recipients is told of none that does not get the message')
})

test('DATA is asked about once', async () => {
  const chain = chainOf(saying(CONTINUE))
  assert.equal(await chain.recipient(facts, 'a@b.c'), null)
  const second = chainOf(saying(refuse(554)))
  await second.recipient(facts, 'a@b.c')
  assert.equal((await second.data(facts, ['a@b.c']))?.code, 554)
  assert.equal(await second.data(facts, ['a@b.c']), null)
  second.over()
  assert.equal(await second.data(facts, ['a@b.c']), null, 'a message that is over')
})
