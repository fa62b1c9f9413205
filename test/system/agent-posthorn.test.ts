/**
 * The agent of a user logs in to a real Posthorn, over real TLS, by each mechanism that is more than a password in
 * the clear: both sides are ours, so each is tested against other implementations elsewhere as well.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { makeAuthority } from '../support/certificates.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { newUser, type User } from './agent-stage.ts'

const timeout = 120_000
const MESSAGE = 'Subject: hello\n\nbody\n'
const directory = mkdtempSync(join(tmpdir(), 'posthorn-login-'))
const passwords = join(directory, 'passwords')
let user: User
let sink: Sink
let oauth: Server
let posthorn: Posthorn

/** Knows one token. */
async function startOAuth(): Promise<Server> {
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      const active = new URLSearchParams(body).get('token') === 'opaque'
      response.end(JSON.stringify(active ? { active, username: 'anna' } : { active }))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return server
}

before(
  async () => {
    user = newUser()
    sink = await openSink()
    oauth = await startOAuth()
    const authority = makeAuthority(directory)
    cpSync(authority.certificate, join(user.home, 'authority.pem'))
    const { certificate, key } = authority.sign('localhost', 'DNS:localhost')
    const words = [resolve('dist/commands/posthorn.js'), 'passwd', passwords, 'anna', '--scram']
    assert.equal(spawnSync(process.execPath, words, { input: 'Grüße\n' }).status, 0)
    const { port } = oauth.address() as AddressInfo
    const listener = (name: string, auth: string, tls: string) =>
      `listener "${name}" { type submission; address 127.0.0.1; port 0; tls "mx" ${tls}; auth "${auth}" required; };`
    const more = `
tls "mx" { certificate "${certificate}"; key "${key}"; };
auth "users" { passwords "${passwords}"; };
auth "tokens" { oauth-introspection "http://127.0.0.1:${port}/"; };
${listener('implicit', 'users', 'implicit')} ${listener('starttls', 'users', 'required')}
${listener('tokens', 'tokens', 'required')}
zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };
`
    posthorn = await startPosthorn({ silent: 'implicit', config: (paths) => testConfig(paths, { more }) })
  },
  { timeout },
)

after(
  async () => {
    await posthorn?.stop()
    await user.close()
    await sink.close()
    oauth.closeAllConnections()
    await new Promise((done) => oauth.close(done))
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

/** @param more `auth`, and where the secret comes from. */
function writeAccount(listener: string, more: string): void {
  const tls = listener === 'implicit' ? 'implicit' : 'starttls'
  user.accounts(`account "mine" {
  host "localhost" port ${posthorn.ports[listener]};
  tls ${tls}; tls-trust "~/authority.pem"; from "anna@local.example"; default; ${more}
};
`)
}

const BY_PASSWORD = `password-command "echo Grüße";`
const ways: readonly (readonly [string, string, string, string])[] = [
  ['the best that is offered', 'implicit', 'SCRAM-SHA-256-PLUS', `auth user "anna"; ${BY_PASSWORD}`],
  ['the best behind STARTTLS', 'starttls', 'SCRAM-SHA-256-PLUS', `auth user "anna"; ${BY_PASSWORD}`],
  ['SCRAM', 'implicit', 'SCRAM-SHA-256', `auth user "anna" scram-sha-256; ${BY_PASSWORD}`],
  ['a token', 'tokens', 'OAUTHBEARER', 'auth user "anna"; token-command "echo opaque";'],
  ['a token in the older way', 'tokens', 'XOAUTH2', 'auth user "anna" xoauth2; token-command "echo opaque";'],
]

for (const [what, listener, mechanism, account] of ways) {
  test(`logs in by ${what}: ${mechanism}`, { timeout }, async () => {
    writeAccount(listener, account)
    const before = sink.mails.length
    const { code, stderr } = await user.sendmail(['-a', 'mine', 'bob@far.example'], MESSAGE)
    assert.deepEqual([code, stderr], [0, ''])
    await sink.received(before + 1)
    assert.equal(sink.mails.at(-1)?.from, 'anna@local.example')
    assert.match(sink.mails.at(-1)?.content.toString() ?? '', /\(authenticated|with ESMTPSA /i)
    await posthorn.logged(new RegExp(`"user":"anna","mechanism":"${mechanism}"`, 'i'))
  })
}

for (const [what, listener, account] of [
  ['a wrong password', 'implicit', 'auth user "anna"; password-command "echo wrong";'],
  ['a wrong token', 'tokens', 'auth user "anna"; token-command "echo other";'],
] as const) {
  test(`${what} is said to be one, and nothing is sent`, { timeout }, async () => {
    writeAccount(listener, account)
    const before = sink.mails.length
    const { code, stderr } = await user.sendmail(['-a', 'mine', 'bob@far.example'], MESSAGE)
    assert.equal(code, 75, 'the account can be put right')
    assert.match(stderr, /535 5\.7\.8/)
    assert.equal(sink.mails.length, before)
  })
}
