/** Delivery reports: form and manners. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { mailDate } from '../../services/qmgr/mail-date.ts'
import type { Notice, NoticeKind } from '../../services/qmgr/notice.ts'
import { composeReport, type ReportFacts } from '../../services/qmgr/report.ts'
import { headerOf, returnedFrom } from '../../services/qmgr/returned-content.ts'
import type { Envelope, Recipient } from '../../shared/message/envelope.ts'
import { anyCharacter } from '../support/any-character.ts'

const HEADER = Buffer.from('Subject: x\r\n')
const about: Envelope = {
  id: 5,
  sender: 'a@example.net',
  recipients: [],
  size: 3,
  body: '7bit',
  smtputf8: false,
  envid: 'QQ+2B1',
  receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  origin: { listener: 'mx', session: 'S1', client: '' },
}
const listed: Recipient = {
  address: 'b@example.org',
  original: 'list@example.org',
  orcpt: 'rfc822;list+2Bx@example.org',
}

function noticeOf(kind: NoticeKind, more: Partial<Notice> = {}): Notice {
  const reply = { code: 550, enhanced: '5.1.1', text: 'no\r\nEvil: header', host: 'mx.example.org' }
  const until = kind === 'delayed' ? { until: Date.UTC(2026, 0, 7, 3, 4, 6) } : {}
  return { kind, recipient: listed, reply, expired: false, ...until, ...more }
}

function textOf(more: Partial<ReportFacts> = {}): string {
  const kind = more.kind ?? 'failed'
  const facts: ReportFacts = {
    kind,
    id: 77,
    about,
    notices: [noticeOf(kind)],
    returned: { whole: false, content: HEADER },
    hostname: 'mx.test',
    now: Date.UTC(2026, 0, 2, 3, 4, 6),
    ...more,
  }
  return Buffer.from(composeReport(facts)).toString()
}

interface Part {
  header: string
  body: string
}

/** By the rules of RFC 2046 section 5.1.1. */
function partsOf(text: string): Part[] {
  const boundary = /boundary="([^"]+)"/.exec(text)?.[1] ?? 'none'
  assert.ok(text.endsWith(`\r\n--${boundary}--\r\n`))
  const pieces = text.slice(0, text.lastIndexOf(`\r\n--${boundary}--`)).split(`\r\n--${boundary}\r\n`)
  return pieces.slice(1).map((piece) => {
    const end = piece.indexOf('\r\n\r\n')
    return { header: piece.slice(0, end), body: piece.slice(end + 4) }
  })
}

describe('report', () => {
  it('is a multipart/report of three parts, ended', () => {
    const text = textOf()
    const [words, status, returned] = partsOf(text)
    assert.match(text, /^Content-Type: multipart\/report; report-type=delivery-status;\r\n\tboundary=/m)
    assert.match(text, /^Auto-Submitted: auto-replied\r$/m)
    assert.match(text, /^To: <a@example.net>\r$/m)
    assert.match(words?.body ?? '', /^<b@example.org> \(expanded from <list@example.org>\):\r$/m)
    assert.equal(status?.header, 'Content-Type: message/delivery-status')
    assert.deepEqual(returned, { header: 'Content-Type: text/rfc822-headers', body: 'Subject: x\r\n' })
  })

  it('has the fields of RFC 3464, xtext decoded', () => {
    assert.deepEqual(partsOf(textOf())[1]?.body.split('\r\n'), [
      'Reporting-MTA: dns; mx.test',
      'Original-Envelope-Id: QQ+1',
      'Arrival-Date: Fri, 02 Jan 2026 03:04:05 +0000',
      '',
      'Original-Recipient: rfc822; list+x@example.org',
      'Final-Recipient: rfc822; b@example.org',
      'Action: failed',
      'Status: 5.1.1',
      'Remote-MTA: dns; mx.example.org',
      'Diagnostic-Code: smtp; 550 5.1.1 no Evil: header',
      'Last-Attempt-Date: Fri, 02 Jan 2026 03:04:06 +0000',
      '',
    ])
  })

  it('has a group of fields for each recipient', () => {
    const recipients = ['one@example.org', 'two@example.org', 'three@example.org']
    const notices = recipients.map((address) => noticeOf('failed', { recipient: { address } }))
    const groups = partsOf(textOf({ notices }))[1]?.body.split('\r\n\r\n') ?? []
    assert.equal(groups.length, 4)
    recipients.forEach((address, n) => {
      assert.match(groups[n + 1] ?? '', new RegExp(`^Final-Recipient: rfc822; ${address}\r$`, 'm'))
    })
  })

  it('never lets a remote host write a header field, and sends no bare CR or LF', () => {
    const text = textOf()
    assert.doesNotMatch(text, /^Evil:/m)
    assert.doesNotMatch(text, /(^|[^\r])\n|\r(?!\n)/)
  })

  it('says 5.4.7 for what expired, and class 4 with an end for what is late', () => {
    assert.match(textOf({ notices: [noticeOf('failed', { expired: true })] }), /^Status: 5\.4\.7\r$/m)
    const late = textOf({ kind: 'delayed' })
    assert.match(late, /^Status: 4\.1\.1\r$/m)
    assert.match(late, /^Will-Retry-Until: Wed, 07 Jan 2026 03:04:06 \+0000\r$/m)
  })

  it('says class 2 for the three kinds of success', () => {
    const reply = { code: 250, enhanced: '2.6.0', text: 'taken', host: 'mx.example.org' }
    for (const kind of ['delivered', 'relayed', 'expanded'] as const) {
      const text = textOf({ kind, notices: [noticeOf(kind, { reply })] })
      assert.match(text, new RegExp(`^Action: ${kind}\r$`, 'm'))
      assert.match(text, /^Status: 2\.6\.0\r$/m)
      assert.doesNotMatch(text, /^Will-Retry-Until|^Last-Attempt-Date/m)
    }
  })

  it('names a reply of our own as such', () => {
    const reply = { code: 550, enhanced: '5.1.1', text: 'no such user', host: '' }
    const text = textOf({ notices: [noticeOf('failed', { reply })] })
    assert.match(text, /^Diagnostic-Code: x-posthorn; 550 5\.1\.1 no such user\r$/m)
    assert.doesNotMatch(text, /^Remote-MTA/m)
  })
})

describe('report beyond ASCII', () => {
  const recipient: Recipient = {
    address: 'jürgen@example.org',
    orcpt: 'utf-8;j\\x{FC}rgen\\x{2B}x@example.org',
  }
  const reply = { code: 550, enhanced: '5.1.1', text: 'hüte dich', host: 'mx.example.org' }
  const notices = [noticeOf('failed', { recipient, reply })]

  it('has the global forms of RFC 6533 for who sent an internationalized message', () => {
    const returned = { whole: false, content: Buffer.from('Subject: ü\r\n') }
    const [, status, header] = partsOf(textOf({ notices, returned, about: { ...about, smtputf8: true } }))
    assert.match(status?.header ?? '', /^Content-Type: message\/global-delivery-status\r$/m)
    assert.match(status?.header ?? '', /^Content-Transfer-Encoding: 8bit$/m)
    assert.match(status?.body ?? '', /^Final-Recipient: utf-8; jürgen@example\.org\r$/m)
    assert.match(status?.body ?? '', /^Original-Recipient: utf-8; jürgen\+x@example\.org\r$/m)
    assert.match(status?.body ?? '', /hüte dich/)
    assert.match(header?.header ?? '', /^Content-Type: message\/global-headers\r$/m)
  })

  it('keeps to ASCII in the fields for who did not', () => {
    const [, status] = partsOf(textOf({ notices }))
    assert.equal(status?.header, 'Content-Type: message/delivery-status')
    assert.match(status?.body ?? '', /^Final-Recipient: utf-8; j\\x\{FC\}rgen@example\.org\r$/m)
    assert.match(status?.body ?? '', /^Original-Recipient: utf-8; j\\x\{FC\}rgen\\x\{2B\}x@example\.org\r$/m)
    assert.match(status?.body ?? '', /^Diagnostic-Code: smtp; 550 5\.1\.1 h\?te dich\r$/m)
  })

  it('says which parts are 8bit, and of itself that one is', () => {
    const plain = textOf()
    assert.doesNotMatch(plain, /^Content-Transfer-Encoding/m)
    const returned = { whole: false, content: Buffer.from('Subject: \xfc\r\n', 'latin1') }
    const text = textOf({ returned })
    assert.equal(text.match(/^Content-Transfer-Encoding: 8bit\r$/gm)?.length, 2)
    assert.match(text.slice(0, text.indexOf('\r\n\r\n')), /^Content-Transfer-Encoding: 8bit$/m)
  })
})

describe('report of anything', () => {
  const text = fc.string({ unit: anyCharacter, maxLength: 400 })
  const reply = fc.record({
    code: fc.integer({ min: 0, max: 599 }),
    enhanced: fc.oneof(fc.constantFrom('', '5.1.1', '4.2.2', '2.0.0', '9'), text),
    text,
    host: fc.oneof(fc.constantFrom('', 'mx.example.org'), text),
  })
  const kinds: NoticeKind[] = ['failed', 'delayed', 'delivered', 'relayed', 'expanded']

  it('keeps its form whatever was said', () => {
    const given = [fc.constantFrom(...kinds), reply, fc.boolean(), fc.boolean()] as const
    fc.assert(
      fc.property(...given, (kind, said, expired, smtputf8) => {
        const whole = textOf({
          kind,
          about: { ...about, smtputf8 },
          notices: [noticeOf(kind, { reply: said, expired })],
        })
        const parts = partsOf(whole)
        assert.equal(parts.length, 3)
        assert.doesNotMatch(whole, /(^|[^\r])\n|\r(?!\n)/)
        for (const line of whole.split('\r\n')) assert.ok(Buffer.byteLength(line) <= 998, line)
        const status = parts[1]?.body ?? ''
        assert.equal(status.split('\r\n\r\n').length, 2, 'one group for the message, one for the recipient')
        for (const line of status.trimEnd().split('\r\n')) assert.match(line, /^(?:[A-Z][A-Za-z-]+: .+)?$/)
      }),
      { numRuns: 500 },
    )
  })

  it('has a boundary that does not come in what it returns', () => {
    const forged = Buffer.from('A: 1\r\n\r\n\r\n--=_posthorn_25\r\n\r\n--=_posthorn_25_1--\r\n')
    const parts = partsOf(textOf({ returned: { whole: true, content: forged } }))
    assert.equal(parts.length, 3)
    assert.deepEqual(parts[2], { header: 'Content-Type: message/rfc822', body: forged.toString() })
  })
})

describe('returned content', () => {
  const content = Buffer.from('A: 1\r\nB: 2\r\n\r\nbody\r\n')
  const full: Envelope = { ...about, ret: 'full', size: content.length }

  it('is all of it for RET=FULL, a failure and a message that is not too large', () => {
    assert.deepEqual(returnedFrom(content, full, 'failed', content.length), { whole: true, content })
  })

  it('is the header otherwise', () => {
    const header = { whole: false, content: Buffer.from('A: 1\r\nB: 2\r\n') }
    assert.deepEqual(returnedFrom(content, full, 'failed', content.length - 1), header)
    assert.deepEqual(returnedFrom(content, full, 'relayed', 1000), header)
    assert.deepEqual(returnedFrom(content, { ...full, ret: 'hdrs' }, 'failed', 1000), header)
    assert.deepEqual(
      returnedFrom(content, { ...full, size: 99 }, 'failed', 1000),
      header,
      'not all is at hand',
    )
    const { ret: _, ...silent } = full
    assert.deepEqual(returnedFrom(content, silent, 'failed', 1000), header)
  })

  it('has headers cut at a line', () => {
    const cut = (text: string, most?: number) => Buffer.from(headerOf(Buffer.from(text), most)).toString()
    assert.equal(cut('A: 1\r\nB: 2\r\n\r\nbody'), 'A: 1\r\nB: 2\r\n')
    assert.equal(cut('A: 1\r\nB: 22222\r\n\r\n', 10), 'A: 1\r\n')
    assert.equal(cut('A: 1\r\nB: 22222\r\n\r\n', 6), 'A: 1\r\n')
    assert.equal(cut('A: 1\r\nB: 22222\r\n\r\n', 5), '')
    assert.equal(cut('A: 1'), 'A: 1')
  })
})

it('prints dates as RFC 5322 has them', () => {
  assert.equal(mailDate(0), 'Thu, 01 Jan 1970 00:00:00 +0000')
})
