/** Content for hosts that take less: what becomes of each part, at every split, and that it decodes to what it was. */
import assert from 'node:assert/strict'
import { isAscii } from 'node:buffer'
import test from 'node:test'
import fc from 'fast-check'
import { ContentStream } from '../../services/smtpc/content.ts'
import { Downgrade, type Mode } from '../../services/smtpc/downgrade.ts'
import { fit } from '../../services/smtpc/fitting.ts'
import type { Job } from '../../services/smtpc/job.ts'
import { NO_OFFERS } from '../../shared/smtp-client/offers.ts'
import { type Delivery, deliveryBy } from '../system/smtpc-client.ts'

function lines(...text: string[]): Buffer {
  return Buffer.from(text.map((line) => `${line}\r\n`).join(''))
}

function pass(content: Buffer, mode: Mode = 'convert', ...cuts: number[]): string {
  const downgrade = new Downgrade(mode)
  const out: Buffer[] = []
  let from = 0
  for (const cut of [...cuts, content.length]) {
    out.push(downgrade.push(content.subarray(from, cut)))
    from = cut
  }
  out.push(downgrade.end())
  return downgrade.trouble ? downgrade.trouble.enhanced : Buffer.concat(out).toString('latin1')
}

const mixed = lines(
  'Subject: x',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed;',
  '\tboundary="b \\"1"',
  'Content-Transfer-Encoding: 8BIT',
  '',
  'preamblé',
  '--b "1',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Transfer-Encoding: 8bit',
  'X-After: y',
  '',
  '.é = a ',
  '',
  '--b "1x is no boundary',
  '--b "1 \t',
  'Content-Type: application/x',
  'Content-Transfer-Encoding: 8bit',
  '',
  'é',
  'b',
  '--b "1',
  'Content-Type: image/png',
  'Content-Transfer-Encoding: base64',
  '',
  'AAAA',
  '--b "1',
  'Content-Type: message/rfc822',
  'Content-Transfer-Encoding: 8bit',
  '',
  'Subject: within',
  '',
  'ü',
  '--b "1--',
  'epilogue',
)
const converted = [
  'Subject: x',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed;',
  '\tboundary="b \\"1"',
  'Content-Transfer-Encoding: 7bit',
  '',
  'preambl??',
  '--b "1',
  'Content-Type: text/plain; charset=utf-8',
  'X-After: y',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  '.=C3=A9 =3D a=20',
  '',
  '--b "1x is no boundary',
  '--b "1 \t',
  'Content-Type: application/x',
  'Content-Transfer-Encoding: base64',
  '',
  'w6kNCmI=',
  '--b "1',
  'Content-Type: image/png',
  'Content-Transfer-Encoding: base64',
  '',
  'AAAA',
  '--b "1',
  'Content-Type: message/rfc822',
  'Content-Transfer-Encoding: 7bit',
  '',
  'Subject: within',
  'MIME-Version: 1.0',
  'Content-Transfer-Encoding: quoted-printable',
  'Content-Type: text/plain; charset=unknown-8bit',
  '',
  '=C3=BC',
  '--b "1--',
  'epilogue',
  '',
].join('\r\n')

test('each part is encoded as it has to be, whatever way the content is cut', () => {
  assert.equal(pass(mixed), converted)
  for (let at = 0; at <= mixed.length; at++)
    assert.equal(pass(mixed, 'convert', at), converted, `cut at ${at}`)
  const each = Array.from(mixed, (_, at) => at)
  assert.equal(pass(mixed, 'convert', ...each), converted)
  assert.equal(pass(mixed, 'watch', 7, 90), mixed.toString('latin1'))
})

const refused: { name: string; content: Buffer; enhanced: string; watched?: string }[] = [
  {
    name: 'signed',
    content: lines(
      'Content-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"',
      '',
      '--s',
      'Content-Transfer-Encoding: 8bit',
      '',
      'é',
      '--s--',
    ),
    enhanced: '5.6.3',
  },
  {
    name: 'an encoding that is not known',
    content: lines('Content-Transfer-Encoding: x-uuencode', '', 'é'),
    enhanced: '5.6.3',
  },
  { name: 'a header', content: lines('Subject: é', '', 'x'), enhanced: '5.6.7', watched: '5.6.7' },
  {
    name: 'the header of a part',
    content: lines('Content-Type: multipart/mixed; boundary=b', '', '--b', 'X: é', '', '--b--'),
    enhanced: '5.6.7',
    watched: '5.6.7',
  },
  {
    name: 'a part that says 7bit and is not',
    content: lines(
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      'Content-Transfer-Encoding: 7bit',
      '',
      'é',
      '--b--',
    ),
    enhanced: '5.6.3',
  },
  {
    name: 'a message that may not be encoded',
    content: lines('Content-Type: message/delivery-status', '', 'é'),
    enhanced: '5.6.3',
  },
  {
    name: 'more depth than a person has use for',
    content: lines(
      ...Array.from({ length: 200 }, (_, n) => [
        `Content-Type: multipart/mixed; boundary=${n}`,
        '',
        `--${n}`,
      ]).flat(),
      '',
      'é',
    ),
    enhanced: '5.6.3',
    watched: '5.6.3',
  },
]
for (const { name, content, enhanced, watched } of refused) {
  test(`trouble: ${name}`, () => {
    assert.equal(pass(content), enhanced)
    assert.equal(pass(content, 'watch'), watched ?? content.toString('latin1'))
  })
}

test('what has a DKIM signature is sent as it is or not at all', () => {
  const header = ['DKIM-Signature: v=1; d=example.org', 'Content-Type: multipart/mixed; boundary=m']
  const parts = (text: string) => lines(...header, '', '--m', '', text, '--m--')
  assert.equal(pass(parts('plain')), parts('plain').toString('latin1'))
  const downgrade = new Downgrade('convert')
  downgrade.push(parts('é'))
  downgrade.end()
  assert.equal(downgrade.trouble?.enhanced, '5.6.3')
})

test('what is signed and in ASCII stays as it is', () => {
  const signed = [
    'Content-Type: multipart/signed; boundary=s',
    '',
    '--s',
    '',
    'a = b ',
    '--s--',
    '--m',
    'Content-Transfer-Encoding: 8bit',
    '',
  ]
  const head = ['Content-Type: multipart/mixed; boundary=m', '', '--m']
  const out = pass(lines(...head, ...signed, 'é', '--m--'))
  assert.ok(out.startsWith(lines(...head, ...signed.slice(0, 7)).toString()), out)
  assert.ok(out.includes('=C3=A9'))
})

function decode(text: string): Buffer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const body = rest.join('\r\n\r\n')
  if (head.includes(': base64')) return Buffer.from(body, 'base64')
  const joined = body.replace(/=\r\n/g, '')
  return Buffer.from(
    joined.replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  )
}

test('any body decodes to what it was, in lines of 76 octets that do not end in a blank', () => {
  const octet = fc.oneof(fc.nat(255), fc.constantFrom(32, 9, 61, 46, 45, 13, 10))
  fc.assert(
    fc.property(
      fc.constantFrom('text/plain', 'application/x'),
      fc.array(fc.oneof(fc.array(octet, { maxLength: 200 }), fc.constant([13, 10]))),
      fc.array(fc.nat(2000)),
      (type, pieces, cuts) => {
        const body = Buffer.from(pieces.flat())
        const content = Buffer.concat([lines(`Content-Type: ${type}`, ''), body])
        const out = pass(
          content,
          'convert',
          ...cuts.filter((at) => at < content.length).sort((a, b) => a - b),
        )
        assert.ok(isAscii(Buffer.from(out, 'latin1')))
        const sent = out.slice(out.indexOf('\r\n\r\n') + 4)
        for (const line of sent.split('\r\n')) assert.ok(line.length <= 76 && !/[ \t]$/.test(line), line)
        assert.deepEqual(decode(out), body)
      },
    ),
    { numRuns: 500 },
  )
})

function jobFor(more: Partial<Delivery>): Job {
  const delivery = deliveryBy([25], ['anna@bücher.example', 'jörg@x.example'], more)
  const content = delivery.content ? Buffer.from(delivery.content) : new ContentStream(() => undefined)
  return {
    delivery,
    content,
    eightBit: 'downgrade',
    tenant: { onSettled: () => undefined, onStale: () => undefined },
  }
}

test('an envelope is written in ASCII where the host wants that and the header allows it', () => {
  const content = lines('Subject: x', '', 'ü')
  const offers = { ...NO_OFFERS, eightBitMime: true }
  const fitting = fit(
    jobFor({ content, smtputf8: true, sender: 'me@grün.example', body: '8bitmime' }),
    offers,
  )
  assert.ok('delivery' in fitting)
  assert.equal(fitting.delivery.sender, 'me@xn--grn-ioa.example')
  assert.deepEqual(
    fitting.delivery.recipients.map(({ address }) => address),
    ['anna@xn--bcher-kva.example', 'jörg@x.example'],
  )
  assert.equal(fitting.delivery.smtputf8, false)
  assert.deepEqual(fitting.content, content)
  const beyond = fit(jobFor({ content: lines('Subject: ü', ''), smtputf8: true }), offers)
  assert.ok('code' in beyond && beyond.enhanced === '5.6.7')
})

test('only what the host does not take is changed', () => {
  const content = lines('Subject: x', '', 'ü')
  const able = { ...NO_OFFERS, eightBitMime: true, smtputf8: true }
  for (const job of [
    jobFor({ content, body: '8bitmime', smtputf8: true }),
    jobFor({ content: lines('Subject: x', '', 'u'), body: '8bitmime' }),
  ])
    assert.equal(fit(job, able), job)
  const ascii = jobFor({ content: lines('Subject: x', '', 'u'), body: '8bitmime' })
  assert.equal(fit(ascii, NO_OFFERS), ascii)
  const refusing: Job = { ...jobFor({ content, body: '8bitmime' }), eightBit: 'refuse' }
  assert.equal(fit(refusing, NO_OFFERS), refusing)
})
