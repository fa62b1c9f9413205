/**
 * Programs that people submit mail with, against a whole Posthorn: swaks over each mechanism and each way of TLS, in
 * right and wrong order, curl, Python's smtplib, mutt, nodemailer, and openssl with what it can do wrong in TLS. What is accepted must
 * arrive.
 */
import assert from 'node:assert/strict'
import { type SpawnOptions, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { createTransport } from 'nodemailer'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { debianPrograms } from '../support/debian.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const PATIENCE_MS = 60_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-clients-'))
const passwords = join(directory, 'passwords')
const FROM = 'anna@local.example'
const TO = 'someone@far.example'

let authority: Authority
let sink: Sink
let posthorn: Posthorn
let sent = 0

const statements = () => {
  const { certificate, key } = authority.sign('localhost', 'DNS:localhost')
  return `
tls "public" { certificate "${certificate}"; key "${key}"; };
auth "users" { passwords "${passwords}"; };
listener "starttls" { type submission; address 127.0.0.1; port 0; tls "public"; auth "users" required; };
listener "implicit" { type submission; address 127.0.0.1; port 0; tls "public" implicit; auth "users" required; };
zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };
`
}

before(
  async () => {
    authority = makeAuthority(directory)
    const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords, 'anna']
    assert.equal(spawnSync(process.execPath, words, { input: 'secret\n' }).status, 0)
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { more: statements() }),
      silent: 'implicit',
    })
  },
  { timeout },
)

after(
  async () => {
    await posthorn?.stop()
    await sink?.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

const port = (name: string) => String(posthorn.ports[name] ?? 0)

interface Outcome {
  code: number | null
  text: string
}

/** @param input null: standard input stays open until the program leaves. */
function run(
  program: string,
  words: string[],
  input: string | null = '',
  env = process.env,
): Promise<Outcome> {
  const options: SpawnOptions = { env, stdio: ['pipe', 'pipe', 'pipe'], timeout: PATIENCE_MS }
  const child = spawn(program, words, options)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data: Buffer) => {
      text += data.toString('latin1')
    })
  child.stdin?.on('error', () => undefined) // it may leave before it has read all
  child.stdin?.end(input)
  return new Promise((done, fail) => {
    child.once('error', fail).once('close', (code) => done({ code, text }))
  })
}

async function arrived({ code, text }: Outcome): Promise<void> {
  assert.equal(code, 0, text)
  sent++
  await sink.received(sent)
}

/** Null, loudly, where it cannot be had. */
function swaks(t: TestContext): ((...words: string[]) => Promise<Outcome>) | null {
  const programs = debianPrograms('swaks', 'libnet-ssleay-perl', 'libauthen-sasl-perl')
  const program = programs?.find('swaks')
  if (!programs || !program) {
    t.skip('swaks cannot be had here')
    return null
  }
  const native = join(programs.folder, 'usr/lib/x86_64-linux-gnu/perl5')
  const versions = existsSync(native) ? readdirSync(native).map((version) => join(native, version)) : []
  const env = { ...programs.env, PERL5LIB: [join(programs.folder, 'usr/share/perl5'), ...versions].join(':') }
  const mail = ['--server', '127.0.0.1', '--from', FROM, '--to', TO, '--helo', 'client.example']
  return (...words) => run('/usr/bin/perl', [program, ...mail, ...words], '', env)
}

const user = (password: string) => ['--auth-user', 'anna', '--auth-password', password]
const ways = [
  { name: 'STARTTLS', words: () => ['--port', port('starttls'), '-tls'] },
  { name: 'implicit TLS', words: () => ['--port', port('implicit'), '--tls-on-connect'] },
]

for (const { name, words } of ways) {
  test(`swaks over ${name}: PLAIN, LOGIN, no CRAM, a wrong password, none`, { timeout }, async (t) => {
    const say = swaks(t)
    if (!say) return
    for (const mechanism of ['PLAIN', 'LOGIN'])
      await arrived(await say(...words(), '--auth', mechanism, ...user('secret')))
    // swaks leaves with 28 where it is not let in, with 23 where MAIL is refused
    const cram = await say(...words(), '--auth', 'CRAM-MD5', ...user('secret'))
    assert.equal(cram.code, 28, cram.text)
    assert.doesNotMatch(cram.text, /CRAM-MD5 /)
    const wrong = await say(...words(), '--auth', 'PLAIN', ...user('wrong'))
    assert.equal(wrong.code, 28, wrong.text)
    assert.match(wrong.text, /535 5\.7\.8 Wrong login or password/)
    const nobody = await say(...words())
    assert.equal(nobody.code, 23, nobody.text)
    assert.match(nobody.text, /530 5\.7\.0 Authentication required/)
  })
}

test('swaks without TLS is offered no login', { timeout }, async (t) => {
  const say = swaks(t)
  if (!say) return
  const { code, text } = await say('--port', port('starttls'), '--auth', 'PLAIN', ...user('secret'))
  assert.equal(code, 28, text)
  assert.doesNotMatch(text, /250[- ]AUTH/)
})

test('curl over both ways of TLS', { timeout }, async (t) => {
  if (spawnSync('curl', ['--version']).status !== 0) return t.skip('there is no curl here')
  const content = join(directory, 'mail')
  writeFileSync(content, `From: ${FROM}\r\nTo: ${TO}\r\nSubject: by curl\r\n\r\n.dotted\r\n`)
  const mail = [
    '-sS',
    '--cacert',
    authority.certificate,
    '--mail-from',
    FROM,
    '--mail-rcpt',
    TO,
    '-T',
    content,
  ]
  const at = (name: string) => ['--connect-to', `::127.0.0.1:${port(name)}`]
  const right = [...mail, '--user', 'anna:secret']
  await arrived(
    await run('curl', [...right, ...at('starttls'), '--ssl-reqd', 'smtp://localhost/client.example']),
  )
  await arrived(await run('curl', [...right, ...at('implicit'), 'smtps://localhost/client.example']))
  const wrong = [...mail, '--user', 'anna:wrong', ...at('implicit'), 'smtps://localhost/client.example']
  assert.equal((await run('curl', wrong)).code, 67, 'curl: login denied')
})

const SMTPLIB = `
import smtplib, ssl, sys
way, port, authority = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if way == 'implicit':
    server = smtplib.SMTP_SSL('localhost', int(port), context=context)
else:
    server = smtplib.SMTP('localhost', int(port))
    try:
        server.login('anna', 'secret')
        sys.exit('a login without TLS')
    except smtplib.SMTPNotSupportedError:
        pass
    server.starttls(context=context)
try:
    server.login('anna', 'wrong')
    sys.exit('a wrong password')
except smtplib.SMTPAuthenticationError as error:
    assert error.smtp_code == 535, error
server.login('anna', 'secret')
server.sendmail('${FROM}', ['${TO}'], 'Subject: by smtplib\\n\\n.dotted\\n')
server.quit()
`

test('Python smtplib over both ways of TLS, after a wrong password', { timeout }, async (t) => {
  if (spawnSync('python3', ['--version']).status !== 0) return t.skip('there is no python3 here')
  for (const way of ['starttls', 'implicit'])
    await arrived(await run('python3', ['-c', SMTPLIB, way, port(way), authority.certificate]))
})

test('mutt over both ways of TLS, by PLAIN and by LOGIN', { timeout }, async (t) => {
  const programs = debianPrograms('mutt')
  const mutt = programs?.find('mutt')
  if (!programs || !mutt) return t.skip('mutt cannot be had here')
  const env = { ...programs.env, HOME: directory, TERM: 'dumb' }
  const say = (url: string, mechanism: string) => {
    const settings = [
      `smtp_url="${url}"`,
      `smtp_authenticators="${mechanism}"`,
      `ssl_ca_certificates_file="${authority.certificate}"`,
      'ssl_force_tls=yes',
      'copy=no',
      `from=${FROM}`,
    ].map((one) => ['-e', `set ${one}`])
    const argv = ['-n', '-F', '/dev/null', ...settings.flat(), '-s', 'by mutt', '--', TO]
    return run(mutt, argv, '.dotted\n', env)
  }
  await arrived(await say(`smtp://anna:secret@localhost:${port('starttls')}/`, 'plain'))
  await arrived(await say(`smtps://anna:secret@localhost:${port('implicit')}/`, 'login'))
  const wrong = await say(`smtps://anna:wrong@localhost:${port('implicit')}/`, 'plain')
  assert.notEqual(wrong.code, 0)
  assert.match(wrong.text, /authentication failed/i)
})

test('nodemailer as a program for mail has it, over both ways of TLS', { timeout }, async () => {
  const ca = readFileSync(authority.certificate)
  for (const name of ['starttls', 'implicit'])
    for (const method of ['PLAIN', 'LOGIN']) {
      const ways = {
        host: 'localhost',
        port: Number(port(name)),
        secure: name === 'implicit',
        requireTLS: true,
      }
      const auth = { user: 'anna', pass: 'secret' }
      const transport = createTransport({ ...ways, auth, authMethod: method, tls: { ca } })
      const { response } = await transport.sendMail({
        from: FROM,
        to: TO,
        subject: 'by nodemailer',
        text: '.dotted',
      })
      transport.close()
      await arrived({ code: /^250 /.test(response) ? 0 : 1, text: response })
    }
})

const openssl = (name: string, ...words: string[]) => [
  ...[
    's_client',
    '-connect',
    `127.0.0.1:${port(name)}`,
    '-CAfile',
    authority.certificate,
    '-verify_return_error',
  ],
  ...(name === 'starttls' ? ['-starttls', 'smtp'] : []),
  ...words,
]

test('openssl s_client: lines that end as they should, and as they should not', { timeout }, async () => {
  for (const name of ['starttls', 'implicit']) {
    const right = await run('openssl', openssl(name, '-quiet', '-crlf'), 'EHLO client.example\nQUIT\n')
    assert.match(right.text, /221 2\.0\.0 Bye/)
    // without -crlf it sends bare LF
    const bare = await run('openssl', openssl(name, '-quiet', '-ign_eof'), 'NOOP\nNOOP\r\nQUIT\r\n')
    assert.match(bare.text, /500 5\.5\.2 A line ends with CR and LF together\r\n250 2\.0\.0 Ok/)
  }
})

// no client that keeps to the order can be made to break it: swaks asks for AUTH behind EHLO alone
test('openssl s_client: AUTH before EHLO, and twice', { timeout }, async () => {
  const login = `AUTH PLAIN ${Buffer.from('\0anna\0secret').toString('base64')}`
  for (const name of ['starttls', 'implicit']) {
    const lines = [login, 'EHLO client.example', login, login, 'QUIT', '']
    const { text } = await run('openssl', openssl(name, '-quiet', '-crlf', '-ign_eof'), lines.join('\n'))
    const codes = text.match(/^(503|235|221) .*$/gm)?.map((line) => line.slice(0, 9))
    assert.deepEqual(codes, ['503 5.5.1', '235 2.7.0', '503 5.5.1', '221 2.0.0'], text)
  }
})

/** A line R begins one, which TLS 1.2 still knew; where it is refused openssl leaves. */
function renegotiate(): Promise<Outcome> {
  const child = spawn('openssl', openssl('implicit', '-tls1_2', '-crlf'), { timeout: PATIENCE_MS })
  let text = ''
  let asked = false
  const hear = (data: Buffer) => {
    text += data.toString('latin1')
    if (!asked && /^220 mx/m.test(text)) {
      asked = true
      child.stdin.write('R\n')
    }
    // it is done, which it should not be
    if (/RENEGOTIATING[\s\S]*verify return:1/.test(text)) child.stdin.end('Q\n')
  }
  child.stdin.on('error', () => undefined)
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  return new Promise((done) => child.once('close', (code) => done({ code, text })))
}

test('openssl s_client: no renegotiation, no early data, no old TLS', { timeout }, async () => {
  const again = await renegotiate()
  assert.match(again.text, /RENEGOTIATING/)
  assert.doesNotMatch(again.text, /verify return:1[\s\S]*RENEGOTIATING[\s\S]*verify return:1/)
  assert.notEqual(again.code, 0)
  const fresh = await run('openssl', openssl('implicit', '-tls1_3', '-crlf'), 'QUIT\n')
  assert.match(fresh.text, /Early data was not sent/)
  assert.doesNotMatch(fresh.text, /Max Early Data: [1-9]/)
  const old = await run('openssl', openssl('implicit', '-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0'), 'QUIT\n')
  assert.notEqual(old.code, 0)
  assert.doesNotMatch(old.text, /220 mx/)
})
