/**
 * The pure parts of a user's agent: SASL against the server's side of it, what is said on its socket, what a header
 * lacks, netrc, msmtp's file, grants, and what an attempt leaves behind.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { importMsmtp } from '../../commands/accounts/msmtp.ts'
import { readAccounts } from '../../commands/accounts/read.ts'
import type { Mechanism } from '../../commands/accounts/values.ts'
import { handedSocket } from '../../commands/agent/agent.ts'
import { answerOfCommand, patternsFor, readAnswer } from '../../commands/agent/answer.ts'
import { afterAttempt, failedSince, waitAfter } from '../../commands/agent/attempt.ts'
import { Away } from '../../commands/agent/away.ts'
import { renderQuestion } from '../../commands/agent/confirmation.ts'
import { ALWAYS, type Grant, Grants, grantId, isGranted, listGrants } from '../../commands/agent/grants.ts'
import { Incoming, missingFields } from '../../commands/agent/incoming.ts'
import { Intake } from '../../commands/agent/intake.ts'
import { chooseMechanism } from '../../commands/agent/login.ts'
import { readNetrc } from '../../commands/agent/netrc.ts'
import { renderReport, wantsReport } from '../../commands/agent/notice.ts'
import { newMessage, type OutboxMessage } from '../../commands/agent/outbox.ts'
import { mechanisms as served } from '../../services/smtpd/sasl.ts'
import type { Channel, SaslStep, Verdict } from '../../services/smtpd/sasl-step.ts'
import { printProblems } from '../../shared/config/problem.ts'
import type { Outcome } from '../../shared/message/outcome.ts'
import { deriveKeys } from '../../shared/smtp/scram.ts'
import {
  type Credentials,
  offeredMechanisms,
  SaslFailure,
  startExchange,
} from '../../shared/smtp-client/sasl.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthorn-agent-parts-'))
after(() => rmSync(folder, { recursive: true }))

// --- SASL

const EXPORTER = Buffer.alloc(32, 7)
const USER = 'änn,=x'
const PASSWORD = 'pass wörd'

async function verdictFor(step: SaslStep & { kind: 'check' }): Promise<Verdict> {
  const { claim } = step
  if (claim.kind === 'keys') {
    const keys = await deriveKeys(PASSWORD, Buffer.from('salt of the user'), 4096)
    return { kind: 'keys', keys, known: true }
  }
  const given = claim.kind === 'password' ? claim.password : claim.kind === 'token' ? claim.token : ''
  return given === PASSWORD || given === 't0ken' ? { kind: 'true', login: USER } : { kind: 'false' }
}

/** Both sides by turns; gives how the server ended. */
async function play(
  mechanism: Mechanism,
  credentials: Credentials,
  exporter: Buffer | null,
): Promise<string> {
  const channel: Channel = {
    exporter,
    bindingOffered: credentials.bindingOffered,
    certificateNames: [],
    random: (octets) => Buffer.alloc(octets, 3),
  }
  const start = served.get(mechanism.toUpperCase())
  assert.ok(start, mechanism)
  const client = startExchange(mechanism, credentials)
  let step: SaslStep = client.first ? start(channel, client.first) : start(channel, null)
  while (step.kind === 'check' || step.kind === 'challenge') {
    if (step.kind === 'check') step = step.answer(await verdictFor(step))
    else step = step.answer(await client.next(step.data))
  }
  if (step.kind === 'done') assert.ok(client.proved())
  return step.kind === 'done' ? `done ${step.login}` : `${step.kind} ${step.why}`
}

const credentials: Credentials = {
  user: USER,
  secret: PASSWORD,
  host: 'h.example',
  port: 587,
  binding: { name: 'tls-exporter', data: EXPORTER },
  bindingOffered: true,
}

test('every mechanism is understood by a server that knows nothing of this code', async () => {
  const unbound = { ...credentials, binding: null, bindingOffered: false }
  assert.equal(await play('plain', credentials, null), `done ${USER}`)
  assert.equal(await play('login', credentials, null), `done ${USER}`)
  assert.equal(await play('oauthbearer', { ...credentials, secret: 't0ken' }, null), `done ${USER}`)
  assert.equal(await play('xoauth2', { ...credentials, secret: 't0ken' }, null), `done ${USER}`)
  assert.equal(await play('scram-sha-256', unbound, null), `done ${USER}`)
  assert.equal(await play('scram-sha-256-plus', credentials, EXPORTER), `done ${USER}`)
})

test('a wrong secret fails, and an error of a token is acknowledged', async () => {
  assert.equal(await play('plain', { ...credentials, secret: 'no' }, null), 'failed wrong')
  assert.equal(await play('xoauth2', { ...credentials, secret: 'no' }, null), 'failed wrong')
  assert.equal(await play('oauthbearer', { ...credentials, secret: 'no' }, null), 'failed wrong')
  assert.equal(await play('scram-sha-256-plus', { ...credentials, secret: 'no' }, EXPORTER), 'failed wrong')
})

test('somebody in between is found out: another channel, or an offer taken away', async () => {
  assert.equal(await play('scram-sha-256-plus', credentials, Buffer.alloc(32, 8)), 'failed wrong')
  // the client saw no -PLUS and says `y`; this server did offer it
  const client = startExchange('scram-sha-256', { ...credentials, bindingOffered: false })
  assert.match(String(client.first), /^y,,/)
  assert.match(String(startExchange('scram-sha-256', { ...credentials, binding: null }).first), /^n,,/)
})

test('a server that does not know the password is not believed', async () => {
  const client = startExchange('scram-sha-256', credentials)
  const nonce = /r=([^,]+)$/.exec(String(client.first))?.[1] ?? ''
  await assert.rejects(client.next(Buffer.from('r=another,s=c2FsdA==,i=4096')), SaslFailure)
  await assert.rejects(client.next(Buffer.from(`r=${nonce},s=c2FsdA==,i=4096`)), SaslFailure)
  await client.next(Buffer.from(`r=${nonce}more,s=c2FsdA==,i=4096`))
  assert.equal(client.proved(), false)
  await assert.rejects(client.next(Buffer.from('v=AAAA')), SaslFailure)
  assert.equal(client.proved(), false)
})

test('the best mechanism that is offered, allowed, and fits the secret', () => {
  const offered = offeredMechanisms([
    'SIZE 1',
    'AUTH=LOGIN',
    'AUTH PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2',
  ])
  const secret = { kind: 'command', line: 'p' } as const
  const account = { mechanisms: [], secret, tokenCommand: null }
  assert.equal(chooseMechanism(account, offered, true), 'scram-sha-256-plus')
  assert.equal(chooseMechanism(account, offered, false), 'scram-sha-256')
  assert.equal(chooseMechanism({ ...account, secret: null, tokenCommand: 't' }, offered, true), 'xoauth2')
  assert.equal(chooseMechanism({ ...account, mechanisms: ['login', 'plain'] }, offered, true), 'login')
  assert.equal(chooseMechanism(account, ['gssapi'], true), null)
})

// --- the socket

function talk(...lines: string[]): string[] {
  const intake = new Intake(1000)
  return lines.map((text) => {
    const step = intake.line({ kind: 'line', text })
    return step.kind === 'reply' ? String(step.reply.code) : step.kind
  })
}

test('LMTP on the socket: order, addresses, parameters', () => {
  assert.deepEqual(talk('MAIL FROM:<a@x>', 'LHLO me', 'RCPT TO:<b@x>', 'DATA'), ['503', '250', '503', '503'])
  assert.deepEqual(
    talk(
      'LHLO me',
      'mail from:<ann> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x XACCOUNT=wo+2Ark',
      'rcpt to:<b@x.example> NOTIFY=NEVER',
      'data',
      'quit',
    ),
    ['250', '250', '250', 'data', 'quit'],
  )
  assert.deepEqual(
    talk(
      'EHLO me',
      'MAIL FROM:<>',
      'RCPT TO:<bob>',
      'RCPT TO:<postmaster>',
      'RCPT TO:<b@x> BY=1',
      'RCPT TO:b@x',
      'DATA',
    ),
    ['250', '250', '553', '553', '555', '501', '503'],
  )
  assert.deepEqual(talk('EHLO me', 'MAIL FROM:<a@x> SIZE=1001', 'MAIL FROM:<a@x> X=1'), ['250', '552', '555'])
  assert.deepEqual(talk('XOUTBOX RETRY', 'XOUTBOX REMOVE', 'XOUTBOX RELEASE U1', 'XOUTBOX EAT U1', 'WIZ'), [
    'outbox',
    '501',
    'outbox',
    '501',
    '500',
  ])
})

test('whatever is said on the socket, there is an answer', () => {
  const words = fc.constantFrom('LHLO x', 'MAIL FROM:<a@b>', 'RCPT TO:<c@d>', 'DATA', 'RSET', 'XOUTBOX RETRY')
  fc.assert(
    fc.property(fc.array(fc.oneof(words, fc.string())), (lines) => {
      assert.equal(talk(...lines).length, lines.length)
    }),
  )
})

// --- messages

async function taken(text: string, split: number): Promise<string> {
  const path = join(folder, `in-${split}-${text.length}`)
  const incoming = new Incoming(path, 1_000_000, (heading) =>
    missingFields(heading, 'ann@x.example', new Date(0)).replace(/<[0-9a-f]{32}@/, '<id@'),
  )
  const octets = Buffer.from(text, 'latin1')
  incoming.push(octets.subarray(0, split))
  await incoming.flush()
  incoming.push(octets.subarray(split))
  await incoming.end()
  const found = readFileSync(path, 'latin1')
  rmSync(path)
  assert.equal(found.length, incoming.size)
  return found
}

const ADDED = 'Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: ann@x.example\r\nMessage-ID: <id@x.example>\r\n'

test('missing fields come first, content stays as it is, at every split', async () => {
  const text = 'Subject: a\r\n b\r\n\r\nbody\r\n\r\n\xff end'
  for (let split = 0; split <= text.length; split++) assert.equal(await taken(text, split), ADDED + text)
  const full = 'dATE: x\r\nFrom: y@z.example\r\nMessage-Id: <q@r>\r\n\r\nz'
  assert.equal(await taken(full, 3), full)
})

test('a message without a header gets one, and a blank line', async () => {
  assert.equal(await taken('no header here\r\nat all', 4), `${ADDED}\r\nno header here\r\nat all`)
  assert.equal(await taken('\r\nbody', 1), `${ADDED}\r\nbody`)
  assert.equal(await taken('', 0), `${ADDED}\r\n`)
})

test('what is too large, or a header without end, is dropped and said', async () => {
  const incoming = new Incoming(join(folder, 'large'), 100, () => '')
  incoming.push(Buffer.alloc(101, 'x'))
  assert.ok(incoming.tooLarge)
  await incoming.discard()
  const endless = new Incoming(join(folder, 'endless'), 10_000_000, () => '')
  for (let n = 0; n < 20; n++) endless.push(Buffer.from(`A: ${'x'.repeat(65_000)}\r\n`))
  assert.ok(endless.endless)
  await endless.discard()
})

test('netrc, as ftp and curl write it', () => {
  const text = `# comment\nmacdef init\nmachine not.example password no\n\nmachine a.example login ann password "s p\\"q" machine b.example
  login bob password x\ndefault login eve password d`
  assert.equal(readNetrc(text, 'A.example', 'ann'), 's p"q')
  assert.equal(readNetrc(text, 'b.example', 'bob'), 'x')
  assert.equal(readNetrc(text, 'a.example', 'bob'), null)
  assert.equal(readNetrc(text, 'c.example', 'eve'), 'd')
  assert.equal(readNetrc(text, 'not.example', 'x'), null)
})

test("msmtp's file becomes ours, checks, and holds no password", () => {
  const text = importMsmtp(`# mine
defaults
auth on
tls on
timeout 30
account work
host smtp.work.example
port 465
tls_starttls off
from *@work.example
user ann
passwordeval "gpg -q -d ~/.p.gpg"
account home : work
host mail.home.example
port 587
tls_starttls on
from ann@home.example
password s3cret
passwordeval
tls_certcheck off
odd_option 1
account default : home
`)
  assert.doesNotMatch(text, /s3cret/)
  assert.match(text, /odd_option has no counterpart/)
  assert.match(text, /did not check the certificate; it is always checked now/)
  const file = join(folder, 'msmtp.conf')
  writeFileSync(file, text, { mode: 0o600 })
  const read = readAccounts(file)
  assert.equal(read.kind, 'ok', read.kind === 'bad' ? printProblems(read.problems) : '')
  if (read.kind !== 'ok') return
  const [work, home] = read.accounts.accounts
  assert.deepEqual(
    [work?.tls, work?.port, work?.secret],
    ['implicit', 465, { kind: 'command', line: 'gpg -q -d ~/.p.gpg' }],
  )
  assert.deepEqual([home?.tls, home?.isDefault, home?.timeout, home?.user], ['starttls', true, 30_000, 'ann'])
  assert.equal(home?.secret?.kind, 'secret-tool')
})

// --- decisions

test('a grant is for a program, an account, recipients and a time', () => {
  const grants: Grant[] = [
    { program: '/p', account: 'a', recipients: ['*@x.example', 'b@y.example'], until: 100 },
  ]
  const asked = { program: '/p', account: 'a', recipients: ['q@x.example', 'B@y.example'] }
  assert.ok(isGranted(grants, asked, 99))
  assert.ok(!isGranted(grants, asked, 100))
  assert.ok(!isGranted(grants, { ...asked, program: '/q' }, 1))
  assert.ok(!isGranted(grants, { ...asked, account: 'b' }, 1))
  assert.ok(!isGranted(grants, { ...asked, recipients: ['q@x.example', 'c@y.example'] }, 1))
  assert.ok(
    !isGranted([{ ...grants[0], program: '' } as Grant], { ...asked, program: '' }, 1),
    'an unknown program',
  )
  assert.deepEqual(patternsFor(['A@x.example', '*@z.example'], false), ['a@x.example'])
  assert.deepEqual(patternsFor(['A@x.example', 'b@x.example'], true), ['*@x.example'])
})

test('grants are listed and revoked by name, and the longer time counts', async () => {
  const state = mkdtempSync(join(folder, 'grants-'))
  const grants = new Grants(state)
  const asked = { program: '/p', account: 'a', recipients: ['b@y.example'] }
  await grants.add(asked, ALWAYS, 1)
  await grants.add(asked, 100, 1)
  await grants.add({ ...asked, program: '/q' }, 50, 2)
  assert.deepEqual(
    listGrants(state, 2).map(({ program, until }) => [program, until]),
    [
      ['/p', ALWAYS],
      ['/q', 50],
    ],
  )
  assert.equal(listGrants(state, 50).length, 1)
  assert.equal(await grants.revoke('G0000000000'), 0)
  assert.equal(await grants.revoke(grantId(asked).toLowerCase()), 1)
  assert.ok(!new Grants(state).covers(asked, 3))
  assert.equal(await grants.revoke(null), 1)
  assert.deepEqual(listGrants(state, 3), [])
})

test('what a user says is yes, no, or no answer; a pattern must cover who is in question', () => {
  const to = ['Bob@a.x.example', 'cyd@b.x.example']
  const said = (line: string) => readAnswer(line, to)
  const exact = ['bob@a.x.example', 'cyd@b.x.example']
  assert.deepEqual(said(' Y '), { kind: 'yes', patterns: exact, always: false })
  assert.deepEqual(said('always'), { kind: 'yes', patterns: exact, always: true })
  assert.deepEqual(said('d'), { kind: 'yes', patterns: ['*@a.x.example', '*@b.x.example'], always: false })
  assert.deepEqual(said('a *@*.X.example'), { kind: 'yes', patterns: ['*@*.x.example'], always: true })
  assert.deepEqual(said('n'), { kind: 'no' })
  assert.equal(said('y *@a.x.example'), 'that does not cover cyd@b.x.example')
  assert.match(String(said('y what')), /what is no pattern/)
  for (const line of ['', 'maybe', 'nope', 'no *@x', 'd *@x', 'constructor', 'yess'])
    assert.equal(typeof said(line), 'string', line)
  assert.deepEqual(answerOfCommand(3, '*@*.x.example\n', to), {
    kind: 'yes',
    patterns: ['*@*.x.example'],
    always: true,
  })
  assert.deepEqual(answerOfCommand(0, 'clicked OK\n', to), { kind: 'yes', patterns: exact, always: false })
  assert.deepEqual(answerOfCommand(1, '', to), { kind: 'no' })
  assert.deepEqual(
    [9, 127, null].map((exit) => answerOfCommand(exit, '', to).kind),
    Array(3).fill('unknown'),
  )
})

test('a question cannot play tricks on a terminal', () => {
  const text = renderQuestion({
    account: 'a',
    program: '/p',
    from: 'f@x',
    recipients: ['t@x'],
    subject: '\x1b[2J\nTo: z',
  })
  assert.equal(text.split('\n').length, 6)
  assert.ok(!text.includes('\x1b'))
})

const reply = (code: number) => ({ code, enhanced: '', text: 'said', host: 'h' })
const sent: Outcome = { kind: 'sent', reply: reply(250) }
const later: Outcome = { kind: 'later', reply: reply(451), blame: 'recipient' }
const never: Outcome = { kind: 'never', reply: reply(550) }
const settings = { retry: [10, 20], lifetime: 1000 }

function message(...addresses: string[]): OutboxMessage {
  return {
    ...newMessage,
    ...{ id: 'U1', account: 'a', sender: 's@x', subject: '', program: '', smtputf8: false, eightBit: false },
    ...{ ret: null, envid: null, size: 1, receivedAt: 0, state: 'waiting', nextAttemptAt: 0 },
    recipients: addresses.map((address) => ({ address, notify: null, orcpt: null })),
  }
}

test('an attempt settles each recipient once; who waits is tried again until the lifetime is over', () => {
  assert.equal(afterAttempt(message('a'), [sent], settings, 1).kind, 'done')
  const fate = afterAttempt(message('a', 'b', 'c'), [sent, later, never], settings, 1)
  assert.ok(fate.kind === 'kept')
  assert.deepEqual(
    fate.message.recipients.map(({ address }) => address),
    ['b'],
  )
  assert.deepEqual(
    fate.message.refused.map(({ address }) => address),
    ['c'],
  )
  assert.deepEqual([fate.message.state, fate.message.nextAttemptAt], ['waiting', 11])
  const end = afterAttempt(fate.message, [sent], settings, 2)
  assert.ok(end.kind === 'kept')
  assert.deepEqual([end.message.state, end.message.recipients], ['failed', []], 'refused stays to be seen')
  const old = afterAttempt(message('a'), [later], settings, 1000)
  assert.equal(old.kind === 'kept' && old.message.state, 'failed')
  assert.deepEqual([waitAfter(1, [10, 20]), waitAfter(2, [10, 20]), waitAfter(9, [10, 20])], [10, 20, 20])
})

test('an account that is away is left alone longer each time, until it answers', () => {
  const away = new Away()
  const fail = (now: number) => away.note('a', false, [10, 20], now)
  assert.equal(away.until('a'), 0)
  fail(100)
  assert.equal(away.until('a'), 110)
  fail(105)
  assert.equal(away.until('a'), 110, 'two that were under way together have failed once')
  fail(110)
  assert.equal(away.until('a'), 130)
  away.note('b', true, [10], 110)
  assert.equal(away.until('a'), 130)
  away.note('a', true, [10], 120)
  assert.equal(away.until('a'), 0)
  fail(200)
  away.forget()
  assert.equal(away.until('a'), 0)
})

test('who failed for good is told once, with what was said last', () => {
  const before = message('a', 'b', 'c')
  const fate = afterAttempt(before, [sent, later, never], settings, 1)
  assert.ok(fate.kind === 'kept')
  const names = (one: ReturnType<typeof failedSince>) =>
    one.map(({ address, reply: said }) => [address, said?.code])
  assert.deepEqual(names(failedSince(before, fate.message)), [['c', 550]])
  const old = afterAttempt(fate.message, [later], settings, 1000)
  assert.ok(old.kind === 'kept')
  assert.deepEqual(names(failedSince(fate.message, old.message)), [['b', 451]])
  const failure = { address: 'b', notify: null, reply: null }
  assert.ok(wantsReport(before, failure))
  assert.ok(wantsReport(before, { ...failure, notify: 'SUCCESS,FAILURE' }))
  assert.ok(!wantsReport(before, { ...failure, notify: 'NEVER' }))
  assert.ok(!wantsReport({ ...before, sender: '' }, failure))
})

test('a report is one of RFC 3464, and no word of a provider or a program adds a line to it', () => {
  const text = renderReport({
    message: { ...message('a@x'), subject: 'one\r\nBcc: all@x' },
    failures: [
      { address: 'a@x', notify: null, reply: { ...reply(550), text: 'no\r\nAction: delivered' } },
      { address: 'b@x', notify: null, reply: null },
    ],
    header: 'Subject: one\r\n',
    ...{ user: 'ann', host: 'h.example', now: new Date(0), boundary: 'B' },
  })
  const [head = '', words = '', status = '', header = ''] = text.split('\r\n--B')
  assert.match(head, /^To: <ann>\r\n[\s\S]*^Subject: Not delivered: one Bcc: all@x\r$/m)
  assert.match(words, /<a@x>\r\n {4}550 no Action: delivered\r\n {2}<b@x>\r\n {4}it has waited too long/)
  assert.match(status, /Final-Recipient: rfc822; a@x\r\nAction: failed\r\nStatus: 5\.0\.0\r\nDiagnostic-Code/)
  assert.match(status, /rfc822; b@x\r\nAction: failed\r\nStatus: 4\.4\.7/)
  assert.ok(header.endsWith('Subject: one\r\n'))
  assert.ok(text.endsWith('\r\n--B--\r\n'))
  assert.doesNotMatch(text, /[^\r]\n/)
})

test('a socket of systemd is taken only when it was meant for this process', () => {
  assert.equal(handedSocket({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7), 3)
  assert.equal(handedSocket({ LISTEN_PID: '8', LISTEN_FDS: '1' }, 7), null)
  assert.equal(handedSocket({}, 7), null)
})
