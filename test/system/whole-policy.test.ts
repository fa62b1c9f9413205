/**
 * Who may hand in what on the local socket, by the kernel's word: other users' programs against the whole of
 * Posthorn. Users that every Debian has play the callers.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { openSession } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const skip = process.getuid?.() === 0 ? false : 'this needs root, to be other users: nothing of it was tested'
const NAMELESS = 54_321
const OVERFLOW = 65_534
const IDLE = 1000

const POLICIES = `
zone "." { type relay; hosts { "127.0.0.1" port 9; }; };
policy "no-games" { users { "games"; }; deny; };
policy "strict" { users { "mail"; }; senders { "%u@local.example"; }; from { "%u@local.example"; "team@local.example"; };
  message-size-limit 1K; limit messages 3/h; };
policy "tools" { groups { "bin"; }; trusted; };
`

let posthorn: Posthorn

before(
  async () => {
    if (skip) return
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { options: 'qualify-domain "local.example";', more: POLICIES }),
      users: ['anna', 'ben', 'strict', 'bulk'],
    })
    for (const path of [posthorn.paths.directory, posthorn.paths.run]) chmodSync(path, 0o755)
  },
  { timeout },
)

after(async () => {
  if (!skip) assert.equal(await posthorn.stop(), 0)
})

/** Says all of it at once as that user, and gives the replies' lines. */
const SPEAK = `
const socket = require('node:net').connect(process.argv[1])
let heard = ''
socket.on('data', (data) => { if (heard === '') socket.write(process.argv[2]); heard += data })
socket.on('close', () => process.stdout.write(heard))
`
/** Opens so many sockets as that user and says nothing, until its own input ends. */
const LOITER = `
const { connect } = require('node:net')
let left = Number(process.argv[2])
const settled = () => { if (--left === 0) process.stdout.write('there') }
const open = () => {
  const socket = connect(process.argv[1])
  let told = false
  const tell = () => { if (!told) { told = true; settled() } }
  socket.on('data', tell).on('error', tell).on('close', tell)
}
for (let n = left; n > 0; n--) open()
process.stdin.on('end', () => process.exit()).resume()
`

function accountOf(name: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${name}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return { uid: Number(uid), gid: Number(gid) }
}

interface Who {
  uid: number
  gid: number
}

async function speak(who: Who, ...lines: string[]): Promise<string[]> {
  const words = ['EHLO x', ...lines, 'QUIT', ''].join('\r\n')
  const child = spawn(process.execPath, ['-e', SPEAK, posthorn.paths.submit, words], { ...who, cwd: '/' })
  let heard = ''
  child.stdout.on('data', (data) => (heard += String(data)))
  await new Promise((done) => child.on('close', done))
  return heard.split('\r\n').filter((line) => /^\d/.test(line))
}

const after250 = (lines: string[]) => lines.filter((line) => !line.startsWith('250-'))
const has = (lines: string[], pattern: RegExp) => assert.match(lines.join('\n'), pattern)
const message = (...header: string[]) => [...header, '', 'body', '.']

test('a policy decides about reverse-path, From and size', { skip, timeout }, async () => {
  const mail = accountOf('mail')
  has(await speak(mail, 'MAIL FROM:<boss@local.example>'), /^550 5\.7\.1 You may not send as that sender$/m)
  has(await speak(mail, 'MAIL FROM:<mail+x>'), /^250 2\.1\.0/m)
  has(await speak(mail, 'MAIL FROM:<>'), /^250 2\.1\.0/m)
  has(await speak(mail, 'MAIL FROM:<mail> SIZE=2000'), /^552 5\.3\.4/m)
  has(await speak(mail, 'NOOP'), /^250-SIZE 1024$/m)
  const as = (from: string) =>
    speak(mail, 'MAIL FROM:<mail>', 'RCPT TO:<strict>', 'DATA', ...message(`From: ${from}`))
  has(await as('boss@local.example'), /^550 5\.7\.1 You may not write as the author that From names$/m)
  has(await as('team'), /^250 2\.0\.0 T/m)
  has(await as('mail'), /^250 2\.0\.0 T/m)
  const stored = await mailsIn(posthorn.maildir('strict'), 2)
  for (const { content } of stored) assert.doesNotMatch(String(content), /^Sender:/m)
})

test('its limits are counted by user, and brake', { skip, timeout }, async () => {
  const mail = accountOf('mail')
  const one = () => speak(mail, 'MAIL FROM:<mail>', 'RCPT TO:<bulk>', 'DATA', ...message('Subject: x'))
  has(await one(), /^250 2\.0\.0 T/m)
  has(await one(), /^4[25][01] 4\.7\.[01]/m)
  has(await speak(accountOf('bin'), 'MAIL FROM:<bin>'), /^250 2\.1\.0/m)
  assert.equal((await mailsIn(posthorn.maildir('bulk'), 1)).length, 1)
})

test('denied, nameless and anonymous callers', { skip, timeout }, async () => {
  has(await speak(accountOf('games'), 'MAIL FROM:<games>'), /^550 5\.7\.1 You may not send mail from here$/m)
  has(await speak({ uid: NAMELESS, gid: NAMELESS }, 'MAIL FROM:<a>'), /^550 5\.7\.1 You may not send mail/m)
  const anonymous = await speak(
    { uid: OVERFLOW, gid: OVERFLOW },
    'MAIL FROM:<a@x.example>',
    'RCPT TO:<anna@local.example>',
    'RCPT TO:<b@elsewhere.example>',
  )
  assert.deepEqual(
    after250(anonymous)
      .slice(2, 5)
      .map((line) => line.slice(0, 9)),
    ['250 2.1.0', '250 2.1.5', '550 5.7.1'],
  )
})

test('the header is completed, or left alone for who is trusted', { skip, timeout }, async () => {
  const daemon = accountOf('daemon')
  const header = ['From: boss@x.example', 'To: anna', 'Bcc: ben', 'Return-Path: <x@y>']
  await speak(
    daemon,
    'MAIL FROM:<daemon> XNAME=The\\x{20}Daemon',
    'RCPT TO:<ben>',
    'DATA',
    ...message('Subject: none'),
  )
  await speak(daemon, 'MAIL FROM:<daemon> XASIS', 'RCPT TO:<ben>', 'DATA', ...message(...header))
  await speak(
    accountOf('bin'),
    'MAIL FROM:<bin> XASIS',
    'RCPT TO:<ben>',
    'DATA',
    ...message('Subject: as is'),
  )
  const texts = (await mailsIn(posthorn.maildir('ben'), 3)).map(({ content }) => String(content))
  const find = (pattern: RegExp) => texts.find((text) => pattern.test(text)) ?? ''
  assert.match(find(/Subject: none/), /^From: The Daemon <daemon@local\.example>\r?$/m)
  const strange = find(/boss@x\.example/)
  assert.match(strange, /^Sender: <daemon@local\.example>\r?$/m)
  assert.match(strange, /^To: anna@local\.example\r?$/m)
  assert.match(strange, /^Message-ID: <T/m)
  assert.doesNotMatch(strange, /^Bcc|<x@y>/m)
  assert.doesNotMatch(find(/Subject: as is/), /^(Date|From|Message-ID):/m)
})

test('RCPTHDR sends to those whom the header names', { skip, timeout }, async () => {
  const daemon = accountOf('daemon')
  const before = posthorn.log().length
  const heard = await speak(
    daemon,
    'MAIL FROM:<> RCPTHDR',
    'DATA',
    ...message('Subject: named', 'To: Anna <anna>, nobody@local.example', 'Bcc: ben'),
  )
  has(heard, /^250-2\.0\.0 <nobody@local\.example> refused: 550 5\.1\.1 /m)
  has(heard, /^250 2\.0\.0 <ben> taken: 250 2\.1\.5 /m)
  const mails = await mailsIn(posthorn.maildir('anna'), 1)
  const text = String(mails.find(({ content }) => /Subject: named/.test(String(content)))?.content)
  assert.match(text, /^Return-Path: <daemon@local\.example>/m)
  assert.doesNotMatch(text, /^Bcc/m)
  await until('the copy for Bcc', () => /ben/.test(posthorn.log().slice(before)))
})

test(`${IDLE} idle sockets of one user keep nobody out`, { skip, timeout }, async () => {
  const crowd = spawn(process.execPath, ['-e', LOITER, posthorn.paths.submit, String(IDLE)], {
    ...accountOf('sys'),
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  await new Promise((done) => crowd.stdout.once('data', done))
  has(await speak(accountOf('daemon'), 'MAIL FROM:<daemon>', 'RCPT TO:<anna>'), /^250 2\.1\.5/m)
  const client = await openSession(posthorn.ports['mx'] ?? 0)
  assert.equal((await client.say('MAIL FROM:<a@x.example>')).code, 250)
  await client.quit()
  has(await speak(accountOf('sys'), 'NOOP'), /^421 4\.7\.0 too many connections from you/m)
  crowd.stdin.end()
  await new Promise((done) => crowd.on('close', done))
  await until(
    'places again',
    async () => (await speak(accountOf('sys'), 'NOOP'))[0]?.startsWith('220') === true,
  )
})

test('sendmail: -G of root, and the full name of -F', { skip, timeout }, async () => {
  const given = await posthorn.sendmail('Subject: as it is\n\nx\n', '-G', 'anna')
  assert.deepEqual(given, { code: 0, stdout: '', stderr: '' })
  assert.equal((await posthorn.sendmail('Subject: by name\n\nx\n', '-F', 'Bee, Ann', 'anna')).code, 0)
  const texts = (await mailsIn(posthorn.maildir('anna'), 3)).map(({ content }) => String(content))
  const find = (pattern: RegExp) => texts.find((text) => pattern.test(text)) ?? ''
  assert.doesNotMatch(find(/as it is/), /^(From|Date|Message-ID):/m)
  assert.match(find(/by name/), /^From: "Bee, Ann" <root@local\.example>/m)
})
