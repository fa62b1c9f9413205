/**
 * GOSENDMAIL_TLS and GOSENDMAIL_SELFSIGNED from the real sendmail to the next host: one whose certificate verifies, one
 * whose certificate anybody could have made, and one without TLS.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeAuthority } from '../support/certificates.ts'
import { openSession } from '../support/client.ts'
import { writeLocalhostCertificate } from '../support/localhost-certificate.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { sendmail } from './sendmail-stage.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-demand-'))
const files = writeLocalhostCertificate(directory)
let inner: Posthorn
let outer: Posthorn

before(
  async () => {
    const own = makeAuthority(directory, 'localhost')
    inner = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'tls "good";',
          more: `
tls "good" { certificate "${files.certificate}"; key "${files.key}"; };
tls "own" { certificate "${own.certificate}"; key "${own.key}"; };
listener "own" { type mx; address 127.0.0.1; port 0; tls "own"; };
listener "clear" { type mx; address 127.0.0.1; port 0; };
zone "good.example" { type local; mailboxes "${paths.users}"; };
zone "own.example" { type local; mailboxes "${paths.users}"; };
zone "clear.example" { type local; mailboxes "${paths.users}"; };`,
        }),
      users: ['anna', 'bert', 'cora', 'dora', 'emil'],
    })
    const at = (name: string, listener: string) =>
      `zone "${name}.example" { type relay; hosts { "localhost" port ${inner.ports[listener]}; }; };`
    outer = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          qmgr: 'retry 200ms; lifetime 3s; bounce-lifetime 3s;',
          more: `smtpc { ca-file "${files.certificate}"; };
            ${at('good', 'mx')} ${at('own', 'own')} ${at('clear', 'clear')}`,
        }),
      users: ['ben'],
    })
  },
  { timeout },
)

after(
  async () => {
    await outer.stop()
    await inner.stop()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

async function send(to: string, env: Record<string, string>): Promise<void> {
  const all = { POSTHORN_SOCKET: outer.paths.submit, ...env }
  const result = await sendmail(['-f', 'ben@local.example', to], {
    input: 'Subject: x\n\nsecret\n',
    env: all,
  })
  assert.deepEqual(result, { code: 0, out: '', err: '' })
}

/** As the last hop names it in its Received, the topmost. */
async function protocolOf(user: string): Promise<string> {
  const [mail] = await mailsIn(inner.maildir(user), 1)
  return /\swith (E?SMTP\w*)/.exec(mail?.content.toString() ?? '')?.[1] ?? ''
}

const demanded = { GOSENDMAIL_TLS: 'true' }
const selfSigned = { GOSENDMAIL_TLS: '1', GOSENDMAIL_SELFSIGNED: 'yes' }

for (const [what, to, env, protocol] of [
  ['demanded, where the certificate verifies', 'anna@good.example', demanded, 'ESMTPS'],
  ['demanded, with any certificate', 'bert@own.example', selfSigned, 'ESMTPS'],
  ['not wanted, though it is offered', 'cora@good.example', { GOSENDMAIL_TLS: 'no' }, 'ESMTP'],
  ['not spoken of, with any certificate', 'dora@own.example', {}, 'ESMTPS'],
  ['not spoken of, where there is none', 'emil@clear.example', {}, 'ESMTP'],
] as const)
  test(`TLS ${what}`, { timeout }, async () => {
    await send(to, env)
    assert.equal(await protocolOf(to.slice(0, to.indexOf('@'))), protocol)
  })

test('what cannot be met waits, and comes back in the end; nothing goes out in clear', {
  timeout,
}, async () => {
  await send('anna@clear.example', selfSigned)
  await send('anna@own.example', demanded)
  await outer.logged(/4\.7\.4/)
  await outer.logged(/4\.7\.5/)
  const reports = await mailsIn(outer.maildir('ben'), 2)
  const texts = reports.map(({ content }) => content.toString()).join('\n')
  assert.match(texts, /anna@clear\.example[\s\S]*the sender demands TLS, and localhost does not/)
  assert.match(texts, /anna@own\.example[\s\S]*demands a certificate that can be[\s\S]*verified/)
  await outer.queueEmpty()
  assert.equal((await mailsIn(inner.maildir('anna'), 1)).length, 1, 'the one of the first test')
})

test('a value that is neither is a mistake of the caller, before anything is sent', { timeout }, async () => {
  const env = { POSTHORN_SOCKET: outer.paths.submit, GOSENDMAIL_TLS: 'maybe' }
  const { code, err } = await sendmail(['anna@good.example'], { env })
  assert.equal(code, 64)
  assert.match(err, /GOSENDMAIL_TLS is neither yes nor no/)
})

test('on port 25 there is no such parameter', { timeout }, async () => {
  const client = await openSession(outer.ports['mx'] ?? 0)
  assert.equal((await client.say('MAIL FROM:<x@client.example> XTLS=VERIFIED')).code, 555)
  await client.quit()
  const submission = await openSession(outer.ports['submission'] ?? 0)
  assert.equal((await submission.say('MAIL FROM:<x@client.example> XTLS=WHAT')).code, 501)
  assert.equal((await submission.say('MAIL FROM:<x@client.example> XTLS=VERIFIED')).code, 250)
  await submission.quit()
})
