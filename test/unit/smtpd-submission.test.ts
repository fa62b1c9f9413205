/** What a submitted header becomes: fields that are missing, names without a domain, who is named as sender. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { completeHeader, type Submission } from '../../services/smtpd/submission.ts'

const timeout = 60_000
const plain: Submission = {
  id: 268435457,
  hostname: 'mx.example.org',
  qualifyDomain: 'example.org',
  sender: 'ann@example.org',
  startedAt: 0,
  author: { address: 'ann@example.org', fullName: 'Ann Bee' },
  owns: (address) => /^ann(@example\.org)?$/.test(address),
  mayWrite: () => true,
  asksHeader: false,
  asIs: false,
}
const DATE = 'Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n'
const ID = 'Message-ID: <T4FTI4H.0@mx.example.org>\r\n'
const DATED = `${DATE}${ID}`

function complete(text: string, change: Partial<Submission> = {}): string {
  const done = completeHeader(text, { ...plain, ...change })
  assert.equal(done.kind, 'good')
  return done.kind === 'good' ? (done.header ?? text.slice(0, done.length)) + text.slice(done.length) : ''
}

test('From has the full name, and what is there already stays', { timeout }, () => {
  assert.equal(
    complete('Subject: x\r\n\r\nbody'),
    `From: Ann Bee <ann@example.org>\r\n${DATED}Subject: x\r\n\r\nbody`,
  )
  const whole = `From: ann@example.org\r\n${DATED}X: \xff  odd\r\n\t folded\r\n\r\nbody`
  assert.equal(complete(whole), whole)
  const done = completeHeader(whole, plain)
  assert.equal(done.kind === 'good' && done.header, null, 'nothing is copied')
})

test('a name that is no atom is quoted or encoded, and no line of its own', { timeout }, () => {
  const author = (fullName: string) => ({ author: { address: 'ann@example.org', fullName } })
  assert.match(complete('\r\n', author('Bee, Ann')), /^From: "Bee, Ann" <ann@example.org>\r\n/)
  assert.match(complete('\r\n', author('Jürgen')), /^From: =\?utf-8\?B\?SsO8cmdlbg==\?= <ann@/)
})

test('Sender names the author where From does not', { timeout }, () => {
  assert.match(
    complete(`From: boss@example.org\r\n${DATED}\r\n`),
    /^Sender: <ann@example\.org>\r\nFrom: boss@/,
  )
  assert.doesNotMatch(complete('From: Ann <ann@example.org>\r\n\r\n'), /Sender/)
  // a group, nonsense, and two authors of whom one is somebody else
  for (const from of ['someone', 'a b c', 'ann, bob'])
    assert.match(complete(`From: ${from}\r\n\r\n`), /Sender: <ann@example\.org>\r\n/, from)
  const lie = complete(`Sender: boss@example.org\r\nFrom: ann\r\n${DATED}\r\n`)
  assert.equal(lie, `From: ann@example.org\r\n${DATED}\r\n`)
  assert.match(
    complete('From: boss@x.example\r\nSender: Ann <ann>\r\n\r\n'),
    /\r\nSender: Ann <ann@example\.org>/,
  )
  assert.doesNotMatch(
    complete('From: boss@x.example\r\n\r\n', { author: null }),
    /Sender/,
    'nobody has proved who it is',
  )
  assert.match(
    complete('\r\n', { sender: 'list@x.example' }),
    /^From: Ann Bee <list@x\.example>\r\nSender: <ann@/,
  )
})

test('names without a domain get ours, in place', { timeout }, () => {
  const header = complete(
    `From: root (Cron "Daemon")\r\nTo: Ann <ann>,\r\n\tb@x.example, list: cyd, "d e"@y;\r\nCc: broken <\r\nSubject: root\r\n${DATED}\r\n`,
    { owns: () => true },
  )
  assert.equal(
    header,
    `From: root@example.org (Cron "Daemon")\r\nTo: Ann <ann@example.org>,\r\n\tb@x.example, list: cyd@example.org, "d e"@y;\r\nCc: broken <\r\nSubject: root\r\n${DATED}\r\n`,
  )
  const utf8 = Buffer.from('To: Jürgen <jürgen>\r\n').toString('latin1')
  assert.match(Buffer.from(complete(`${utf8}\r\n`), 'latin1').toString(), /To: Jürgen <jürgen@example\.org>/)
  assert.match(
    complete('To: J\xfcrgen <jurgen>\r\n\r\n'),
    /To: J\xfcrgen <jurgen>\r\n/,
    'octets are never lost',
  )
})

test('Bcc, Return-Path and Content-Length go; with XASIS only Bcc', { timeout }, () => {
  const header = `Return-Path: <x@y>\r\nBcc: b\r\n c\r\nContent-Length: 5\r\nResent-Bcc: d\r\nFrom: boss\r\n\r\n`
  const done = complete(header)
  assert.doesNotMatch(done, /bcc|return-path|content-length/i)
  assert.equal(
    complete(header, { asIs: true }),
    'Return-Path: <x@y>\r\nContent-Length: 5\r\nFrom: boss\r\n\r\n',
  )
})

test('a message sent on is completed in its newest block', { timeout }, () => {
  const old = 'Resent-From: old@x\r\nTo: first@x.example\r\nFrom: other@x.example\r\n'
  assert.equal(
    complete(`Received: x\r\nResent-To: new\r\nX: y\r\n${old}\r\n`),
    `Received: x\r\nResent-Sender: <ann@example.org>\r\nResent-Date: ${DATE.slice(6)}Resent-Message-ID: ${ID.slice(12)}Resent-To: new@example.org\r\nX: y\r\n${old}\r\n`,
  )
})

test('what has no header is all body', { timeout }, () => {
  const made = `From: Ann Bee <ann@example.org>\r\n${DATED}\r\n`
  assert.equal(complete('just text\r\n'), `${made}just text\r\n`)
  assert.equal(complete('\r\nbody'), `${made}body`)
  assert.equal(complete('A: 1\r\nno field\r\n'), `${made.slice(0, -2)}A: 1\r\n\r\nno field\r\n`)
  assert.equal(complete(''), made.slice(0, -2))
})

test('From is looked at, on every line that has one, and in a message sent on', { timeout }, () => {
  const mayWrite = (address: string) => address === 'ann'
  for (const bad of [
    'From: boss',
    'From: ann, boss',
    'From: ann\r\nFrom: boss',
    'Resent-From: boss\r\nFrom: ann',
    'From: a b',
  ])
    assert.equal(completeHeader(`${bad}\r\n\r\n`, { ...plain, mayWrite }).kind, 'refused', bad)
  assert.equal(completeHeader('From: ann\r\n\r\n', { ...plain, mayWrite }).kind, 'good')
})

test('RCPTHDR gives recipients, Bcc among them, and the sender', { timeout }, () => {
  const named = (text: string) => {
    const done = completeHeader(`${text}\r\n\r\n`, { ...plain, asksHeader: true })
    return done.kind === 'good' ? done.named : null
  }
  assert.deepEqual(named('From: a@x, b@x\r\nTo: c@x\r\nBcc: d'), {
    recipients: { kind: 'good', list: ['c@x', 'd'] },
    sender: 'a@x',
  })
  assert.equal(named('From: a@x\r\nSender: s@x')?.sender, 's@x')
  assert.equal(named('Resent-From: r@x\r\nFrom: a@x')?.sender, 'r@x')
  assert.equal(named('To: c@x')?.sender, null)
  assert.equal(named('To: a b')?.recipients.kind, 'bad')
})

test('any octets: the body is whole, and done twice is done once', { timeout }, () => {
  const piece = fc.constantFrom(
    'From:',
    'Bcc: x',
    'To: a',
    '\r\n',
    '\r\n ',
    ' ',
    'Resent-To: b',
    ':',
    '"',
    '(',
    '\xff',
    'x',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const text = pieces.join('')
      const once = complete(`${text}\r\n\r\nbody`)
      assert.ok(once.endsWith('\r\nbody'))
      assert.equal(complete(once), once)
    }),
    { numRuns: 3000 },
  )
})
