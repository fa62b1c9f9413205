/**
 * The examples of servers that stand beside another one, started and used as they are shipped, but for places and
 * ports: the null client that logs in to a smarthost, the one that a smarthost knows by its address, the second mail
 * exchanger. `routing.conf` has its rules in `whole-routing.test.ts`, Dovecot its folder in `whole-dovecot.test.ts`.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { makeAuthority } from '../support/certificates.ts'
import { sendMail } from '../support/client.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-examples-'))
const authority = makeAuthority(directory)
const passwords = join(directory, 'passwords')

let sink: Sink
let names: NameServer
/** Another Posthorn: logs in web01 and shop, and passes all on to the sink. */
let smarthost: Posthorn

function here(host: string): [string, Script][] {
  return [
    [`A ${host}`, { answers: [record.a(host, '127.0.0.1')] }],
    [`AAAA ${host}`, nodata(host)],
  ]
}

before(
  async () => {
    sink = await openSink()
    names = await startNameServer({
      ...Object.fromEntries([...here('smtp.example.net'), ...here('mx1.example.net')]),
      'MX example.net': {
        answers: [
          record.mx('example.net', 10, 'mx1.example.net'),
          record.mx('example.net', 20, 'mx2.example.net'),
        ],
      },
    })
    for (const login of ['web01', 'shop']) {
      const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords, login]
      assert.equal(spawnSync(process.execPath, words, { input: `of ${login}\n` }).status, 0)
    }
    const { certificate, key } = authority.sign('smtp.example.net', 'DNS:smtp.example.net')
    const more = `tls "x" { certificate "${certificate}"; key "${key}"; }; auth "users" { passwords "${passwords}"; };
      listener "users" { type submission; address 127.0.0.1; port 0; tls "x"; auth "users" required; };
      zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`
    smarthost = await startPosthorn({ config: (paths) => testConfig(paths, { more }) })
  },
  { timeout },
)

after(
  async () => {
    await smarthost?.stop()
    await sink?.close()
    names?.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

/** The example, with its queue in the test's folder and DNS by the test's server; `changes` must all be found in it. */
function start(example: string, changes: Readonly<Record<string, string>>): Promise<Posthorn> {
  const config = ({ spool, run }: Paths): string => {
    let text = readFileSync(`config/examples/${example}`, 'utf8').replace(/directory "[^"]*";/, '')
    const usual = { 'options {': `options { directory "${spool}"; run-directory "${run}";` }
    for (const [from, to] of Object.entries({ ...usual, ...changes })) {
      assert.ok(text.includes(from), `${example} has ${from}`)
      text = text.replaceAll(from, to)
    }
    return `${text}
      resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${sink.port}; };
      smtpc { ca-file "${authority.certificate}"; };
      logging { channel "main" { stderr; severity info; }; };`
  }
  return startPosthorn({ config })
}

const hasCome = (to: string) => sink.mails.find((mail) => mail.to.includes(to))

test('null-client: programs hand in, the smarthost is logged in to as whom the sender is', {
  timeout,
}, async () => {
  const logins = join(directory, 'relay-logins')
  writeFileSync(logins, 'smtp.example.net  web01:of web01\n@shop.example.org  shop:of shop\n')
  const posthorn = await start('null-client.conf', {
    '/etc/posthorn/relay-logins': logins,
    'port 587': `port ${smarthost.ports['users']}`,
  })
  try {
    const from = (sender: string, to: string) => posthorn.sendmail(`Subject: x\n\n${to}\n`, '-f', sender, to)
    assert.equal((await from('root', 'one@far.example')).code, 0)
    assert.equal((await from('orders@shop.example.org', 'two@far.example')).code, 0)
    await sink.received(2)
    assert.equal(hasCome('one@far.example')?.from, 'root@example.org')
    assert.equal(hasCome('two@far.example')?.from, 'orders@shop.example.org')
    await smarthost.logged(/"user":"web01"/)
    await smarthost.logged(/"user":"shop"/)
    await posthorn.queueEmpty()
    assert.ok(!/of web01|of shop/.test(posthorn.log()), 'no password in the log')
  } finally {
    await posthorn.stop()
  }
})

test('relay-to-smarthost: from programs of this machine, by sendmail and by SMTP', { timeout }, async () => {
  const posthorn = await start('relay-to-smarthost.conf', {
    'port 587; address 127.0.0.1 ::1;': 'port 0; address 127.0.0.1;',
    '"smtp.example.net" port 25': `"smtp.example.net" port ${sink.port}`,
  })
  try {
    assert.equal((await posthorn.sendmail('Subject: x\n\n', '-f', 'root', 'three@far.example')).code, 0)
    const { content } = makeSpecimen(300)
    const mail = { from: 'x@example.org', to: ['four@far.example'], content }
    assert.equal((await sendMail(posthorn.ports['submission'] ?? 0, mail)).code, 250)
    await sink.received(4)
    assert.equal(hasCome('three@far.example')?.from, 'root@example.org')
    assert.equal(hasCome('four@far.example')?.from, 'x@example.org')
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
  }
})

test('backup-mx: mail for those that there are waits for the first exchanger', { timeout }, async () => {
  const recipients = join(directory, 'recipients')
  writeFileSync(recipients, 'anna@example.net  yes\n')
  let away = true
  sink.setAnswer((stage) => (away && stage === 'mail' ? '421 4.3.2 Going down' : null))
  const posthorn = await start('backup-mx.conf', {
    '/etc/posthorn/recipients': recipients,
    'port 25;': 'port 0; address 127.0.0.1;',
    'lifetime 14d;': 'lifetime 14d; retry 500ms;',
  })
  try {
    const { content } = makeSpecimen(300)
    const send = (to: string) =>
      sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@far.example', to: [to], content })
    assert.equal((await send('anna@example.net')).code, 250)
    assert.equal((await send('nobody@example.net')).code, 550)
    assert.equal((await send('x@elsewhere.example')).code, 550)
    await posthorn.logged(/anna@example\.net","outcome":"later"/)
    assert.equal(hasCome('anna@example.net'), undefined)
    away = false
    await posthorn.queueEmpty()
    assert.equal(hasCome('anna@example.net')?.from, 'x@far.example')
    writeFileSync(recipients, 'anna@example.net  yes\nbob@example.net  yes\n') // copied again from the first one
    await posthorn.command('reload')
    assert.equal((await send('bob@example.net')).code, 250)
  } finally {
    await posthorn.stop()
  }
})
