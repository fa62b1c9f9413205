/** RFC 3461 in a session: what gets into the envelope, and parameters of any kind. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readMailParameters, readRcptParameters } from '../../services/smtpd/parameters.ts'
import { askFor, makeEnvelope, openTransaction, pay, settle } from '../../services/smtpd/transaction.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { mergeNotify, parseNotify, wants, withoutSuccess } from '../../shared/message/notify.ts'
import { decodeXtext, encodeUtf8Address, parseTypedAddress } from '../../shared/smtp/xtext.ts'
import { Player, settingOf } from '../dialogue/player.ts'
import { anyCharacter } from '../support/any-character.ts'
import { listenerSlice } from '../system/smtpd-stage.ts'

const OFFERS = { longestHold: 0, submission: false, local: false, requireTls: false }
const lines = (...all: string[]) => Buffer.from(`${all.join('\r\n')}\r\n`)

/** Each RCPT with the addresses that it stands for. */
function envelopeOf(...asked: [address: string, parameters: string, ...targets: string[]][]): Envelope {
  const mail = readMailParameters('', OFFERS, 0)
  assert.ok(!('code' in mail))
  let transaction = openTransaction(1, 'a@client.example', mail, 0, {
    cutThrough: 0,
    removesArguments: false,
    requireSignature: false,
    kind: 'mx',
  })
  asked.forEach(([address, text, ...targets], n) => {
    const parameters = readRcptParameters(text, false)
    assert.ok(!('code' in parameters))
    transaction = askFor(transaction, { address, parameters })
    const found = {
      class: 'local' as const,
      zone: 'example.org',
      targets: targets.map((one) => ({ address: one })),
    }
    transaction = settle(
      transaction,
      n,
      { kind: 'found', ...found },
      { mayRelay: true, isFull: () => false, sender: '' },
    )
  })
  const hello = { name: 'client.example', extended: true }
  return makeEnvelope(settingOf(listenerSlice()), hello, pay(transaction).transaction, 0)
}

describe('the envelope', () => {
  it('has the parameters as they came, NOTIFY in its normal form', async () => {
    const player = new Player()
    await player.write(
      lines(
        'EHLO client.example',
        'MAIL FROM:<a@client.example> RET=full ENVID=Q+2B1',
        'RCPT TO:<b@example.org> NOTIFY=delay,SUCCESS,delay ORCPT=RFC822;B+2Bx@example.org',
        'RCPT TO:<c@example.org>',
        'DATA',
        'x',
        '.',
      ),
    )
    const [message] = player.messages
    assert.equal(message?.envelope.ret, 'full')
    assert.equal(message?.envelope.envid, 'Q+2B1')
    assert.deepEqual(message?.envelope.recipients, [
      { address: 'b@example.org', notify: 'SUCCESS,DELAY', orcpt: 'RFC822;B+2Bx@example.org' },
      { address: 'c@example.org' },
    ])
  })

  it('keeps SUCCESS for the one that an alias stands for', () => {
    const { recipients, expanded } = envelopeOf(['one@x.org', ' NOTIFY=SUCCESS', 'a@x.org'])
    assert.deepEqual(recipients, [{ address: 'a@x.org', original: 'one@x.org', notify: 'SUCCESS' }])
    assert.equal(expanded, undefined)
  })

  it('has the many of an alias without SUCCESS, and the alias as expanded', () => {
    const parameters = ' NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;all@x.org'
    const { recipients, expanded } = envelopeOf(['all@x.org', parameters, 'a@x.org', 'all@x.org'])
    const copy = { original: 'all@x.org', notify: 'FAILURE', orcpt: 'rfc822;all@x.org' }
    assert.deepEqual(recipients, [
      { address: 'a@x.org', ...copy },
      { address: 'all@x.org', ...copy },
    ])
    assert.deepEqual(expanded, [{ address: 'all@x.org', orcpt: 'rfc822;all@x.org' }])
    assert.equal(
      envelopeOf(['all@x.org', ' NOTIFY=SUCCESS', 'a@x.org', 'b@x.org']).recipients[0]?.notify,
      'NEVER',
    )
    assert.equal(envelopeOf(['all@x.org', ' NOTIFY=DELAY', 'a@x.org', 'b@x.org']).expanded, undefined)
    assert.equal(envelopeOf(['all@x.org', '', 'a@x.org', 'b@x.org']).recipients[0]?.notify, undefined)
  })

  it('wants for a mailbox what any of its RCPTs wanted', () => {
    const both = envelopeOf(
      ['all@x.org', ' NOTIFY=NEVER', 'a@x.org', 'b@x.org'],
      ['a@x.org', ' NOTIFY=SUCCESS ORCPT=rfc822;A@x.org', 'a@x.org'],
    )
    assert.deepEqual(both.recipients, [
      { address: 'a@x.org', notify: 'SUCCESS', orcpt: 'rfc822;A@x.org' },
      { address: 'b@x.org', original: 'all@x.org', notify: 'NEVER' },
    ])
  })
})

describe('NOTIFY', () => {
  it('is asked by word', () => {
    assert.deepEqual(
      [undefined, 'NEVER', 'SUCCESS', 'FAILURE', 'DELAY'].map((notify) =>
        (['SUCCESS', 'FAILURE', 'DELAY'] as const).filter((wish) => wants(notify, wish)),
      ),
      [['FAILURE', 'DELAY'], [], ['SUCCESS'], ['FAILURE'], ['DELAY']],
    )
    assert.equal(withoutSuccess('SUCCESS,DELAY'), 'DELAY')
    assert.equal(withoutSuccess(undefined), undefined)
    assert.equal(mergeNotify(undefined, 'SUCCESS'), 'SUCCESS,FAILURE,DELAY')
    assert.equal(mergeNotify('NEVER', 'NEVER'), 'NEVER')
  })

  it('has one form for each meaning', () => {
    const word = fc.constantFrom('SUCCESS', 'failure', 'Delay', 'NEVER', '', 'x')
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        const upper = words.map((one) => one.toUpperCase())
        const known = ['SUCCESS', 'FAILURE', 'DELAY'].filter((one) => upper.includes(one))
        const legal = upper.every((one) => known.includes(one))
        const expected = upper.length === 1 && upper[0] === 'NEVER' ? 'NEVER' : legal ? known.join(',') : null
        assert.equal(parseNotify(words.join(',')), expected)
      }),
    )
  })
})

describe('xtext', () => {
  const encode = (text: string) =>
    text.replace(
      /[^!-*,-<>-~]/g,
      (one) => `+${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )

  it('gives back what went in', () => {
    const printable = fc.string({ unit: 'grapheme-ascii', minLength: 1 })
    fc.assert(fc.property(printable, (text) => assert.equal(decodeXtext(encode(text)), text)))
  })

  it('never gives what cannot be printed, nor fails', () => {
    const pieces = fc.constantFrom('+', '=', '+0A', '+0D', '+41', '+7F', '+4a', 'x', ' ', '\r\n', 'ü', '+C3')
    fc.assert(
      fc.property(fc.array(fc.oneof(pieces, fc.string()), { maxLength: 8 }), (parts) => {
        assert.match(decodeXtext(parts.join('')) ?? '', /^[\x20-\x7e\t]*$/)
      }),
      { numRuns: 1000 },
    )
    assert.equal(decodeXtext(''), null)
    assert.equal(decodeXtext('a+0D+0Ab'), null)
    assert.equal(decodeXtext('a+2b'), null)
  })

  it('carries addresses beyond ASCII both ways', () => {
    const address = fc
      .string({ unit: anyCharacter, minLength: 1 })
      .filter((text) => !/[\p{Cc}\p{Cs}\u2028\u2029\ufffd]/u.test(text))
    fc.assert(
      fc.property(address, (text) => {
        const encoded = encodeUtf8Address(text)
        assert.match(encoded, /^[!-*,-<>-~]+$/)
        assert.deepEqual(parseTypedAddress(`utf-8;${encoded}`, false), { type: 'utf-8', address: text })
      }),
      { numRuns: 1000 },
    )
  })

  it('takes an address beyond ASCII as it is only where that is legal', () => {
    assert.equal(parseTypedAddress('utf-8;ü@x', false), null)
    assert.deepEqual(parseTypedAddress('UTF-8;ü\\x{2B}@x', true), { type: 'UTF-8', address: 'ü+@x' })
    for (const bad of [
      'utf-8;',
      'utf-8;a\\x{D800}',
      'utf-8;\\x{0041}',
      'utf-8;a\\b',
      'utf-8;a+b',
      'x=;a',
      ';a',
      'a',
      'é;a',
    ])
      assert.equal(parseTypedAddress(bad, true), null, bad)
  })

  it('knows UTF-8 that is named rfc822, as Postfix sends it, and no other octets beyond ASCII', () => {
    const meant = { type: 'utf-8', address: 'jürgen+x@b.example' }
    assert.deepEqual(parseTypedAddress('RFC822;j+C3+BCrgen+2Bx@b.example', false), meant)
    for (const bad of [
      'rfc822;j+FCrgen@x',
      'rfc822;j+C3@x',
      'rfc822;a+C2+85b',
      'rfc822;j+C3+BC+0A',
      'rfc822;j+C3+BC=',
      'rfc822;jürgen@x',
      'x400;j+C3+BCrgen',
    ])
      assert.equal(parseTypedAddress(bad, true), null, bad)
  })
})

describe('parameters', () => {
  const value = fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.constantFrom('FULL', 'NEVER', 'SUCCESS,DELAY', 'rfc822;a@b', 'utf-8;ü@b', 'x+0A', 'x'.repeat(501)),
  )
  const keyword = fc.constantFrom('RET', 'ENVID', 'NOTIFY', 'ORCPT', 'SIZE', 'BODY', 'SMTPUTF8', 'FOO', '')
  const parameter = fc
    .tuple(keyword, fc.option(value))
    .map(([name, given]) => (given === null ? name : `${name}=${given}`))
  const rest = fc.array(parameter, { maxLength: 4 }).map((all) => all.map((one) => ` ${one}`).join(''))

  it('are taken whole or refused, and never hold what cannot be sent on', () => {
    fc.assert(
      fc.property(rest, fc.boolean(), (text, utf8) => {
        const mail = readMailParameters(text, OFFERS, 0)
        if ('code' in mail) assert.ok([501, 555].includes(mail.code))
        else assert.match(mail.envid ?? 'x', /^[!-<>-~]{1,100}$/)
        const rcpt = readRcptParameters(text, utf8)
        if ('code' in rcpt) return assert.ok([501, 555].includes(rcpt.code))
        assert.match(rcpt.orcpt ?? 'x', utf8 ? /^[^\p{Cc} =]{1,500}$/u : /^[!-<>-~]{1,500}$/)
        assert.match(
          rcpt.notify ?? 'NEVER',
          /^(?:NEVER|SUCCESS(?:,FAILURE)?(?:,DELAY)?|FAILURE(?:,DELAY)?|DELAY)$/,
        )
      }),
      { numRuns: 2000 },
    )
  })
})
