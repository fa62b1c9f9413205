/** What smtpc reads and writes octet by octet: replies at every split, dot-stuffing at every split, EHLO offers. */
import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { leadsTo, MAX_TRIES, orderTargets, whenAllFailed } from '../../services/smtpc/hosts.ts'
import type { Host } from '../../shared/message/route.ts'
import { DotStuffer } from '../../shared/smtp/dot-stuffer.ts'
import type { SmtpReply } from '../../shared/smtp/reply.ts'
import { GARBAGE, MAX_REPLY, ReplyReader } from '../../shared/smtp/reply-reader.ts'
import { own } from '../../shared/smtp-client/commands.ts'
import { readOffers } from '../../shared/smtp-client/offers.ts'

function readAll(...chunks: Buffer[]): (SmtpReply | typeof GARBAGE)[] {
  const replies: (SmtpReply | typeof GARBAGE)[] = []
  const reader = new ReplyReader()
  for (const chunk of chunks) {
    // as a socket does it, which reads the next octets into the same memory
    const read = Buffer.from(chunk)
    reader.push(read, (reply) => replies.push(reply))
    read.fill('x')
  }
  return replies
}

const STREAM = Buffer.from(
  '250-first\r\n250-2.1.0 second\n250 2.1.0 third ä\r\n354\r\n550 5.1.1 no\r\n450 5.1.1 clash\r\n421-\r\n421 \r\n',
)
const REPLIES: SmtpReply[] = [
  { code: 250, enhanced: '2.1.0', text: 'first\nsecond\nthird ä' },
  { code: 354, enhanced: '', text: '' },
  { code: 550, enhanced: '5.1.1', text: 'no' },
  { code: 450, enhanced: '', text: '5.1.1 clash' },
  { code: 421, enhanced: '', text: '\n' },
]

test('replies are the same at every split', () => {
  assert.deepEqual(readAll(STREAM), REPLIES)
  for (let at = 0; at <= STREAM.length; at++) {
    assert.deepEqual(readAll(STREAM.subarray(0, at), STREAM.subarray(at)), REPLIES, `split at ${at}`)
  }
  assert.deepEqual(readAll(...Array.from(STREAM, (octet) => Buffer.from([octet]))), REPLIES)
})

test('SIZE says how large a message may be', () => {
  const largest = (line: string) => readOffers([line]).largest
  assert.equal(largest('SIZE 1000'), 1000)
  assert.equal(largest('size=1000'), 1000)
  for (const line of ['SIZE', 'SIZE 0', 'SIZE -1', 'SIZE x', 'SIZES 5', 'SIZE 5 5'])
    assert.equal(largest(line), Number.POSITIVE_INFINITY, line)
})

test('what is no reply is garbage, once, and ends the reading', () => {
  for (const line of [
    '',
    '25',
    'abc',
    '999 x',
    '150 x',
    '2x0 x',
    '250x',
    '\0\0\0',
    'HTTP/1.1 400',
    '250-a\r\nx',
  ]) {
    const replies = readAll(Buffer.from(`${line}\r\n250 fine\r\n`))
    assert.deepEqual(replies, [GARBAGE], JSON.stringify(line))
  }
})

test('a reply that never ends is garbage within its limit', () => {
  const reader = new ReplyReader()
  let garbage = 0
  let fed = 0
  const line = Buffer.from('250-and so on\r\n')
  while (garbage === 0 && fed < MAX_REPLY * 3) {
    reader.push(line, () => garbage++)
    fed += line.length
  }
  assert.equal(garbage, 1)
  assert.deepEqual(readAll(Buffer.alloc(MAX_REPLY + 1, 0x32)), [GARBAGE])
})

test('any octets end in replies or garbage', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => {
      const replies = readAll(...chunks.map((chunk) => Buffer.from(chunk)))
      const at = replies.indexOf(GARBAGE)
      assert.ok(at < 0 || at === replies.length - 1)
    }),
  )
})

function stuff(...pieces: Buffer[]): string {
  const dots = new DotStuffer()
  const out = pieces.map((piece) => dots.push(piece).toString('latin1'))
  return out.join('') + dots.end().toString('latin1')
}

/** The rule in its plainest form. */
function expected(content: string): string {
  const closed =
    content === '' || content.endsWith('\r\n')
      ? content
      : `${content}${content.endsWith('\r') ? '\n' : '\r\n'}`
  return `${closed.replace(/(^|\n)\./g, '$1..')}.\r\n`
}

test('content is dot-stuffed and closed the same at every split', () => {
  const contents = [
    '',
    '.',
    '..',
    'a',
    '.\r\n',
    '\r\n.\r\n',
    'a\r\n.b\r\n..c\r\nd.',
    '\r',
    'x\r\n.',
    '\n.\n',
    'x\n',
  ]
  for (const content of contents) {
    const octets = Buffer.from(content)
    assert.equal(stuff(octets), expected(content), JSON.stringify(content))
    for (let at = 0; at <= octets.length; at++) {
      assert.equal(stuff(octets.subarray(0, at), octets.subarray(at)), expected(content))
    }
  }
  const piece = fc.array(fc.constantFrom('.', '\r', '\n', '\r\n', 'a'), { maxLength: 12 })
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const texts = pieces.map((parts) => parts.join(''))
      assert.equal(stuff(...texts.map((text) => Buffer.from(text))), expected(texts.join('')))
    }),
    { numRuns: 2000 },
  )
})

test('content without a dot to double is not copied', () => {
  const content = Buffer.from('a\r\nb.\r\n')
  assert.equal(new DotStuffer().push(content), content)
})

test('offers are whole keywords at the start of a line', () => {
  const offers = readOffers(['pipelining', 'SIZE 1000', 'X-8BITMIME', 'DSNX', 'AUTH=PLAIN DSN', ' SMTPUTF8 '])
  assert.deepEqual(offers, {
    pipelining: true,
    size: true,
    largest: 1000,
    eightBitMime: false,
    ...{ binaryMime: false, deliverBy: null, priority: false, requireTls: false },
    ...{ mostRecipients: Number.POSITIVE_INFINITY, mostTransactions: Number.POSITIVE_INFINITY },
    smtputf8: true,
    dsn: false,
  })
})

function host(name: string, preference: number, ...addresses: string[]): Host {
  return { name, preference, addresses, port: 25 }
}

test('BINARYMIME is of use only with CHUNKING', () => {
  assert.equal(readOffers(['BINARYMIME']).binaryMime, false)
  assert.equal(readOffers(['CHUNKING', 'BINARYMIME']).binaryMime, true)
})

test('LIMITS says how many recipients and transactions a host takes', () => {
  const read = (line: string) => {
    const { mostRecipients, mostTransactions } = readOffers([line])
    return [mostRecipients, mostTransactions]
  }
  assert.deepEqual(read('LIMITS RCPTMAX=20 MAILMAX=5'), [20, 5])
  assert.deepEqual(read('limits mailmax=5 rcptdomainmax=1'), [Number.POSITIVE_INFINITY, 5])
  for (const line of [
    'LIMITS',
    'LIMITS RCPTMAX=0',
    'LIMITS RCPTMAX=x',
    'LIMITS RCPTMAX=',
    'XLIMITS RCPTMAX=3',
  ])
    assert.deepEqual(read(line), [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY], line)
})

test('hosts go by preference, equal ones shuffled, addresses in order', () => {
  const hosts = [
    host('b', 20, '192.0.2.3'),
    host('a1', 10, '192.0.2.1', '2001:db8::1'),
    host('a2', 10, '192.0.2.2'),
  ]
  const draws = [0.5, 0.9, 0.1]
  const names = orderTargets(hosts, () => draws.shift() ?? 0).map((target) => target.address)
  assert.deepEqual(names, ['192.0.2.2', '2001:db8::1', '192.0.2.1', '192.0.2.3'])
})

test('what is no address or no port is never dialled, and tries are bounded', () => {
  const odd = [host('a', 0, 'example.org', ''), { ...host('b', 0, '192.0.2.1'), port: 70000 }]
  assert.deepEqual(orderTargets(odd, Math.random), [])
  const many = host('c', 0, ...Array.from({ length: 60 }, (_, n) => `192.0.2.${n + 1}`))
  assert.equal(orderTargets([many], Math.random).length, MAX_TRIES)
})

test('a kept connection counts only while the route leads there', () => {
  const hosts = [host('a', 0, '192.0.2.1')]
  assert.ok(leadsTo(hosts, { name: 'a', address: '192.0.2.1', port: 25 }))
  assert.ok(!leadsTo(hosts, { name: 'a', address: '192.0.2.2', port: 25 }))
  assert.ok(!leadsTo(hosts, { name: 'a', address: '192.0.2.1', port: 26 }))
})

test("a sender's demand that nobody meets is the trouble of that message alone", () => {
  const unmet = own(451, '4.7.5', 'the sender demands TLS, and the handshake with mx failed: x')
  const away = { code: 451, enhanced: '4.4.1', text: 'refused', host: '' }
  assert.deepEqual(whenAllFailed([unmet, away]), { kind: 'later', reply: unmet, blame: 'message' })
  const theirs = { ...unmet, host: 'mx' }
  assert.deepEqual(whenAllFailed([theirs]), { kind: 'later', reply: theirs, blame: 'destination' })
  const ruled = own(451, '4.7.5', 'its TLS policy (dane) demands TLS, and mx does not offer it')
  assert.deepEqual(whenAllFailed([ruled]), { kind: 'later', reply: ruled, blame: 'destination' })
})

test('only 521 from every host returns the mail', () => {
  const said = (code: number, name = 'mx') => ({ code, enhanced: '', text: '', host: name })
  assert.equal(whenAllFailed([said(521), said(521)]).kind, 'never')
  assert.equal(whenAllFailed([said(521), said(554)]).kind, 'later')
  assert.equal(whenAllFailed([said(554)]).kind, 'later')
  assert.equal(whenAllFailed([said(521), said(451, '')]).kind, 'later')
  assert.equal(whenAllFailed([]).kind, 'later')
})
