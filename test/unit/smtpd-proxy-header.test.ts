/**
 * PROXY headers, both versions: what they say, at every split, and everything that is none.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseProxyHeader } from '../../services/smtpd/proxy-header.ts'

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

function version2(command: number, family: number, body: Buffer): Buffer {
  const fixed = Buffer.from([0x20 | command, family, body.length >> 8, body.length & 255])
  return Buffer.concat([SIGNATURE, fixed, body])
}

const FOUR = Buffer.from([192, 0, 2, 7, 192, 0, 2, 1, 0x30, 0x39, 0, 25])
const SIX = Buffer.concat([
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from([0x30, 0x39, 0, 25]),
])
const four = { address: '192.0.2.7', port: 12345 }
const six = { address: '2001:db8::7', port: 12345 }

const good: [string, Buffer, { address: string; port: number } | null][] = [
  ['1 over IPv4', Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\r\n'), four],
  ['1 over IPv6', Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 12345 25\r\n'), six],
  ['1 unknown', Buffer.from('PROXY UNKNOWN\r\n'), null],
  ['1 unknown with more', Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), null],
  ['2 over IPv4', version2(1, 0x11, FOUR), four],
  ['2 over IPv6', version2(1, 0x21, SIX), six],
  ['2 with more behind the addresses', version2(1, 0x11, Buffer.concat([FOUR, Buffer.alloc(300)])), four],
  ['2 of the balancer itself', version2(0, 0x00, Buffer.alloc(0)), null],
  ['2 over a unix socket', version2(1, 0x31, Buffer.alloc(216)), null],
]

for (const [name, header, source] of good) {
  test(`version ${name}, whole and in pieces, with mail behind it`, () => {
    const whole = Buffer.concat([header, Buffer.from('EHLO x\r\n')])
    assert.deepEqual(parseProxyHeader(whole), { kind: 'good', octets: header.length, source })
    for (let end = 0; end < header.length; end++)
      assert.equal(parseProxyHeader(header.subarray(0, end)).kind, 'more', `${end} octets`)
  })
}

test('what is no header is bad as soon as it shows', () => {
  for (const text of [
    'EHLO client.example\r\n',
    'proxy TCP4 192.0.2.7 192.0.2.1 12345 25\r\n',
    'PROXY TCP4 192.0.2.7 192.0.2.1 12345\r\n',
    'PROXY TCP4 2001:db8::7 192.0.2.1 1 2\r\n',
    'PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n',
    'PROXY TCP4 192.0.2.7 192.0.2.1 70000 25\r\n',
    'PROXY TCP4 192.0.2.7 192.0.2.1 1 2 extra\r\n',
    `PROXY ${'x'.repeat(200)}`,
    '\r\n\r\nQUIT\r\n',
  ])
    assert.equal(parseProxyHeader(Buffer.from(text)).kind, 'bad', text)
  for (const octets of [
    version2(2, 0x11, FOUR),
    version2(1, 0x11, FOUR.subarray(0, 8)),
    version2(1, 0x21, FOUR),
    Buffer.concat([SIGNATURE, Buffer.from([0x31, 0x11, 0, 12]), FOUR]),
    Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 255, 255])]),
  ])
    assert.equal(parseProxyHeader(octets).kind, 'bad', octets.toString('hex'))
})

test('any octets give an answer, and what is bad or good stays so', () => {
  const begins = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', SIGNATURE.toString('latin1'))
  fc.assert(
    fc.property(begins, fc.uint8Array({ maxLength: 200 }), (begin, rest) => {
      const whole = Buffer.concat([Buffer.from(begin, 'latin1'), rest])
      const first = [...whole].findIndex((_, n) => parseProxyHeader(whole.subarray(0, n)).kind !== 'more')
      if (first < 0) return
      const settled = parseProxyHeader(whole.subarray(0, first))
      assert.equal(parseProxyHeader(whole).kind, settled.kind)
    }),
    { numRuns: 3000 },
  )
})
