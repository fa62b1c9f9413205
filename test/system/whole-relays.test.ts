/**
 * Relays against the whole: logging in to a smarthost (another Posthorn, with SCRAM and TLS), as whom the sender is; what
 * a wrong password and a certificate of nobody's do; hosts that stand in for one another; a unix socket.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { type Authority, makeAuthority } from '../support/certificates.ts'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-relays-'))
const passwords = join(directory, 'passwords')
const logins = join(directory, 'logins')

let authority: Authority
let sink: Sink
let smarthost: Posthorn

before(
  async () => {
    authority = makeAuthority(directory)
    for (const login of ['anna', 'brand']) {
      const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords, login, '--scram']
      assert.equal(spawnSync(process.execPath, words, { input: `of ${login}: #1\n` }).status, 0)
    }
    sink = await openSink()
    const { certificate, key } = authority.sign('localhost', 'DNS:localhost')
    smarthost = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: `tls "x" { certificate "${certificate}"; key "${key}"; }; auth "users" { passwords "${passwords}"; };
            listener "users" { type submission; address 127.0.0.1; port 0; tls "x"; auth "users" required; };
            zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`,
        }),
    })
  },
  { timeout },
)

after(
  async () => {
    await smarthost?.stop()
    await sink?.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

function submit(posthorn: Posthorn, to: string, from: string): Promise<{ code: number; text: string }> {
  const { content } = makeSpecimen(500)
  return sendMail(posthorn.ports['submission'] ?? 0, { from, to: [to], content })
}

test('a null client logs in to its smarthost, as whom the sender is', { timeout }, async () => {
  writeFileSync(logins, 'localhost anna:wrong\n"@brand.example" "brand:of brand: #1";\n')
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: `relay "smarthost" { hosts { "localhost" port ${smarthost.ports['users']}; }; logins "${logins}"; };
          zone "." { type relay; relay "smarthost"; }; smtpc { ca-file "${authority.certificate}"; };`,
      }),
  })
  try {
    assert.equal((await submit(posthorn, '1@far.example', 'x@brand.example')).code, 250)
    await sink.received(1)
    assert.match(String(sink.mails[0]?.content), /ESMTPSA/)
    assert.equal((await submit(posthorn, '2@far.example', 'anna@local.example')).code, 250)
    await posthorn.logged(/2@far\.example","outcome":"later".*login as anna was refused: /)
    writeFileSync(logins, 'localhost anna:of anna: #1\n') // put right, it goes
    await sink.received(2)
    await posthorn.queueEmpty()
    const said = await until('both logins in the log', () => {
      const users = smarthost.log().match(/"user":"\w+"/g) ?? []
      return new Set(users).size >= 2 && users
    })
    assert.deepEqual(
      [...new Set(said)].sort((a, b) => (a < b ? -1 : 1)),
      ['"user":"anna"', '"user":"brand"'],
    )
    assert.ok(!/#1|wrong/.test(posthorn.log()), 'no password in the log')
  } finally {
    await posthorn.stop()
  }
})

test('no password is said to a host that cannot prove its name', { timeout }, async () => {
  // written so, the address is not seen to be this machine's
  const heard: string[] = []
  const thief = await openSink((stage, line) => {
    heard.push(`${stage} ${line}`)
    return stage === 'ehlo' ? '250-thief.example\r\n250 AUTH PLAIN LOGIN' : null
  })
  writeFileSync(logins, '* anna:secret\n')
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h;',
        more: `relay "a" { hosts { "::ffff:127.0.0.1" port ${thief.port}; }; logins "${logins}"; };
          zone "." { type relay; relay "a"; };`,
      }),
  })
  try {
    assert.equal((await submit(posthorn, '1@far.example', 'anna@local.example')).code, 250)
    await posthorn.logged(
      /1@far\.example","outcome":"later".*our login demands TLS, and .* does not offer it/,
    )
    assert.ok(heard.some((line) => line.startsWith('ehlo')))
    assert.ok(!heard.some((line) => /mail|AUTH/.test(line)), heard.join())
  } finally {
    await posthorn.stop()
    await thief.close()
  }
})

test('a dead relay host is passed over within the attempt, and a socket takes LMTP', {
  timeout,
}, async () => {
  const [dead, backup] = await Promise.all([openSink(), openSink()])
  await dead.close()
  const inside = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: `listener "lmtp" { type lmtp; socket "l.sock"; };
          zone "inside.example" { type local; mailboxes "${paths.users}"; };`,
      }),
    users: ['anna'],
  })
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h;',
        more: `relay "two" { hosts { "127.0.0.1" port ${dead.port} weight 5; "127.0.0.1" port ${dead.port} weight 5; "127.0.0.1" port ${backup.port}; }; };
          zone "two.example" { type relay; relay "two"; };
          zone "inside.example" { type relay; hosts { "${join(inside.paths.run, 'l.sock')}"; }; };`,
      }),
  })
  try {
    assert.equal((await submit(posthorn, '1@two.example', 'x@far.example')).code, 250)
    await backup.received(1)
    assert.equal((await submit(posthorn, 'anna@inside.example', 'x@far.example')).code, 250)
    await mailsIn(inside.maildir('anna'), 1)
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
    await inside.stop()
    await backup.close()
  }
})
