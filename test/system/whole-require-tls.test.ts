/**
 * REQUIRETLS (RFC 8689) from end to end: over verified TLS to a host that offers it, and to no other.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from 'node:tls'
import { dotted, openSession, SmtpClient } from '../support/client.ts'
import { writeLocalhostCertificate } from '../support/localhost-certificate.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-require-tls-'))
const files = writeLocalhostCertificate(directory)
const tls = `tls "public" { certificate "${files.certificate}"; key "${files.key}"; };`
let inner: Posthorn
let outer: Posthorn
let sink: Sink

before(
  async () => {
    sink = await openSink()
    inner = await startPosthorn({
      config: (paths) =>
        testConfig(paths, { mx: 'tls "public";', more: tls }).replace('local.example', 'inner.example'),
      users: ['anna'],
    })
    const port = inner.ports['mx'] ?? 0
    outer = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          mx: 'tls "public"; relay { localhost; };',
          more: `${tls}
            smtpc { ca-file "${files.certificate}"; };
            zone "inner.example" { type relay; hosts { "localhost" port ${port}; }; };
            zone "misnamed.example" { type relay; hosts { "127.0.0.1" port ${port}; }; };`,
        }),
      users: ['ben', 'carl'],
    })
  },
  { timeout },
)

after(
  async () => {
    await outer.stop()
    await inner.stop()
    await sink.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

/** After STARTTLS and EHLO. */
async function openSecure(port: number): Promise<{ client: SmtpClient; offers: string[] }> {
  const plain = await openSession(port)
  assert.equal((await plain.say('STARTTLS')).code, 220)
  plain.socket.removeAllListeners('data')
  const client = new SmtpClient(connect({ socket: plain.socket, rejectUnauthorized: false }))
  return { client, offers: (await client.say('EHLO client.example')).lines }
}

async function send(from: string, to: string): Promise<void> {
  const { client, offers } = await openSecure(outer.ports['mx'] ?? 0)
  assert.ok(offers.some((line) => line.endsWith('REQUIRETLS')))
  assert.equal((await client.say(`MAIL FROM:<${from}> REQUIRETLS RET=FULL`)).code, 250)
  assert.equal((await client.say(`RCPT TO:<${to}>`)).code, 250)
  assert.equal((await client.say('DATA')).code, 354)
  client.write(dotted('Subject: guarded\r\n\r\nsecret\r\n'))
  assert.equal((await client.reply()).code, 250)
  await client.quit()
}

test('it is not offered in clear', { timeout }, async () => {
  const client = await openSession(outer.ports['mx'] ?? 0)
  assert.equal((await client.say('MAIL FROM:<ben@local.example> REQUIRETLS')).code, 555)
  await client.quit()
})

test('over verified TLS it goes on, and the next host is asked for the same', { timeout }, async () => {
  await send('ben@local.example', 'anna@inner.example')
  const [mail] = await mailsIn(inner.maildir('anna'), 1)
  assert.match(mail?.content.toString() ?? '', /^Subject: guarded/m)
  assert.match(mail?.content.toString() ?? '', /with ESMTPS/)
})

for (const [name, user, to] of [
  ['a host without TLS', 'ben', 'far@relay.example'],
  ['a host whose certificate has another name', 'carl', 'anna@misnamed.example'],
] as const) {
  test(`${name} gets nothing, and the sender hears of it without the content`, { timeout }, async () => {
    await send(`${user}@local.example`, to)
    const [report] = await mailsIn(outer.maildir(user), 1)
    const text = report?.content.toString() ?? ''
    assert.match(text, /^Status: 5\.7\.30$/m)
    assert.match(text, /^Subject: guarded/m)
    assert.doesNotMatch(text, /secret/)
    assert.equal(sink.mails.length, 0)
    assert.equal((await mailsIn(inner.maildir('anna'), 1)).length, 1)
  })
}
