/**
 * Milters: packets at every split and from noise, the machine of one conversation, the header as filters change it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Change, FilterTrouble, type MessageFacts } from '../../services/smtpd/filter/change.ts'
import { Draft } from '../../services/smtpd/filter/draft.ts'
import {
  editFields,
  fieldValue,
  makeField,
  readHead,
  renderHead,
} from '../../services/smtpd/filter/header.ts'
import { ALL_ACTIONS, steps } from '../../services/smtpd/filter/milter-command.ts'
import { changesOf, hear, openConversation, say } from '../../services/smtpd/filter/milter-conversation.ts'
import {
  type Packet,
  PacketReader,
  renderPacket,
  strings,
} from '../../services/smtpd/filter/milter-packet.ts'
import { readReply, readTerms } from '../../services/smtpd/filter/milter-reply.ts'
import { cipherBits } from '../../services/smtpd/tls-facts.ts'
import { milterPacket } from '../support/milter.ts'

const facts: MessageFacts = {
  named: null,
  agreed: 2,
  hostname: 'mx.example.org',
  listener: 'mx',
  session: 'S1',
  client: '192.0.2.7',
  helo: 'client.example',
  user: 'anna',
  mechanism: 'PLAIN',
  tls: null,
  id: 'T1',
  sender: 'me@example.org',
  size: 100,
  body: '8bitmime',
  smtputf8: true,
  protocol: 'ESMTP',
  ends: { clientPort: 40_000, serverAddress: '192.0.2.1', serverPort: 25 },
}
const terms = { version: 6, actions: ALL_ACTIONS, steps: 0, macros: new Map<number, readonly string[]>() }

function packetOf(octets: Buffer): Packet {
  const [packet] = new PacketReader().push(octets)
  assert.ok(packet)
  return packet
}

test('packets are the same at every split', () => {
  const sent = [milterPacket('c'), milterPacket('h', 'Name', 'value'), milterPacket('m', 3, 'N', '')]
  const stream = Buffer.concat(sent)
  const whole = new PacketReader().push(stream)
  assert.deepEqual(
    whole.map(({ command }) => command),
    ['c', 'h', 'm'],
  )
  for (let at = 0; at <= stream.length; at++) {
    const reader = new PacketReader()
    const found = [...reader.push(stream.subarray(0, at)), ...reader.push(stream.subarray(at))]
    assert.deepEqual(found, whole)
  }
  const reader = new PacketReader()
  const single = [...stream].flatMap((octet) => reader.push(Buffer.from([octet])))
  assert.deepEqual(single, whole)
})

test('noise ends in an answer or in trouble', () => {
  const state = { ...openConversation(terms), owed: 'end' as const }
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.boolean(), (chunks, framed) => {
      const reader = new PacketReader()
      try {
        for (const chunk of chunks) {
          const octets = Buffer.from(chunk)
          const packets = reader.push(framed ? renderPacket('i', octets) : octets)
          for (const packet of packets) hear(state, readReply(packet))
        }
      } catch (error) {
        assert.ok(error instanceof FilterTrouble, String(error))
      }
    }),
  )
  assert.throws(() => new PacketReader().push(Buffer.from('SSH-2.0-x')), FilterTrouble)
  assert.throws(() => new PacketReader().push(Buffer.alloc(5)), FilterTrouble)
})

test('what a milter agrees to holds', () => {
  assert.throws(() => openConversation({ ...terms, version: 7 }), FilterTrouble)
  assert.throws(() => openConversation({ ...terms, steps: 1 << 30 }), FilterTrouble)
  const few = openConversation({
    ...terms,
    actions: 0,
    steps: steps.noHelo | steps.silentField | steps.noData,
  })
  assert.deepEqual(say(few, { kind: 'helo', facts }).packets, [])
  const field = say(few, { kind: 'field', field: { name: 'A', raw: 'A: b\r\n c' } })
  assert.deepEqual([field.waits, field.packets.map(String)], [false, [`\0\0\0\x08LA\0b\n c\0`]])
  const atEnd = say(few, { kind: 'end', facts }).state
  assert.throws(() => hear(atEnd, { kind: 'change', change: { kind: 'hold', reason: '' } }), /had not asked/)
  assert.throws(() => hear(few, { kind: 'continue' }), /nobody waits/)
  let all = say(openConversation(terms), { kind: 'end', facts }).state
  const piece = { kind: 'change', change: { kind: 'body', octets: Buffer.alloc(1 << 20) } } as const
  for (let n = 0; n < 16; n++) all = hear(all, piece).state
  assert.throws(() => hear(all, piece), /too large a body/)
  const atMail = say(openConversation(terms), { kind: 'mail', facts }).state
  assert.throws(
    () => hear(atMail, { kind: 'change', change: { kind: 'hold', reason: '' } }),
    /before the end/,
  )
  const old = openConversation({ ...terms, version: 2 })
  assert.deepEqual(say(old, { kind: 'data', facts }).packets, [], 'version 2 knows no DATA')
})

test('commands and macros are as libmilter writes them', () => {
  const open = openConversation(terms)
  const [macros, mail] = say(open, { kind: 'mail', facts }).packets.map((one) =>
    one.toString('latin1').slice(4),
  )
  assert.equal(
    macros,
    'DMi\0T1\0{auth_type}\0PLAIN\0{auth_authen}\0anna\0{mail_addr}\0me@example.org\0{mail_host}\0example.org\0{mail_mailer}\0esmtp\0',
  )
  assert.equal(mail, 'M<me@example.org>\0SIZE=100\0BODY=8BITMIME\0SMTPUTF8\0')
  const chosen = openConversation({ ...terms, macros: new Map([[2, ['{auth_authen}', 'x']]]) })
  assert.equal(
    say(chosen, { kind: 'mail', facts }).packets[0]?.toString('latin1').slice(4),
    'DM{auth_authen}\0anna\0',
  )
  const connect = (client: string) =>
    say(open, { kind: 'connect', facts: { ...facts, client } })
      .packets.at(-1)
      ?.toString('latin1')
      .slice(4)
  assert.equal(connect('192.0.2.7'), 'C[192.0.2.7]\x004\x9c\x40192.0.2.7\0')
  assert.equal(connect('2001:db8::1'), 'C[IPv6:2001:db8::1]\x006\x9c\x40IPv6:2001:db8::1\0')
  assert.equal(connect(''), 'Clocalhost\x004\x9c\x40127.0.0.1\0')
  const tls = {
    ...{ version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', exporter: null, certificateNames: ['anna'] },
    certificate: { issuer: 'Our CA', fingerprint: 'AA:BB' },
  }
  const [helo] = say(open, { kind: 'helo', facts: { ...facts, tls } }).packets.map((one) =>
    one.toString('latin1').slice(4),
  )
  assert.equal(
    helo,
    'DH{tls_version}\0TLSv1.3\0{cipher}\0TLS_AES_256_GCM_SHA384\0{cipher_bits}\x00256\0{cert_subject}\0anna\0{cert_issuer}\0Our CA\0',
  )
  const [end] = say(open, { kind: 'end', facts }).packets.map((one) => one.toString('latin1').slice(4))
  assert.equal(end, 'DEi\0T1\0{nrcpts}\x002\0')
  const ciphers = [
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'TLS_RSA_WITH_3DES_EDE_CBC_SHA',
    'X',
  ]
  assert.deepEqual(ciphers.map(cipherBits), [256, 128, 168, 0])
  const named = { ...facts, named: { kind: 'confirmed', name: 'mx.client.example' } } as const
  const [told, named4] = say(open, { kind: 'connect', facts: named }).packets.map((one) =>
    one.toString('latin1').slice(4),
  )
  assert.equal(named4, 'Cmx.client.example\x004\x9c\x40192.0.2.7\0')
  assert.match(told ?? '', /\{client_name\}\0mx\.client\.example\0.*\{client_resolve\}\0OK\0/)
  const forged = { ...facts, named: { kind: 'unconfirmed', name: 'mx.client.example' } } as const
  const [doubted] = say(open, { kind: 'connect', facts: forged }).packets.map((one) =>
    one.toString('latin1').slice(4),
  )
  assert.match(
    doubted ?? '',
    /\{client_name\}\0unknown\0\{client_ptr\}\0mx\.client\.example\0\{client_resolve\}\0FORGED\0/,
  )
  const rcpt = say(open, { kind: 'rcpt', facts, address: 'jürgen@example.org' }).packets.at(-1)
  assert.equal(rcpt?.toString('utf8', 5), '<jürgen@example.org>\0', 'UTF-8 goes as it is')
})

test('answers are understood', () => {
  const reply = (text: string) => readReply({ command: 'y', data: strings(text) })
  assert.deepEqual(reply('550 5.7.1 100%% spam'), {
    kind: 'reply',
    reply: { code: 550, enhanced: '5.7.1', text: '100% spam' },
  })
  assert.deepEqual(reply('451-4.7.1 one\r\n451 4.7.1 two'), {
    kind: 'reply',
    reply: { code: 451, enhanced: '4.7.1', text: 'one\ntwo' },
  })
  assert.deepEqual(reply('421 go'), { kind: 'reply', reply: { code: 451, enhanced: '4.7.1', text: 'go' } })
  assert.throws(() => reply('250 fine'), FilterTrouble)
  assert.throws(() => readReply({ command: '?', data: Buffer.alloc(0) }), FilterTrouble)
  const read = readTerms(packetOf(milterPacket('O', 6, 1, 2, 2, 'i {auth_type}', 5, 'j')))
  assert.deepEqual(
    [read.actions, read.steps, [...read.macros]],
    [
      1,
      2,
      [
        [2, ['i', '{auth_type}']],
        [5, ['j']],
      ],
    ],
  )
  const skip = say(openConversation(terms), { kind: 'body', octets: Buffer.from('x') }).state
  const skipped = hear(skip, { kind: 'skip' }).state
  assert.deepEqual(say(skipped, { kind: 'body', octets: Buffer.from('y') }).packets, [])
  const atEnd = say(openConversation(terms), { kind: 'end', facts }).state
  const changed = hear(atEnd, readReply(packetOf(milterPacket('h', 'A', 'b')))).state
  assert.deepEqual(changesOf(changed), [{ kind: 'add-field', name: 'A', value: ' b' }])
})

const header = Buffer.from('A: 1\r\nB: two\r\n folded\r\na: 3\r\n\r\nbody\r\n')

test('a header is read, changed and written, and the rest stays as it is', () => {
  const head = readHead(header, true)
  assert.ok(head)
  assert.equal(renderHead(head.fields), header.toString('latin1', 0, head.octets))
  assert.deepEqual(
    head.fields.map((field) => fieldValue(field)),
    ['1', 'two\n folded', '3'],
  )
  const after = (change: Change) => renderHead(editFields(head.fields, change)).replaceAll('\r\n', '|')
  assert.equal(
    after({ kind: 'change-field', name: 'A', index: 2, value: ' x' }),
    'A: 1|B: two| folded|a: x||'.replace('a: x', 'A: x'),
  )
  assert.equal(after({ kind: 'change-field', name: 'b', index: 1, value: '' }), 'A: 1|a: 3||')
  assert.equal(
    after({ kind: 'change-field', name: 'C', index: 1, value: ' new' }),
    'A: 1|B: two| folded|a: 3|C: new||',
  )
  assert.equal(
    after({ kind: 'insert-field', name: 'N', index: 1, value: ' x' }),
    'N: x|A: 1|B: two| folded|a: 3||',
  )
  assert.equal(
    after({ kind: 'insert-field', name: 'N', index: 99, value: ' x' }),
    'A: 1|B: two| folded|a: 3|N: x||',
  )
  assert.equal(
    makeField('N', ' a\r\nEvil: x\n\n.\rb\0')?.raw,
    'N: a\r\n\tEvil: x\r\n\t.\r\n\tb',
    'no field in a field',
  )
  assert.equal(makeField('No: good', 'x'), null)
})

test('what is no header is body', () => {
  const read = (text: string, whole = true) => readHead(Buffer.from(text), whole)
  assert.deepEqual(read('\r\nx'), { fields: [], octets: 2, closed: true })
  assert.deepEqual(read('Hello there\r\n'), { fields: [], octets: 0, closed: false })
  assert.equal(read('A: b\r\nno field\r\n')?.octets, 6)
  assert.equal(read('A: b\r\n', false), null, 'it may go on')
  assert.equal(read('A: b', true)?.fields.length, 1)
  for (let at = 0; at < header.indexOf('\r\n\r\n') + 4; at++)
    assert.equal(readHead(header.subarray(0, at), false), null, `cut at ${at}`)
  const draft = new Draft({ fields: [], octets: 0, closed: false }, false)
  assert.equal(draft.head(), null, 'nothing changed, nothing written')
  draft.apply([
    { kind: 'body', octets: Buffer.from('a\nb\r') },
    { kind: 'body', octets: Buffer.from('\nc\r') },
  ])
  assert.equal(draft.head()?.toString(), '\r\n')
  assert.equal(draft.body?.toString(), 'a\r\nb\r\nc\r\n', 'no bare line end, over pieces as well')
})

test('any header comes out as it went in', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('A: b\r\n', ' c\r\n', '\r\n', 'x\r\n', ': y\r\n', '\tz'), { maxLength: 12 }),
      (parts) => {
        const content = Buffer.from(parts.join(''))
        const head = readHead(content, true)
        assert.ok(head)
        if (head.closed) assert.equal(renderHead(head.fields), content.toString('latin1', 0, head.octets))
        assert.ok(head.octets <= content.length)
      },
    ),
  )
})
