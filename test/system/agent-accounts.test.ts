/**
 * Mail by a user's own providers, from the real `sendmail` through the real agent: which account it takes, what TLS
 * and AUTH demand, what goes through a proxy, and that a password is nowhere to be seen.
 */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { accountText, CERTIFICATE, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const MESSAGE = 'From: Ann <ann@work.example>\nSubject: hello\n\n.\n..dots\n'
let user: User
let work: Provider
let home: Provider
const opened: Provider[] = []

before(async () => {
  user = newUser()
  work = await openProvider({ secure: true })
  home = await openProvider()
})
after(async () => {
  await user.close()
  for (const one of [work, home, ...opened]) await one.close()
})

async function provider(...options: Parameters<typeof openProvider>): Promise<Provider> {
  const one = await openProvider(...options)
  opened.push(one)
  return one
}

function twoAccounts(): string {
  return `${accountText('work', work.port, 'tls implicit; from "*@work.example"; sender "ann@work.example";')}
${accountText('home', home.port, 'tls starttls; from "ann@home.example"; default;')}`
}

test('the account is that of -a, else of -f, else of From, else the default', async () => {
  user.accounts(twoAccounts())
  const send = async (argv: string[], message = MESSAGE) => {
    const { code, stderr, stdout } = await user.sendmail(argv, message)
    assert.deepEqual([code, stderr, stdout], [0, '', ''])
  }
  await send(['-i', 'bob@x.example'])
  assert.equal(work.received.at(-1)?.sender, 'ann@work.example', 'by From')
  await send(['-i', '-f', 'ann@home.example', 'bob@x.example'])
  assert.equal(home.received.at(-1)?.sender, 'ann@home.example', 'by -f')
  await send(['-i', '-a', 'work', '-f', 'ann@home.example', 'bob@x.example'])
  assert.equal(work.received.at(-1)?.sender, 'ann@home.example', 'by -a')
  await send(['-i', '--account=home', '-f', 'ann@work.example', 'bob@x.example'])
  assert.equal(home.received.length, 2)
  await send(['-i', '-f', 'else@where.example', 'bob@x.example'], 'Subject: x\n\nbody\n')
  assert.equal(home.received.at(-1)?.sender, 'else@where.example', 'the default')
  assert.ok([...work.received, ...home.received].every(({ user: who, secure }) => who === 'ann' && secure))
})

test('content arrives octet for octet, completed where a field is missing', async () => {
  user.accounts(twoAccounts())
  const { code } = await user.sendmail(
    ['-i', '-t', 'Dan@X.example'],
    `To: bob@x.example\nBcc: eve@x.example\n${MESSAGE}`,
  )
  assert.equal(code, 0)
  const { content = '', recipients } = work.received.at(-1) ?? {}
  assert.deepEqual(recipients, ['Dan@x.example', 'bob@x.example', 'eve@x.example'])
  assert.ok(content.endsWith('\r\n\r\n.\r\n..dots\r\n'), content)
  assert.match(content, /^Date: .* \+0000\r\nMessage-ID: <[0-9a-f]{32}@work\.example>\r\nTo: /)
  assert.doesNotMatch(content, /eve/)
})

test('a large message streams through', async () => {
  user.accounts(twoAccounts())
  const body = `${'x'.repeat(997)}\n`.repeat(4000)
  assert.equal((await user.sendmail(['-i', 'bob@x.example'], `${MESSAGE}${body}`)).code, 0)
  assert.ok((work.received.at(-1)?.content.length ?? 0) > 3_900_000)
})

test('a certificate that is not trusted gets no password, and the mail stays with the caller', async () => {
  user.accounts(accountText('work', work.port, 'tls implicit; default;').replace('tls-trust "~/ca.pem";', ''))
  const count = work.received.length
  const { code, stderr } = await user.sendmail(['-i', '-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /<bob@x\.example>: 451 4\.4\.1 127\.0\.0\.1: .*certificate/)
  assert.equal(work.received.length, count)
})

test('a pinned fingerprint is believed, and another one is not', async () => {
  const shown = new X509Certificate(CERTIFICATE).fingerprint256
  const text = (pin: string) =>
    accountText('work', work.port, `tls implicit; default; tls-fingerprint "${pin}";`).replace(
      /tls-trust.*/,
      '',
    )
  user.accounts(text(shown))
  assert.equal((await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)).code, 0)
  user.accounts(text(shown.replace(/^../, shown.startsWith('00') ? '01' : '00')))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /the certificate is another one: SHA-256 [0-9a-f]{64}/)
})

test('no STARTTLS, no session', async () => {
  const bare = await provider({ hideSTARTTLS: true, allowInsecureAuth: true })
  user.accounts(accountText('bare', bare.port, 'default; tls starttls;'))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /454 4\.7\.4 127\.0\.0\.1 does not offer STARTTLS/)
  assert.equal(bare.received.length, 0)
})

test('a wrong password is said, and does not bounce anything', async () => {
  user.accounts(accountText('work', work.port, 'tls implicit; default;').replace('echo s3cret', 'echo no'))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /AUTH PLAIN: .*wrong password/)
})

test('a recipient refused for good is named, and the others get it', async () => {
  const strict = await provider({ secure: true }, (to) => (to.startsWith('no') ? '550 nobody here' : ''))
  user.accounts(accountText('strict', strict.port, 'tls implicit; default;'))
  const { code, stderr } = await user.sendmail(
    ['-f', 'a@b.example', 'yes@x.example', 'no@x.example'],
    MESSAGE,
  )
  assert.notEqual(code, 0)
  assert.match(stderr, /^sendmail: <no@x\.example>: 550 .*nobody here\n$/)
  assert.deepEqual(
    strict.received.map(({ recipients }) => recipients),
    [['yes@x.example']],
  )
})

test('one recipient put off and no outbox: nobody gets it, 75', async () => {
  const slow = await provider({ secure: true }, (to) => (to.startsWith('slow') ? '451 not yet' : ''))
  user.accounts(accountText('slow', slow.port, 'tls implicit; default;'))
  const { code } = await user.sendmail(['-f', 'a@b.example', 'yes@x.example', 'slow@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.equal(slow.received.length, 0)
})

test('LMTP, LOGIN and tokens', async () => {
  const lmtp = await provider({ lmtp: true })
  user.accounts(`${accountText('lmtp', lmtp.port, 'tls starttls; protocol lmtp; default;')}
account "login" { inherit "lmtp"; host "127.0.0.1" port ${work.port}; protocol smtp; tls implicit; auth user "ann" login; };
account "token" { inherit "login"; auth user "ann" xoauth2; token-command "echo s3cret"; };`)
  const count = work.received.length
  for (const name of ['lmtp', 'login', 'token']) {
    const { code, stderr } = await user.sendmail(
      ['-a', name, '-f', 'a@b.example', 'b@x.example', 'c@x.example'],
      MESSAGE,
    )
    assert.deepEqual([code, stderr], [0, ''], name)
  }
  assert.deepEqual(lmtp.received[0]?.recipients, ['b@x.example', 'c@x.example'])
  assert.equal(work.received.length, count + 2)
})

test('a client certificate is shown where it is asked for', async () => {
  const asking = await provider({
    secure: true,
    requestCert: true,
    rejectUnauthorized: true,
    ca: [CERTIFICATE],
  })
  user.accounts(accountText('asking', asking.port, 'tls implicit; default; timeout 20s;'))
  assert.equal((await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)).code, 75)
  user.accounts(
    accountText(
      'asking',
      asking.port,
      'tls implicit; default; tls-certificate "~/ca.pem"; tls-key "~/key.pem";',
    ),
  )
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.deepEqual([code, stderr], [0, ''])
})

test('through a SOCKS5 proxy, which is told the name', async (t) => {
  const proxy = await openSocksProxy(work.port)
  t.after(proxy.close)
  const text = accountText('work', 465, `default; socks5 "127.0.0.1" port ${proxy.port};`)
  user.accounts(text.replace('host "127.0.0.1"', 'host "localhost"'))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.deepEqual([code, stderr], [0, ''])
  assert.deepEqual(proxy.asked, ['localhost:465'])
})

test('a greeting that comes with the last word of the proxy is heard', async (t) => {
  const clear = await provider()
  const proxy = await openSocksProxy(clear.port, true)
  t.after(proxy.close)
  user.accounts(accountText('work', 587, `default; timeout 20s; socks5 "127.0.0.1" port ${proxy.port};`))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.deepEqual([code, stderr], [0, ''])
  assert.equal(clear.received.length, 1)
})

test('a proxy that is away is named', async () => {
  const proxy = await openSocksProxy(work.port)
  proxy.close()
  user.accounts(accountText('work', 465, `default; socks5 "127.0.0.1" port ${proxy.port};`))
  const { code, stderr } = await user.sendmail(['-f', 'a@b.example', 'bob@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, new RegExp(`proxy 127\\.0\\.0\\.1:${proxy.port}: .*ECONNREFUSED`))
})

test('passwords are seen by nobody', async () => {
  user.accounts(twoAccounts())
  assert.equal((await user.sendmail(['bob@x.example'], MESSAGE)).code, 0)
  const pid = user.agentPid()
  assert.ok(pid)
  const words = ['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1')).join('')
  assert.doesNotMatch(words, /s3cret/)
  // what is not dumpable has files in /proc that belong to root, whoever runs it, and no core file
  assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CoreDumping:\s+0$/m)
})

test('netrc and a check that logs in', async () => {
  writeFileSync(join(user.home, '.netrc'), 'machine 127.0.0.1 login ann password s3cret\n', { mode: 0o600 })
  user.accounts(
    accountText('work', work.port, 'tls implicit;').replace(/password-command.*/, 'password-from netrc;'),
  )
  const good = await user.posthorn('account', 'check', 'work')
  assert.deepEqual([good.code, good.stdout], [0, 'work: 127.0.0.1 lets ann in\n'])
  writeFileSync(join(user.home, '.netrc'), 'machine 127.0.0.1 login ann password wrong\n')
  const wrong = await user.posthorn('account', 'check', 'work')
  assert.equal(wrong.code, 69)
  assert.match(wrong.stderr, /AUTH PLAIN/)
})

interface Proxy {
  port: number
  asked: string[]
  close: () => void
}

/**
 * RFC 1928, as much as one client needs; everything leads to `port`.
 * @param glued its last word waits for the greeting of the far side, and both go out as one
 */
async function openSocksProxy(port: number, glued = false): Promise<Proxy> {
  const asked: string[] = []
  const through = Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  const serve = (socket: Socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]))
      socket.once('data', (request: Buffer) => {
        asked.push(destinationOf(request))
        const onward = connect(port, '127.0.0.1', () => {
          const start = (greeting: Buffer) => {
            socket.write(Buffer.concat([through, greeting]))
            socket.pipe(onward).pipe(socket)
          }
          if (glued) onward.once('data', start)
          else start(Buffer.alloc(0))
        })
        onward.on('error', () => socket.destroy())
      })
    })
  }
  const server = createServer(serve).listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  return { port: (server.address() as AddressInfo).port, asked, close: () => void server.close() }
}

function destinationOf(request: Buffer): string {
  const isName = request[3] === 3
  const length = isName ? (request[4] ?? 0) + 1 : 4
  return `${request.toString('latin1', 5, 4 + length)}:${request.readUInt16BE(4 + length)}`
}
