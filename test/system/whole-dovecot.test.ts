/**
 * `config/examples/vps-with-dovecot`, its very files but for places and ports: what comes in on port 25 is read by IMAP
 * from a real Dovecot, and answered by submission with the same password; who is unknown to Dovecot is unknown to us,
 * and nobody is while it is down.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { makeAuthority, type Pair } from '../support/certificates.ts'
import { dotted, SmtpClient, sendMail } from '../support/client.ts'
import { EXAMPLE, startDovecot } from '../support/dovecot.ts'
import { openImap } from '../support/imap.ts'
import type { Layered } from '../support/layered.ts'
import { openSecure, plain, scram } from '../support/login.ts'
import { type NameServer, nodata, record, startNameServer } from '../support/name-server.ts'
import { freePort } from '../support/postfix.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { until } from '../support/wait.ts'

const timeout = 400_000
const HOST = 'mail.example.org'
const ANNA = 'anna@example.org'
const directory = mkdtempSync(join(tmpdir(), 'posthorn-vps-'))
const authority = makeAuthority(directory)
const pair: Pair = authority.sign(HOST, `DNS:${HOST}`)

let imapsPort = 0
let dovecot: Layered | null = null
let posthorn: Posthorn
let sink: Sink
let names: NameServer

/** Where things are here that stand elsewhere in the example. */
function places(text: string): string {
  return text
    .replaceAll(`/etc/letsencrypt/live/${HOST}/fullchain.pem`, pair.certificate)
    .replaceAll(`/etc/letsencrypt/live/${HOST}/privkey.pem`, pair.key)
    .replaceAll('/etc/posthorn', join(directory, 'posthorn'))
    .replaceAll('/run/dovecot', join(directory, 'run'))
    .replaceAll('/srv/mail', join(directory, 'mail'))
}

function configOf({ spool, run }: Paths): string {
  const own = places(readFileSync(`${EXAMPLE}/posthorn.conf`, 'utf8'))
    .replace('directory "/var/spool/posthorn"', `directory "${spool}"; run-directory "${run}"`)
    .replaceAll(/port (25|465|587);/g, 'port 0; address 127.0.0.1;')
  const ports = own.match(/port 0; address/g)
  assert.equal(ports?.length, 3)
  return `${own}
resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${sink.port}; };
qmgr { retry 500ms; };
logging { channel "main" { stderr; severity info; }; };
`
}

before(
  async () => {
    chmodSync(directory, 0o755)
    const folder = join(directory, 'posthorn')
    copyFileSync(pair.certificate, join(directory, 'fullchain.pem'))
    copyFileSync(pair.key, join(directory, 'privkey.pem'))
    mkdirSync(join(folder, 'dkim'), { recursive: true })
    writeFileSync(join(folder, 'dkim', 'mail.pem'), signingKey('rsa').pem, { mode: 0o400 })
    const lineage = { ...process.env, RENEWED_LINEAGE: directory }
    const hook = spawnSync(`${EXAMPLE}/certificate-hook`, [join(folder, 'tls'), 'root'], { env: lineage })
    if (process.getuid?.() === 0) assert.equal(hook.status, 0, String(hook.stderr))
    for (const file of ['aliases', 'senders.regexp'])
      writeFileSync(join(folder, file), readFileSync(`${EXAMPLE}/${file}`))
    imapsPort = await freePort()
    sink = await openSink()
    names = await startNameServer({
      'MX far.example': { answers: [record.mx('far.example', 10, 'mx.far.example')] },
      'A mx.far.example': { answers: [record.a('mx.far.example', '127.0.0.1')] },
      'AAAA mx.far.example': nodata('mx.far.example'),
    })
    await upDovecot()
    if (dovecot) posthorn = await startPosthorn({ config: configOf, silent: 'submissions' })
  },
  { timeout },
)

after(
  async () => {
    await posthorn?.stop()
    await dovecot?.stop()
    await sink?.close()
    names?.close()
    if (!process.env['POSTHORN_KEEP']) rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

async function upDovecot(): Promise<void> {
  const passwords = { [ANNA]: 'a secret', 'bob@example.org': 'another' }
  dovecot = await startDovecot({ directory, imapsPort, passwords, places })
}

const port = (name: string) => posthorn.ports[name] ?? 0
const { content, mark } = makeSpecimen(3000)

function receive(to: string): ReturnType<typeof sendMail> {
  return sendMail(port('mx'), { from: 'x@far.example', to: [to], content })
}

/** What IMAP finds in the inbox when that is so many messages. */
async function inboxOf(login: string, password: string, count: number): Promise<string> {
  const imap = await openImap(imapsPort, HOST, readFileSync(authority.certificate))
  try {
    await imap.ask(`LOGIN ${login} "${password}"`)
    await until(`${count} messages by IMAP`, async () =>
      (await imap.ask('SELECT INBOX')).includes(`* ${count} EXISTS\r\n`),
    )
    return await imap.ask('FETCH 1:* BODY.PEEK[]')
  } finally {
    imap.close()
  }
}

async function openImplicit(): Promise<SmtpClient> {
  const socket = await new Promise<TLSSocket>((done, fail) => {
    const ca = readFileSync(authority.certificate)
    const tls = connectTls({ host: '127.0.0.1', port: port('submissions'), servername: HOST, ca }, () =>
      done(tls),
    )
    tls.once('error', fail)
  })
  const client = new SmtpClient(socket)
  await client.reply()
  await client.say('EHLO phone.example')
  return client
}

test('a phone reads by IMAP what came in on port 25', { timeout }, async (t) => {
  if (!dovecot) return t.skip('no Dovecot here: nothing of it was tested')
  assert.equal((await receive(ANNA)).code, 250)
  assert.equal((await receive('anna+shop@example.org')).code, 250)
  assert.equal((await receive('postmaster@example.org')).code, 250)
  const read = await inboxOf(ANNA, 'a secret', 3).catch((error) =>
    assert.fail(`${error}\n${readFileSync(join(directory, 'dovecot.log'), 'utf8')}\n${posthorn.log()}`),
  )
  assert.equal(read.match(/BODY\[\] \{/g)?.length, 3)
  assert.ok(read.includes(mark))
  assert.match(read, /Delivered-To: <?anna@example\.org/)
  assert.match(read, /Authentication-Results: mail\.example\.org/)
  for (const unknown of ['nobody@example.org', 'root@far.example', 'vmail@example.org'])
    assert.equal((await receive(unknown)).code, 550)
  const looked = await posthorn.command('lookup', 'users', 'bob@example.org')
  assert.equal(looked.stdout.trim(), join(directory, 'mail', 'example.org', 'bob'))
  await posthorn.queueEmpty()
})

test('it sends with the same password, as itself only', { timeout }, async (t) => {
  if (!dovecot) return t.skip('no Dovecot here: nothing of it was tested')
  const client = await openImplicit()
  assert.equal((await plain(client, ANNA, 'guess')).code, 535)
  assert.equal((await plain(client, ANNA, 'a secret')).code, 235)
  const other = await client.say('MAIL FROM:<bob@example.org>')
  assert.ok(other.code >= 500, other.text)
  assert.equal((await client.say('MAIL FROM:<anna+shop@example.org>')).code, 250)
  assert.equal((await client.say('RCPT TO:<friend@far.example>')).code, 250)
  assert.equal((await client.say('RCPT TO:<bob@example.org>')).code, 250)
  assert.equal((await client.say('DATA')).code, 354)
  client.write(dotted(Buffer.from('From: anna+shop@example.org\r\nSubject: from a phone\r\n\r\nHello.\r\n')))
  assert.equal((await client.reply()).code, 250)
  await client.quit()
  const [sent] = await sink.received(1)
  assert.deepEqual(sent?.to, ['friend@far.example'])
  assert.match(String(sent?.content), /DKIM-Signature: [\s\S]*d=example\.org/)
  assert.match(await inboxOf('bob@example.org', 'another', 1), /Subject: from a phone/)
  const starttls = await openSecure(port('submission'))
  assert.equal((await scram(starttls, ANNA, 'a secret', false)).code, 235)
  await starttls.quit()
  await posthorn.queueEmpty()
})

test('while Dovecot is down nobody is unknown, and all goes on when it is back', { timeout }, async (t) => {
  if (!dovecot) return t.skip('no Dovecot here: nothing of it was tested')
  await dovecot.stop()
  let stranger = 0
  await until('nobody to be asked', async () => (await receive(`s${++stranger}@example.org`)).code === 451)
  await upDovecot()
  await until('bob to be known', async () => (await receive('bob@example.org')).code === 250)
  await posthorn.queueEmpty()
  const again = await openSecure(port('submission'))
  assert.equal((await plain(again, ANNA, 'a secret')).code, 235)
  await again.quit()
})
