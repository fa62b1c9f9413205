/**
 * signmail against a whole Posthorn that takes nothing unsigned: by SMTP over a command, by a socket, by a command in
 * sendmail's manner; and after a partial failure nobody gets the message twice.
 */
import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, type Result, runProgram, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const SIGNMAIL = resolve('dist/commands/signmail.js')
const SENDMAIL = resolve('dist/commands/sendmail.js')
const rsa = signingKey('rsa')
const ed = signingKey('ed25519')
const home = mkdtempSync(join(tmpdir(), 'posthorn-sign-'))
const journal = join(home, '.local', 'state', 'posthorn', 'sign')
let names: NameServer
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    const [one, two] = ['r1._domainkey.client.example', 'e1._domainkey.client.example']
    names = await startNameServer({
      [`TXT ${one}`]: { answers: [record.txt(one, rsa.record)] },
      [`TXT ${two}`]: { answers: [record.txt(two, ed.record)] },
    })
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: `
zone "strict.example" { type relay; require-signature yes; hosts { "127.0.0.1" port ${sink.port}; }; };
zone "signed.example" { type local; require-signature yes; mailboxes "${paths.users}"; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
        }),
      users: ['anna', 'ben'],
    })
    writeFileSync(join(home, 'r1.pem'), rsa.pem)
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
    names.close()
    rmSync(home, { recursive: true, force: true })
  },
  { timeout },
)

function configure(send: string, more = ''): void {
  mkdirSync(join(home, '.config', 'posthorn'), { recursive: true })
  const print = `"${process.execPath}" "-e" "process.stdout.write(process.env.TEST_KEY)"`
  writeFileSync(
    join(home, '.config', 'posthorn', 'sign.conf'),
    `sender "client.example" { key "r1" file "~/r1.pem"; key "e1" command ${print}; send ${send}; ${more} };\n`.replace(
      '~/',
      `${home}/`,
    ),
  )
}

const overSmtp = () => `smtp-command "${process.execPath}" "${SENDMAIL}" "-bs"`

function signmail(input: string, ...words: string[]): Promise<Result> {
  const env = {
    HOME: home,
    TEST_KEY: ed.pem,
    POSTHORN_SOCKET: posthorn.paths.submit,
    XDG_CONFIG_HOME: '',
    XDG_STATE_HOME: '',
  }
  return runProgram(SIGNMAIL, words, input, env)
}

function message(mark: string, to = 'far@strict.example'): string {
  return `From: Sam <sam@client.example>\nTo: ${to}\nBcc: hidden@strict.example\nSubject: ${mark}\nX-Mailer: tells\nMessage-ID: <old@laptop>\n\n${mark}\n.dot\n`
}

const fine = { code: 0, stdout: '', stderr: '' }

test('signed, cleaned and taken where nothing unsigned is', { timeout }, async () => {
  configure(overSmtp(), 'date utc 15m;')
  const before = sink.mails.length
  assert.deepEqual(await signmail(message('first'), '-t', '-i'), fine)
  const mail = (await sink.received(before + 1)).at(-1)
  assert.deepEqual(mail?.to.toSorted(), ['far@strict.example', 'hidden@strict.example'])
  const text = mail?.content.toString('latin1') ?? ''
  assert.equal(text.match(/^DKIM-Signature:/gm)?.length, 2, 'one by each key')
  assert.doesNotMatch(text, /hidden|X-Mailer|old@laptop/)
  assert.match(text, /^Message-ID: <[0-9a-f]{32}@client\.example>\r$/m)
  assert.match(text, /^Date: .* \d\d:(00|15|30|45):00 \+0000\r$/m)
  assert.ok(text.endsWith('first\r\n.dot\r\n'))
  assert.deepEqual(readdirSync(journal), [], 'all is done, so nothing is remembered')
})

test("sendmail understands GoSendmail's environment", { timeout }, async () => {
  const env = { HOME: home, TEST_KEY: ed.pem, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '' }
  const printed = await runProgram(SIGNMAIL, ['--print', 'a@strict.example'], message('environment'), env)
  const before = sink.mails.length
  const told = {
    POSTHORN_SOCKET: posthorn.paths.submit,
    GOSENDMAIL_RECIPIENTS: 'one@strict.example, two@strict.example',
    GOSENDMAIL_SENDER: 'sam@client.example',
  }
  assert.deepEqual(await runProgram(SENDMAIL, ['-i'], printed.stdout, told), fine)
  const mail = (await sink.received(before + 1)).at(-1)
  assert.deepEqual(mail?.to.toSorted(), ['one@strict.example', 'two@strict.example'])
  assert.equal(mail?.from, 'sam@client.example')
})

test('a second run of a message that is under way sends nothing', { timeout }, async (t) => {
  let release: () => void = () => undefined
  const path = join(home, 'slow.sock')
  const taken: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write('220 slow\r\n')
    let text = ''
    socket.on('data', (data) => {
      text += String(data)
      taken.push(String(data))
      if (/\r\n\.\r\n$/.test(text)) release = () => socket.write('250 ok\r\n')
      else if (/DATA\r\n$/.test(String(data))) socket.write('354 go\r\n')
      else if (/^(EHLO|MAIL|RCPT|QUIT)/m.test(String(data)))
        socket.write('250 ok\r\n'.repeat(String(data).match(/^(EHLO|MAIL|RCPT|QUIT)/gm)?.length ?? 0))
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  configure(`socket "${path}"`)
  const first = signmail(message('twice'), 'far@strict.example')
  await until('the first to wait for its answer', () => /\r\n\.\r\n$/.test(taken.join('')))
  const { code, stderr } = await signmail(message('twice'), 'far@strict.example')
  assert.deepEqual([code, stderr], [75, 'signmail: this message is being sent already, by another run\n'])
  release()
  assert.deepEqual(await first, fine)
  assert.equal(taken.join('').split('DATA').length, 2, 'sent once')
  assert.deepEqual(readdirSync(journal), [])
})

test('the same message by sendmail is refused', { timeout }, async () => {
  const { code, stderr } = await posthorn.sendmail(
    message('plain'),
    '-f',
    'sam@client.example',
    'far@strict.example',
  )
  assert.equal(code, 77)
  assert.match(stderr, /5\.7\.22/)
})

test('by a socket, and by a command in the manner of sendmail', { timeout }, async () => {
  const before = sink.mails.length
  configure(`socket "${posthorn.paths.submit}"`)
  assert.deepEqual(await signmail(message('socket'), 'one@strict.example'), fine)
  configure(`command "${process.execPath}" "${SENDMAIL}" "-i"`)
  assert.deepEqual(await signmail(message('command'), 'one@strict.example', 'two@strict.example'), fine)
  const mails = (await sink.received(before + 2)).slice(before)
  assert.deepEqual(
    mails.map(({ to }) => [...to].sort((a, b) => a.localeCompare(b))),
    [['one@strict.example'], ['one@strict.example', 'two@strict.example']],
  )
  const shell = await signmail(message('harm'), '$(touch x)@strict.example')
  assert.equal(shell.code, 69)
  assert.match(shell.stderr, /cannot be given to a command/)
})

test('after a partial failure only those are sent to who have not got it', { timeout }, async () => {
  configure(overSmtp())
  const to = ['anna@signed.example', 'carl@signed.example', 'far@strict.example']
  const before = sink.mails.length
  const remembered = readdirSync(journal)
  const first = await signmail(message('partial'), '-i', ...to)
  assert.equal(first.code, 67)
  assert.match(first.stderr, /^signmail: <carl@signed\.example>: 550 5\.1\.1 /)
  const again = await signmail(message('partial'), '-i', ...to)
  assert.equal(again.code, 67, 'as often as one likes')
  appendFileSync(posthorn.paths.users, `carl:::${posthorn.paths.directory}/homes/carl\n`)
  mkdirSync(join(posthorn.paths.directory, 'homes', 'carl'))
  await until(
    'the new user to be known',
    async () => (await signmail(message('partial'), '-i', ...to)).code === 0,
  )
  const [one] = await mailsIn(posthorn.maildir('anna'), 1)
  const [two] = await mailsIn(posthorn.maildir('carl'), 1)
  await posthorn.queueEmpty()
  assert.equal((await mailsIn(posthorn.maildir('anna'), 1)).length, 1)
  assert.equal(sink.mails.length, before + 1)
  const id = (mail: typeof one) => /^Message-ID: .*$/m.exec(mail?.content.toString() ?? '')?.[0]
  assert.equal(id(one), id(two), 'all copies are one message')
  assert.deepEqual(readdirSync(journal), remembered)
  assert.equal((await signmail(message('partial'), '-i', ...to)).code, 0, 'handed in anew it is another one')
  assert.equal((await mailsIn(posthorn.maildir('anna'), 2)).length, 2)
})

test('a server that is silent after the dot leaves a doubt, and only --again sends once more', {
  timeout,
}, async () => {
  const seen: string[] = []
  const path = join(home, 'odd.sock')
  const odd = await oddServer(path, seen)
  configure(`socket "${path}"`)
  const first = await signmail(message('doubt'), 'one@strict.example')
  assert.equal(first.code, 75)
  assert.match(first.stderr, /<one@strict\.example>: may have got it \(the connection was lost\)/)
  assert.equal(seen.length, 1)
  const second = await signmail(message('doubt'), 'one@strict.example')
  assert.equal(second.code, 75)
  assert.match(second.stderr, /an earlier run could not tell/)
  assert.equal(seen.length, 1, 'nothing was sent')
  odd.close()
  configure(overSmtp())
  const before = sink.mails.length
  assert.deepEqual(await signmail(message('doubt'), '--again', 'one@strict.example'), fine)
  await sink.received(before + 1)
})

/** Takes everything up to the last dot, and hangs up. */
async function oddServer(path: string, seen: string[]): Promise<Server> {
  const server = createServer((socket) => {
    let text = ''
    socket.on('error', () => undefined)
    socket.write('220 odd\r\n')
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (text.endsWith('\r\n.\r\n')) {
        seen.push(text)
        return socket.destroy()
      }
      if (/^DATA\r\n/m.test(text)) {
        if (chunk.includes('DATA')) socket.write('354 go\r\n')
      } else socket.write('250 ok\r\n')
    })
  })
  await new Promise<void>((done) => server.listen(path, done))
  return server
}

test('what is wrong is said in one place: no config, mistakes, no key, nobody there', {
  timeout,
}, async () => {
  configure('socket "/nowhere/at/all"')
  assert.equal((await signmail(message('x'), 'a@strict.example')).code, 75)
  configure(overSmtp(), 'send-it 3;')
  const mistake = await signmail(message('x'), 'a@strict.example')
  assert.equal(mistake.code, 78)
  assert.match(mistake.stderr, /sign\.conf:1:\d+: unknown option `send-it`/)
  configure(overSmtp(), 'key "k" command "false";')
  const locked = await signmail(message('x'), 'a@strict.example')
  assert.deepEqual([locked.code, /no key from false/.test(locked.stderr)], [75, true])
  configure(overSmtp())
  assert.equal((await signmail(message('x'), '-f', 'x@elsewhere.example', 'a@strict.example')).code, 78)
  assert.equal((await signmail(message('x').replace(/^To.*\nBcc.*\n/m, ''), '-t')).code, 64)
})

test('posthorn sign-and-send --print: the message, and nothing is sent', { timeout }, async () => {
  const before = sink.mails.length
  const env = { HOME: home, TEST_KEY: ed.pem, XDG_CONFIG_HOME: '', XDG_STATE_HOME: '' }
  const words = ['sign-and-send', '--print', 'a@strict.example']
  const { code, stdout } = await runProgram(
    resolve('dist/commands/posthorn.js'),
    words,
    message('print'),
    env,
  )
  assert.equal(code, 0)
  assert.match(stdout, /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/relaxed; d=client\.example;/)
  assert.equal(sink.mails.length, before)
})
