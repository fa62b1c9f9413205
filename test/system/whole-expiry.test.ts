/**
 * Mail that never gets through: after its lifetime the sender is told, once, and a report that cannot be
 * delivered is told to nobody.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { openSink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000

test('expired: one report with the last reply', { timeout }, async () => {
  const sink = await openSink((stage) => (stage === 'rcpt' ? '450 4.2.1 mailbox busy' : null))
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        qmgr: 'retry 300ms; lifetime 2s; bounce-lifetime 2s; delay-warning 1s;',
      }),
    users: ['anna'],
  })
  try {
    const { mark, content } = makeSpecimen(500)
    const mx = posthorn.ports['mx'] ?? 0
    const to = ['never@relay.example', 'neither@relay.example']
    assert.equal((await sendMail(mx, { from: 'anna@local.example', to, content })).code, 250)
    assert.equal((await sendMail(mx, { from: '', to: ['null@relay.example'], content })).code, 250)
    await posthorn.queueEmpty(60_000)
    const mails = await mailsIn(posthorn.maildir('anna'), 1)
    const texts = mails.map((mail) => mail.content.toString())
    const failed = texts.filter((text) => /^Action: failed$/m.test(text))
    for (const address of to) {
      const naming = failed.filter((text) =>
        new RegExp(`^Final-Recipient: rfc822; ?${address}$`, 'm').test(text),
      )
      assert.equal(naming.length, 1, `${address}: reported failed once`)
    }
    const [report] = failed
    assert.ok(report)
    assert.match(report, /^Content-Type: multipart\/report; .*report-type="?delivery-status"?/ims)
    assert.match(report, /^Return-Path: <>$/m)
    assert.match(report, /^Status: [45]\.4\.7$/m, 'delivery time expired (RFC 3463 section 3.5)')
    assert.match(report, /mailbox busy/)
    assert.match(report, new RegExp(mark), 'the original header is returned')
    assert.equal(sink.mails.length, 0)
    assert.doesNotMatch(texts.join('\n'), /^Final-Recipient: .*null@/m, 'nobody is told of mail from <>')
    assert.equal(maildirFiles(posthorn.maildir('anna')).length, mails.length)
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})

test('a report to a sender who does not exist ends there', { timeout }, async () => {
  const sink = await openSink((stage) => (stage === 'rcpt' ? '550 5.1.1 no such user' : null))
  const posthorn = await startPosthorn({ config: (paths) => testConfig(paths, { relayPort: sink.port }) })
  try {
    const { content } = makeSpecimen(500)
    const mail = { from: 'unknown@local.example', to: ['x@relay.example'], content }
    assert.equal((await sendMail(posthorn.ports['mx'] ?? 0, mail)).code, 250)
    await posthorn.queueEmpty(60_000)
    assert.equal(sink.mails.length, 0)
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})
