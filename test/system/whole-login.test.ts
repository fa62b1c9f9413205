/**
 * Logging in to a whole Posthorn: TLS with names and client certificates, each mechanism, what a login may do and
 * what it may not, and the brake on guessing, which all processes share.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { type Authority, makeAuthority, readPair } from '../support/certificates.ts'
import { connectTo, openSession, transact } from '../support/client.ts'
import { encode, openSecure, plain, scram } from '../support/login.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-login-'))
const passwords = join(directory, 'passwords')
const senders = join(directory, 'senders')

let authority: Authority
let sink: Sink
let posthorn: Posthorn

function passwd(login: string, password: string, ...more: string[]): void {
  const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords, login, ...more]
  const { status, stderr } = spawnSync(process.execPath, words, { input: `${password}\n`, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

function statements(): string {
  const mx = authority.sign('mx.posthorn.example', 'DNS:mx.posthorn.example')
  const other = authority.sign('mail.other.example', 'DNS:mail.other.example,DNS:*.wild.example')
  const tls = (name: string, { certificate, key }: { certificate: string; key: string }) =>
    `tls "${name}" { certificate "${certificate}"; key "${key}"; client-ca "${authority.certificate}"; };`
  return `
${tls('mx', mx)}
${tls('other', other)}
tls "strict" { certificate "${mx.certificate}"; key "${mx.key}"; client-ca "${authority.certificate}"; client-certificate required; };
auth "users" { passwords "${passwords}"; certificates yes; };
listener "users" {
  type submission; address 127.0.0.1; port 0; tls "mx"; sni "other"; auth "users" required; sender-login "${senders}";
  error-limit 1000;
};
listener "certified" { type submission; address 127.0.0.1; port 0; tls "strict" required; relay { localhost; }; };
listener "clear" { type submission; address 127.0.0.1; port 0; auth "users" offered; auth-without-tls yes; };
policy "team" { users { "dora"; "emil"; }; senders { "%u@shared.example"; }; account "team"; limit messages 2/h; };
zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };
limits { exempt { none; }; client connections 1000; client-login-failures 12/h; account-login-failures 1000/h; };
`
}

before(
  async () => {
    authority = makeAuthority(directory)
    passwd('anna', 'Grüße', '--scram')
    passwd('bert', 'secret', '--scram')
    writeFileSync(senders, 'anna@local.example: anna\n@shared.example: *\n')
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { more: statements(), processes: 'submission 2;' }),
      users: ['anna'],
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

const port = (name: string) => posthorn.ports[name] ?? 0
const mail = { from: 'anna@local.example', to: ['someone@far.example'], content: 'Subject: x\r\n\r\nHi.\r\n' }

test('no password is asked for in the clear, and no mail is taken before a login', { timeout }, async () => {
  const client = await openSession(port('users'))
  assert.doesNotMatch((await client.say('EHLO client.example')).text, /AUTH/)
  assert.deepEqual([(await plain(client, 'anna', 'Grüße')).code], [538])
  assert.equal((await client.say('MAIL FROM:<anna@local.example>')).enhanced, '5.7.0')
  await client.quit()
  const secure = await openSecure(port('users'))
  const offered = (await secure.say('EHLO client.example')).lines.find((line) => line.includes('AUTH'))
  assert.equal(offered?.slice(4), 'AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN')
  assert.equal((await secure.say('MAIL FROM:<anna@local.example>')).code, 530)
  await secure.quit()
})

test('each mechanism logs in, and who has logged in may relay; Received and the log say how', {
  timeout,
}, async () => {
  const ways = {
    PLAIN: (client: Awaited<ReturnType<typeof openSecure>>) => plain(client, 'anna', 'Grüße'),
    LOGIN: async (client: Awaited<ReturnType<typeof openSecure>>) => {
      await client.say('AUTH LOGIN')
      await client.say(encode('anna'))
      return client.say(encode('Grüße'))
    },
    'SCRAM-SHA-256': (client: Awaited<ReturnType<typeof openSecure>>) =>
      scram(client, 'anna', 'Grüße', false),
    'SCRAM-SHA-256-PLUS': (client: Awaited<ReturnType<typeof openSecure>>) =>
      scram(client, 'anna', 'Grüße', true),
  }
  for (const [name, logIn] of Object.entries(ways)) {
    const client = await openSecure(port('users'))
    assert.deepEqual([(await logIn(client)).code, name], [235, name])
    assert.equal((await transact(client, mail)).code, 250)
    await client.quit()
    await posthorn.logged(new RegExp(`"user":"anna","mechanism":"${name}".*"logged in"`))
  }
  await posthorn.queueEmpty()
  const content = String(sink.mails.at(-1)?.content)
  assert.match(content, /with ESMTPSA id T\S+\r\n\tfor <someone@far.example>\r\n\ttls TLS_\w+ \(TLSv1.3\);/)
  assert.match(posthorn.log(), /"client":"127.0.0.1","user":"anna","sender":"anna@local.example"/)
})

test('RCPTHDR: who has logged in has the server read the header', { timeout }, async () => {
  const client = await openSecure(port('users'))
  assert.equal((await plain(client, 'anna', 'Grüße')).code, 235)
  assert.match((await client.say('EHLO client.example')).text, /^RCPTHDR$/m)
  const before = sink.mails.length
  await client.say('MAIL FROM:<anna@local.example> RCPTHDR')
  assert.equal((await client.say('DATA')).code, 354)
  client.write('To: one@far.example, nobody@local.example\r\nBcc: two@far.example\r\n\r\nx\r\n.\r\n')
  const { lines } = await client.reply()
  assert.deepEqual(
    lines.slice(1).map((line) => /<\S+> \w+/.exec(line)?.[0]),
    ['<nobody@local.example> refused', '<one@far.example> taken', '<two@far.example> taken'],
  )
  const mail = (await sink.received(before + 1)).at(-1)
  assert.deepEqual(mail?.to.toSorted(), ['one@far.example', 'two@far.example'])
  assert.doesNotMatch(String(mail?.content), /^Bcc/m)
  // whom the header names as sender must be theirs
  await client.say('MAIL FROM:<> RCPTHDR')
  await client.say('DATA')
  const refused = await client.say('From: bert@local.example\r\nTo: one@far.example\r\n\r\nx\r\n.')
  assert.equal(refused.code, 553, refused.text)
  await client.quit()
})

test('EXTERNAL: a certificate that our authority has signed is a login', { timeout }, async () => {
  const known = readPair(authority.sign('anna', 'email:anna@local.example'))
  const client = await openSecure(port('users'), known)
  assert.match((await client.say('EHLO client.example')).text, /AUTH .*EXTERNAL/)
  assert.equal((await client.say(`AUTH EXTERNAL ${encode('bert')}`)).code, 535)
  assert.equal((await client.say('AUTH EXTERNAL =')).code, 235)
  assert.equal((await client.say('MAIL FROM:<anna@local.example>')).code, 250)
  await client.quit()
  const strange = makeAuthority(directory, 'stranger').sign('bert', 'email:bert@local.example')
  const other = await openSecure(port('users'), readPair(strange))
  assert.doesNotMatch((await other.say('EHLO client.example')).text, /EXTERNAL/)
  await other.quit()
})

test('client-certificate required: without a good one there is no session at all', { timeout }, async () => {
  const known = readPair(authority.sign('host', 'DNS:host.client.example'))
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = await openSecure(port('certified'), { ...known, maxVersion })
    assert.equal((await transact(client, mail)).code, 250)
    await client.quit()
    const strange = readPair(makeAuthority(directory, 'nobody').sign('host', 'DNS:host.client.example'))
    // by TLS 1.3 a client hears of it only after the handshake
    for (const bad of [{}, strange])
      await assert.rejects(openSecure(port('certified'), { ...bad, maxVersion }))
  }
  const plain = await openSession(port('certified'))
  assert.equal((await plain.say('MAIL FROM:<anna@local.example>')).code, 530)
  await plain.quit()
})

test('the certificate is the one for the name that is asked for', { timeout }, async () => {
  const names = async (servername: string) => {
    const client = await openSecure(port('users'), { servername })
    const name = (client.socket as TLSSocket).getPeerCertificate().subject.CN
    await client.quit()
    return name
  }
  assert.equal(await names('mail.other.example'), 'mail.other.example')
  assert.equal(await names('x.wild.example'), 'mail.other.example')
  assert.equal(await names('mx.posthorn.example'), 'mx.posthorn.example')
  assert.equal(await names('unknown.example'), 'mx.posthorn.example')
})

test('a sender is whose it is said to be', { timeout }, async () => {
  const client = await openSecure(port('users'))
  assert.equal((await plain(client, 'bert', 'secret')).code, 235)
  const refused = await client.say('MAIL FROM:<anna@local.example>')
  assert.deepEqual([refused.code, refused.enhanced], [553, '5.7.1'])
  assert.equal((await client.say('MAIL FROM:<any@shared.example>')).code, 250)
  await client.quit()
})

test('what is said before TLS is forgotten: a login, and what a man in between put behind STARTTLS', {
  timeout,
}, async () => {
  const client = await connectTo(port('users'))
  await client.reply()
  await client.say('EHLO client.example')
  client.write(`STARTTLS\r\nAUTH PLAIN ${encode('\0anna\0Grüße')}\r\n`)
  assert.equal((await client.reply()).code, 220)
  client.destroy()
  const clear = await openSession(port('clear'))
  assert.equal((await plain(clear, 'anna', 'Grüße')).code, 235)
  assert.equal((await plain(clear, 'anna', 'Grüße')).code, 503)
  await clear.quit()
})

test('a password that is changed, or taken away, is so at once', { timeout }, async () => {
  passwd('carl', 'one', '--scram')
  const attempt = async (password: string) => {
    const client = await openSecure(port('users'))
    const { code } = await plain(client, 'carl', password)
    await client.quit()
    return code
  }
  assert.equal(await attempt('one'), 235)
  passwd('carl', 'two', '--scram')
  assert.deepEqual([await attempt('one'), await attempt('two')], [535, 235])
  passwd('carl', '', '--remove')
  assert.equal(await attempt('two'), 535)
})

test('a policy holds for logins, and those of one account are counted together', { timeout }, async () => {
  passwd('dora', 'one', '--scram')
  passwd('emil', 'two', '--scram')
  const as = async (login: string, password: string) => {
    const client = await openSecure(port('users'))
    assert.equal((await plain(client, login, password)).code, 235)
    return client
  }
  const of = (login: string) => ({ ...mail, from: `${login}@shared.example` })
  const dora = await as('dora', 'one')
  const foreign = await dora.say('MAIL FROM:<emil@shared.example>')
  assert.deepEqual([foreign.code, foreign.enhanced], [550, '5.7.1'])
  assert.equal((await transact(dora, of('dora'))).code, 250)
  await dora.quit()
  const emil = await as('emil', 'two')
  assert.equal((await transact(emil, of('emil'))).code, 250)
  await emil.quit()
  const again = await as('dora', 'one')
  // qmgr hears of the login, and knows that this account has had its share
  const over = await again.reply()
  assert.deepEqual([over.code, over.text], [421, '4.7.0 too many messages from you, try again later'])
  await again.closed
  const other = await as('bert', 'secret')
  assert.equal((await other.say('MAIL FROM:<bert@shared.example>')).code, 250)
  await other.quit()
})

test('guessing is braked for an address, over all processes, and one session sees it as well', {
  timeout,
}, async () => {
  const codes: number[] = []
  for (let n = 0; n < 16; n++) {
    const client = await openSecure(port('users'))
    codes.push((await plain(client, `user${n}`, 'guess')).code)
    await client.quit()
  }
  assert.ok(codes.includes(535), `${codes}`)
  assert.deepEqual(codes.slice(-4), [454, 454, 454, 454], `${codes}`)
  const client = await openSecure(port('users'))
  assert.equal((await scram(client, 'anna', 'Grüße', false)).code, 454)
  await client.quit()
  const { stdout } = await posthorn.command('status', '--json')
  assert.match(stdout, /"failedLogins": ?1\d/)
  assert.match(stdout, /"brakedLogins": ?[5-9]/)
})
