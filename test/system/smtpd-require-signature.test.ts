/**
 * require-signature on a listener and on a zone, with the whole of Posthorn and a name server that has the keys:
 * what is signed goes through octet for octet, everything else is refused at the dot and leaves no trace.
 */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { DkimSigner } from '../../commands/sign/dkim-signer.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { openSession, sendMail, transact } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const KEY_NAME = 'k1._domainkey.client.example'
const key = signingKey('rsa')
let names: NameServer
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    names = await startNameServer({ [`TXT ${KEY_NAME}`]: { answers: [record.txt(KEY_NAME, key.record)] } })
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          more: `
listener "strict" { type mx; address 127.0.0.1; port 0; require-signature yes; relay { localhost; }; };
listener "users" { type submission; address 127.0.0.1; port 0; require-signature yes; relay { localhost; }; };
zone "strict.example" { type relay; require-signature yes; hosts { "127.0.0.1" port ${sink.port}; }; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; timeout 3s; attempts 1; };`,
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
    names.close()
  },
  { timeout },
)

const HEADER = 'From: Sam <sam@client.example>\r\nTo: far@relay.example\r\nSubject: signed\r\n'

function sign(header: string, body: string, selector = 'k1'): string {
  const signer = new DkimSigner()
  signer.push(Buffer.from(body))
  const signers = [{ domain: 'client.example', selector, key: key.key }]
  const times = { signedAt: Math.floor(Date.now() / 1000), expires: null }
  return `${signer.sign(readFields(header), signers, times)}${header}\r\n${body}`
}

function noContentLeft(): Promise<unknown> {
  const folder = join(posthorn.paths.spool, 'queue', 'content')
  return until('content files to be gone', () => readdirSync(folder).length === 0)
}

const envelope = { from: 'sam@client.example', to: ['far@relay.example'] }
const strict = () => posthorn.ports['strict'] ?? 0

for (const [what, octets] of [
  ['small', 2000],
  ['large', 400_000],
] as const) {
  test(`a ${what} signed message passes, octet for octet`, { timeout }, async () => {
    const before = sink.mails.length
    const content = sign(HEADER, '.dots and spaces  \r\n'.repeat(octets / 20))
    const reply = await sendMail(strict(), { ...envelope, content })
    assert.equal(reply.code, 250, reply.text)
    const mail = (await sink.received(before + 1)).at(-1)
    assert.ok(mail?.content.toString('latin1').endsWith(content))
  })

  test(`a ${what} message that was changed is refused`, { timeout }, async () => {
    const before = sink.mails.length
    const content = sign(HEADER, 'all of this is signed\r\n'.repeat(octets / 20)).replace('all of', 'most of')
    const reply = await sendMail(strict(), { ...envelope, content })
    assert.deepEqual([reply.code, reply.enhanced], [550, '5.7.20'])
    await posthorn.queueEmpty()
    assert.equal(sink.mails.length, before)
    await noContentLeft()
  })
}

test('unsigned mail, and mail of another sender, are refused; the session goes on', { timeout }, async () => {
  const session = await openSession(strict())
  const content = sign(HEADER, 'x\r\n')
  const plain = await transact(session, { ...envelope, content: `${HEADER}\r\nx\r\n` })
  assert.deepEqual([plain.code, plain.enhanced], [550, '5.7.22'])
  const other = await transact(session, { ...envelope, from: 'eve@evil.example', content })
  assert.deepEqual([other.code, other.enhanced], [550, '5.7.22'])
  assert.equal((await transact(session, { ...envelope, content })).code, 250)
  await session.quit()
})

test('DNS in trouble puts it off, and leaves nothing behind', { timeout }, async () => {
  names.scripts.set('TXT k2._domainkey.client.example', { silent: true })
  for (const body of ['x\r\n', 'large\r\n'.repeat(100_000)]) {
    const reply = await sendMail(strict(), { ...envelope, content: sign(HEADER, body, 'k2') })
    assert.deepEqual([reply.code, reply.enhanced], [451, '4.7.5'])
  }
  await noContentLeft()
})

test('a zone that wants signatures gets no other mail, whatever else is among the recipients', {
  timeout,
}, async () => {
  const mx = posthorn.ports['mx'] ?? 0
  const plain = `${HEADER}\r\nx\r\n`
  const to = ['anna@local.example', 'far@strict.example']
  const refused = await sendMail(mx, { from: 'sam@client.example', to, content: plain })
  assert.deepEqual([refused.code, refused.enhanced], [550, '5.7.22'])
  const before = sink.mails.length
  assert.equal(
    (await sendMail(mx, { from: 'sam@client.example', to, content: sign(HEADER, 'y\r\n') })).code,
    250,
  )
  assert.deepEqual((await sink.received(before + 1)).at(-1)?.to, ['far@strict.example'])
  assert.equal((await mailsIn(posthorn.maildir('anna'), 1)).length, 1)
  assert.equal((await sendMail(mx, { ...envelope, content: plain })).code, 250, 'other zones are as before')
})

test('with RCPTHDR, on the listener and on a zone that the header names', { timeout }, async () => {
  const whole = 'Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@client.example>\r\n'
  const send = async (listener: string, content: string, from = 'sam@client.example') => {
    const session = await openSession(posthorn.ports[listener] ?? 0)
    await session.say(`MAIL FROM:<${from}> RCPTHDR`)
    assert.equal((await session.say('DATA')).code, 354)
    const reply = await session.say(`${content}.`)
    await session.quit()
    return reply
  }
  const to = (address: string) => `${whole}${HEADER.replace('far@relay.example', address)}`
  const before = sink.mails.length
  for (const [listener, address] of [
    ['users', 'far@relay.example'],
    ['submission', 'far@strict.example'],
  ] as const) {
    const header = to(address)
    const plain = await send(listener, `${header}\r\nx\r\n`)
    assert.deepEqual([plain.code, plain.enhanced, listener], [550, '5.7.22', listener])
    assert.equal((await send(listener, sign(header, 'x\r\n'))).code, 250)
    assert.equal((await send(listener, sign(header, 'y\r\n'), '')).code, 250)
  }
  const open = await send('submission', `${to('far@relay.example')}\r\nx\r\n`)
  assert.equal(open.code, 250, 'where nobody asks for it')
  await sink.received(before + 5)
  await noContentLeft()
})

test('a client that leaves while its key is looked up loses nothing but its message', {
  timeout,
}, async () => {
  let answer: () => void = () => undefined
  const script = { answers: [record.txt('k3._domainkey.client.example', key.record)] }
  const held = new Promise<void>((resolve) => {
    answer = resolve
  })
  names.scripts.set('TXT k3._domainkey.client.example', { ...script, after: held })
  const session = await openSession(strict())
  await session.say('MAIL FROM:<sam@client.example>')
  await session.say('RCPT TO:<far@relay.example>')
  await session.say('DATA')
  const content = sign(HEADER, 'gone\r\n'.repeat(60_000), 'k3')
  session.write(`${content}.\r\n`)
  await until('the key to be asked for', () => names.asked.includes('TXT k3._domainkey.client.example'))
  session.socket.resetAndDestroy()
  await posthorn.logged(/client vanished/)
  answer()
  const before = sink.mails.length
  assert.equal((await sendMail(strict(), { ...envelope, content: sign(HEADER, 'z\r\n') })).code, 250)
  await sink.received(before + 1)
  await posthorn.queueEmpty()
  assert.equal(sink.mails.length, before + 1)
  await noContentLeft()
})
