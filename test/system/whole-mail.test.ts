/**
 * Mail through all six processes: in by SMTP and by sendmail, out into a Maildir and to the next hop.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dotted, openSession, sendMail, transact } from '../support/client.ts'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port }),
      users: ['anna', 'ben', 'carl', 'dora'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0, 'a drained Posthorn leaves with 0')
    await sink.close()
  },
  { timeout },
)

const mx = () => posthorn.ports['mx'] ?? 0

test('SMTP to a Maildir, octet for octet', { timeout }, async () => {
  const { mark, content } = makeSpecimen(5000)
  const reply = await sendMail(mx(), { from: 'x@client.example', to: ['anna@local.example'], content })
  assert.equal(reply.code, 250)
  assert.match(reply.text, /^2\.0\.0 .*\bT[0-9A-Z]+/, 'the reply names the transaction')
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  assert.ok(mail)
  assert.equal(readSpecimen(mail.content), mark)
  const text = mail.content.toString()
  const id = /\bT[0-9A-Z]+/.exec(reply.text)?.[0] ?? ''
  assert.match(text, /^Return-Path: <x@client\.example>$/m)
  assert.match(
    text,
    new RegExp(`^Received: from client\\.example .*by mx\\.posthorn\\.example .*\\b${id}\\b`, 'ms'),
  )
  assert.match(posthorn.log(), new RegExp(id), 'and so does the log')
})

test('SMTP to the next hop, octet for octet', { timeout }, async () => {
  const { mark, content } = makeSpecimen(5000)
  const before = sink.mails.length
  const reply = await sendMail(mx(), { from: 'x@client.example', to: ['far@relay.example'], content })
  assert.equal(reply.code, 250)
  const mail = (await sink.received(before + 1)).at(-1)
  assert.ok(mail)
  assert.equal(readSpecimen(mail.content), mark)
  assert.equal(mail.from, 'x@client.example')
  assert.deepEqual(mail.to, ['far@relay.example'])
  assert.ok(mail.content.toString().endsWith(content), 'nothing was added after the header')
})

test('sendmail to a Maildir', { timeout }, async () => {
  const { mark, content } = makeSpecimen(2000)
  const input = content.replaceAll('\r\n', '\n')
  const { code, stdout, stderr } = await posthorn.sendmail(
    input,
    '-i',
    '-f',
    'ben@local.example',
    'ben@local.example',
  )
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' })
  const [mail] = await mailsIn(posthorn.maildir('ben'), 1)
  assert.ok(mail)
  assert.equal(readSpecimen(mail.content), mark)
  assert.match(mail.content.toString(), /^Message-ID: <.+@.+>$/im)
  assert.match(mail.content.toString(), /^Date: /m)
})

test('one message to local and far recipients: each gets one copy', { timeout }, async () => {
  const { mark, content } = makeSpecimen(2000)
  const before = sink.mails.length
  const to = ['carl@local.example', 'one@relay.example', 'dora@local.example', 'two@relay.example']
  const reply = await sendMail(mx(), { from: 'x@client.example', to, content })
  assert.equal(reply.code, 250)
  for (const user of ['carl', 'dora']) {
    const mails = await mailsIn(posthorn.maildir(user), 1)
    assert.deepEqual(
      mails.map((mail) => readSpecimen(mail.content)),
      [mark],
    )
  }
  const mail = (await sink.received(before + 1)).at(-1)
  assert.deepEqual(mail?.to.toSorted(), ['one@relay.example', 'two@relay.example'])
  await posthorn.queueEmpty()
  assert.equal(sink.mails.length, before + 1)
})

test('the local part matters not in case, the detail not at all', { timeout }, async () => {
  const before = maildirFiles(posthorn.maildir('anna')).length
  for (const to of ['ANNA@Local.Example', 'anna+lists@local.example']) {
    const { content } = makeSpecimen(100)
    assert.equal((await sendMail(mx(), { from: '', to: [to], content })).code, 250, to)
  }
  await mailsIn(posthorn.maildir('anna'), before + 2)
})

test('an unknown user is refused in the session', { timeout }, async () => {
  const session = await openSession(mx())
  await session.say('MAIL FROM:<x@client.example>')
  const reply = await session.say('RCPT TO:<nobody-here@local.example>')
  assert.equal(reply.code, 550)
  assert.equal(reply.enhanced, '5.1.1')
  assert.equal(
    (await session.say('RCPT TO:<anna@local.example>')).code,
    250,
    'the next recipient is unharmed',
  )
  await session.quit()
})

test('many transactions in one session, pipelined', { timeout }, async () => {
  const session = await openSession(mx())
  const before = sink.mails.length
  const specimens = Array.from({ length: 20 }, () => makeSpecimen(300))
  for (const { content } of specimens) {
    session.write(`MAIL FROM:<x@client.example>\r\nRCPT TO:<far@relay.example>\r\nDATA\r\n`)
    for (const code of [250, 250, 354]) assert.equal((await session.reply()).code, code)
    session.write(dotted(content))
    assert.equal((await session.reply()).code, 250)
  }
  await session.quit()
  const marks = (await sink.received(before + 20)).slice(before).map((mail) => readSpecimen(mail.content))
  assert.deepEqual(new Set(marks), new Set(specimens.map(({ mark }) => mark)))
})

test('a refused recipient at the next hop comes back as a report', { timeout }, async () => {
  sink.setAnswer((stage, who) =>
    stage === 'rcpt' && who.startsWith('gone') ? '550 5.1.1 no such user' : null,
  )
  const before = maildirFiles(posthorn.maildir('anna')).length
  const session = await openSession(mx())
  const { content } = makeSpecimen(300)
  const to = ['gone@relay.example', 'here@relay.example']
  assert.equal((await transact(session, { from: 'anna@local.example', to, content })).code, 250)
  await session.quit()
  const mails = await mailsIn(posthorn.maildir('anna'), before + 1)
  const report = mails.map((mail) => mail.content.toString()).find((text) => /multipart\/report/i.test(text))
  assert.ok(report, 'a report (RFC 3464)')
  assert.match(report, /^Return-Path: <>$/m)
  assert.match(report, /^Final-Recipient: rfc822; ?gone@relay\.example$/im)
  assert.match(report, /^Status: 5\.1\.1$/m)
  assert.doesNotMatch(report, /^Final-Recipient: .*here@/im)
  sink.setAnswer(() => null)
  await posthorn.queueEmpty()
})
