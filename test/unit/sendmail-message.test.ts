/** From standard input to what leaves: line ends, dots, header, addresses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LineInput } from '../../commands/sendmail/input.ts'
import { renderHeader } from '../../commands/sendmail/outgoing-header.ts'
import { readAddresses } from '../../shared/message/address-list.ts'
import { headerRecipients, splitHeader } from '../../shared/message/header.ts'
import { renderPhrase } from '../../shared/message/phrase.ts'

function read(text: string, ignoreDots: boolean, cuts: readonly number[] = []): string {
  const input = new LineInput(ignoreDots)
  const octets = Buffer.from(text, 'latin1')
  let from = 0
  let out = ''
  for (const cut of [...cuts, octets.length]) {
    out += input.push(octets.subarray(from, cut))
    from = cut
  }
  return out + input.end()
}

test('every kind of line end becomes CRLF', () => {
  assert.equal(read('a\nb\r\nc\rd\r\r\ne', true), 'a\r\nb\r\nc\r\nd\r\n\r\ne')
  assert.equal(read('', true), '')
  assert.equal(read('\r', true), '\r\n')
  assert.equal(read('8-bit \xfc\0\n', true), '8-bit \xfc\0\r\n')
})

test('without -i a lone dot ends the message and doubled dots are single', () => {
  assert.equal(read('a\n.\nafter\n', false), 'a\r\n')
  assert.equal(read('.\nafter\n', false), '')
  assert.equal(read('a\r\n.\r\nafter', false), 'a\r\n')
  assert.equal(read('a\n.', false), 'a\r\n')
  assert.equal(read('..x\na\n..\n...y\nz..\n', false), '.x\r\na\r\n.\r\n..y\r\nz..\r\n')
  assert.equal(read('.x\n', false), '.x\r\n')
})

test('with -i dots are text', () => {
  assert.equal(read('a\n.\n..x\n.', true), 'a\r\n.\r\n..x\r\n.')
})

test('the same at every split, for any text', () => {
  const octet = fc.constantFrom('.', '\r', '\n', 'a', '\xff')
  fc.assert(
    fc.property(fc.array(octet), fc.array(fc.nat()), fc.boolean(), (octets, rawCuts, ignoreDots) => {
      const text = octets.join('')
      const cuts = rawCuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b)
      assert.equal(read(text, ignoreDots, cuts), read(text, ignoreDots))
    }),
    { numRuns: 2000 },
  )
})

test('header and body', () => {
  const split = splitHeader('From bob Thu\r\nTo: a@b\r\n\tc@d\r\nX:y\r\n\r\nbody\r\n', true)
  assert.deepEqual(
    split?.fields.map(({ name }) => name),
    ['to', 'x'],
  )
  assert.equal(split?.body, 'body\r\n')
  assert.deepEqual(splitHeader('just text\r\n', true), {
    fields: [],
    envelopeLines: [],
    body: 'just text\r\n',
  })
  assert.deepEqual(splitHeader('', true), { fields: [], envelopeLines: [], body: '' })
  assert.deepEqual(splitHeader('A: 1', true), {
    fields: [{ name: 'a', raw: 'A: 1\r\n' }],
    envelopeLines: [],
    body: '',
  })
  assert.equal(splitHeader('A: 1\r\nB', false), null)
  assert.equal(splitHeader('A: 1\r\nnot a field\r\nx', true)?.body, 'not a field\r\nx')
})

function recipientsOf(header: string): string[] | string {
  const found = headerRecipients(splitHeader(`${header}\r\n\r\n`, true)?.fields ?? [])
  return found.kind === 'good' ? found.list : `bad ${found.what}`
}

test('-t reads To, Cc and Bcc: names, comments, groups, folding, quoted strings', () => {
  assert.deepEqual(
    recipientsOf('To: Ann Bee <ann@x.org>,\r\n "Cee, D" <c@x.org>\r\nCc: root\r\nBCC: b@x.org'),
    ['ann@x.org', 'c@x.org', 'root', 'b@x.org'],
  )
  assert.deepEqual(recipientsOf('To: List: a@x.org, b@x.org;, "q s"@x.org (who)'), [
    'a@x.org',
    'b@x.org',
    '"q s"@x.org',
  ])
  assert.deepEqual(recipientsOf('To: undisclosed-recipients:;'), [])
  assert.deepEqual(recipientsOf('Subject: To: x@y\r\nReply-To: z@y'), [])
  assert.deepEqual(recipientsOf('To: j\xc3\xbcrgen@x.org'), ['jürgen@x.org'])
})

test('of a message sent on, -t takes the newest Resent- block only', () => {
  const header =
    'Resent-From: c@x.org\r\nResent-To: new@x.org\r\nReceived: by y\r\nResent-To: old@x.org\r\nTo: first@x.org'
  assert.deepEqual(recipientsOf(header), ['new@x.org'])
})

test('an address is never guessed', () => {
  for (const text of [
    'ann+"x"@x.org',
    'two words',
    'ann@(x)',
    '"x',
    'a (b',
    'a@b: c',
    '"Ann Bee" <>x',
    'a@b@c <',
  ])
    assert.equal(readAddresses(text).kind, 'bad', text)
  assert.deepEqual(readAddresses('<>'), { kind: 'good', list: [] })
  assert.deepEqual(readAddresses('a@x.org, root'), { kind: 'good', list: ['a@x.org', 'root'] })
})

test('Bcc is removed, the rest is untouched', () => {
  const fields = splitHeader('To: a\r\nBcc: b\r\n c\r\nresent-bcc: d\r\nX: \xff\r\n\r\n', true)?.fields ?? []
  assert.equal(renderHeader(fields, null), 'To: a\r\nX: \xff\r\n\r\n')
  assert.equal(renderHeader(fields, null, true), 'To: a\r\nBcc: b\r\n c\r\nresent-bcc: d\r\nX: \xff\r\n\r\n')
})

test('-F makes a From', () => {
  const author = { fullName: 'Ann Bee', address: 'ann@x.org' }
  assert.equal(renderHeader([], author), 'From: Ann Bee <ann@x.org>\r\n\r\n')
})

test('names as phrases: atoms, quoted, encoded words of at most 75 characters', () => {
  assert.equal(renderPhrase('Ann Bee'), 'Ann Bee')
  assert.equal(renderPhrase('Bee, "Ann" \\'), '"Bee, \\"Ann\\" \\\\"')
  const long = renderPhrase('Jürgen '.repeat(20))
  for (const word of long.split('\r\n ')) {
    assert.ok(word.length <= 75)
    assert.match(word, /^=\?utf-8\?B\?[A-Za-z0-9+/=]+\?=$/)
  }
  const decoded = long
    .split('\r\n ')
    .map((word) => Buffer.from(word.slice(10, -2), 'base64').toString('utf8'))
    .join('')
  assert.equal(decoded, 'Jürgen '.repeat(20))
})
