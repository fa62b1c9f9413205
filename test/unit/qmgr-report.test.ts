/** Delivery reports: form and manners. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { composeReport, headerOf, mailDate, type ReportFacts } from '../../services/qmgr/report.ts'

const facts: ReportFacts = {
  kind: 'failed',
  id: 77,
  about: {
    id: 5,
    sender: 'a@example.net',
    recipients: [],
    size: 3,
    body: '7bit',
    smtputf8: false,
    envid: 'QQ1',
    receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
    origin: { listener: 'mx', session: 'S1', client: '' },
  },
  concerned: [
    {
      recipient: { address: 'b@example.org', original: 'list@example.org', orcpt: 'rfc822;list@example.org' },
      reply: { code: 550, enhanced: '5.1.1', text: 'no\r\nEvil: header', host: 'mx.example.org' },
      expired: false,
    },
  ],
  header: Buffer.from('Subject: x\r\n'),
  hostname: 'mx.test',
  now: Date.UTC(2026, 0, 2, 3, 4, 6),
  until: Date.UTC(2026, 0, 7, 3, 4, 6),
}
const textOf = (more: Partial<ReportFacts> = {}) =>
  Buffer.from(composeReport({ ...facts, ...more })).toString()

describe('report', () => {
  it('is a multipart/report of three parts, ended', () => {
    const text = textOf()
    const boundary = /boundary="([^"]+)"/.exec(text)?.[1] ?? 'none'
    assert.equal(text.split(`\r\n--${boundary}\r\n`).length, 4)
    assert.ok(text.endsWith(`\r\n--${boundary}--\r\n`))
    assert.match(text, /^Auto-Submitted: auto-replied\r$/m)
    assert.match(text, /^Original-Envelope-Id: QQ1\r$/m)
    assert.match(text, /^Original-Recipient: rfc822;list@example.org\r$/m)
    assert.match(text, /^Action: failed\r$/m)
    assert.match(text, /^Remote-MTA: dns; mx.example.org\r$/m)
  })

  it('never lets a remote host write a header field, and sends no bare CR or LF', () => {
    const text = textOf()
    assert.doesNotMatch(text, /^Evil:/m)
    assert.doesNotMatch(text, /(^|[^\r])\n|\r(?!\n)/)
  })

  it('says 5.4.7 for what expired, and class 4 with an end for what is late', () => {
    const concerned = facts.concerned.map((one) => ({ ...one, expired: true }))
    assert.match(textOf({ concerned }), /^Status: 5\.4\.7\r$/m)
    const late = textOf({ kind: 'delayed' })
    assert.match(late, /^Status: 4\.1\.1\r$/m)
    assert.match(late, /^Will-Retry-Until: Wed, 07 Jan 2026 03:04:06 \+0000\r$/m)
  })

  it('names addresses that are not ASCII by RFC 6533', () => {
    const concerned = facts.concerned.map((one) => ({ ...one, recipient: { address: 'jürgen@example.org' } }))
    const text = textOf({ concerned })
    assert.match(text, /^Content-Type: message\/global-delivery-status\r$/m)
    assert.match(text, /^Final-Recipient: utf-8; jürgen@example\.org\r$/m)
  })

  it('cuts headers at a line', () => {
    assert.equal(
      Buffer.from(headerOf(Buffer.from('A: 1\r\nB: 2\r\n\r\nbody'))).toString(),
      'A: 1\r\nB: 2\r\n',
    )
    assert.equal(Buffer.from(headerOf(Buffer.from('A: 1\r\nB: 22222\r\n\r\n'), 10)).toString(), 'A: 1\r\n')
    assert.equal(Buffer.from(headerOf(Buffer.from('A: 1'))).toString(), 'A: 1')
  })

  it('prints dates as RFC 5322 has them', () => {
    assert.equal(mailDate(0), 'Thu, 01 Jan 1970 00:00:00 +0000')
  })
})
