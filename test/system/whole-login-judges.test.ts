/**
 * Logins that others judge: Debian's Dovecot by its auth socket, Debian's saslauthd with PAM, an OAuth server with
 * signed tokens and one that is shown them. Real programs, but for the OAuth servers, which are a few lines here.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { makeScramHash } from '../../shared/auth/password-hash.ts'
import { makeAuthority } from '../support/certificates.ts'
import type { ClientReply, SmtpClient } from '../support/client.ts'
import { type Layered, startLayered } from '../support/layered.ts'
import { encode, openSecure, plain, scram } from '../support/login.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 400_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-judges-'))
const dovecotSocket = join(directory, 'run', 'auth-client')
const saslauthdSocket = join(directory, 'mux', 'mux')

/** `secret`, by openssl passwd -6. */
const SHADOW_HASH =
  '$6$posthorn$IBx65xxPXxZRNf.pj1nKPYBhGyDZyDuVrI.VH.rd/7KQHX1.p8pIsEgFvrib4nHvH3HqhT4.SxOSmVH4z8b0b0'

let dovecot: Layered | null = null
let saslauthd: Layered | null = null
let oauth: OAuthServer
let posthorn: Posthorn

interface OAuthServer {
  server: Server
  url: string
  sign: (
    claims: JWTPayload,
    change?: { issuer?: string; audience?: string; expires?: string },
  ) => Promise<string>
}

/** `/keys` has the public key; `/show` knows the token `opaque`, for those who say who they are. */
async function startOAuth(): Promise<OAuthServer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keys = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' }] })
  const server = createServer((request, response) => {
    if (request.url === '/keys') return void response.end(keys)
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      const known = request.headers.authorization === `Basic ${encode('posthorn:s%3Acret')}`
      const active = known && new URLSearchParams(body).get('token') === 'opaque'
      response.statusCode = known ? 200 : 401
      response.end(JSON.stringify(active ? { active, username: 'anna', scope: 'mail' } : { active }))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const sign: OAuthServer['sign'] = (claims, { issuer = url, audience = 'mail', expires = '5m' } = {}) =>
    new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime(expires)
      .sign(privateKey)
  return { server, url, sign }
}

async function startDovecot(): Promise<Layered | null> {
  writeFileSync(join(directory, 'users'), `anna:${await makeScramHash('secret')}\n`)
  const file = join(directory, 'dovecot.conf')
  // it would slow down whoever fails
  const patience =
    'auth_failure_delay = 0\nservice anvil {\n unix_listener anvil-auth-penalty {\n  mode = 0\n }\n}\n'
  const listener = 'service auth {\n unix_listener auth-client {\n  mode = 0666\n }\n}\n'
  const passdb = `passdb {\n driver = passwd-file\n args = ${directory}/users\n}\n`
  const users =
    'default_internal_user = nobody\ndefault_internal_group = nogroup\ndefault_login_user = nobody\n'
  const places = `base_dir = ${directory}/run\nstate_dir = ${directory}/state\nlog_path = ${directory}/dovecot.log\n`
  const ways =
    'auth_mechanisms = plain scram-sha-256\nprotocols =\nssl = no\nimport_environment = LD_LIBRARY_PATH\n'
  writeFileSync(file, ways + places + users + passdb + listener + patience)
  const command = `env LD_LIBRARY_PATH=/usr/lib/dovecot dovecot -F -c ${file}`
  return startLayered({ packages: ['dovecot-core'], command, socket: dovecotSocket })
}

/** PAM with the files of the machine, but for one user of our own and what is asked for service smtp. */
async function startSaslauthd(): Promise<Layered | null> {
  const etc = join(directory, 'etc')
  mkdirSync(join(etc, 'pam.d'), { recursive: true })
  mkdirSync(join(directory, 'mux'))
  writeFileSync(join(etc, 'pam.d', 'smtp'), 'auth required pam_unix.so\naccount required pam_unix.so\n')
  writeFileSync(join(etc, 'passwd'), 'root:x:0:0::/root:/bin/sh\ncarl:x:4321:4321::/nonexistent:/bin/sh\n')
  writeFileSync(join(etc, 'shadow'), `carl:${SHADOW_HASH}:19000:0:99999:7:::\n`, { mode: 0o600 })
  const command = `saslauthd -d -a pam -m ${join(directory, 'mux')} -n 1`
  return startLayered({ packages: ['sasl2-bin'], etc, command, socket: saslauthdSocket })
}

before(
  async () => {
    chmodSync(directory, 0o755)
    oauth = await startOAuth()
    dovecot = await startDovecot()
    saslauthd = await startSaslauthd()
    const { certificate, key } = makeAuthority(directory).sign(
      'mx.posthorn.example',
      'DNS:mx.posthorn.example',
    )
    writeFileSync(join(directory, 'oauth-secret'), 's:cret\n')
    const listener = (name: string) =>
      `listener "${name}" { type submission; address 127.0.0.1; port 0; tls "mx"; auth "${name}"; };`
    const more = `
tls "mx" { certificate "${certificate}"; key "${key}"; };
auth "dovecot" { dovecot "${dovecotSocket}"; };
auth "pam" { saslauthd "${saslauthdSocket}"; };
auth "signed" { oauth-jwks "${oauth.url}/keys"; oauth-issuer "${oauth.url}"; oauth-audience "mail"; };
auth "shown" {
  oauth-introspection "${oauth.url}/show"; oauth-client "posthorn"; oauth-secret "${directory}/oauth-secret"; oauth-scope "mail";
};
auth "gone" { dovecot "${directory}/nothing"; };
${['dovecot', 'pam', 'signed', 'shown', 'gone'].map(listener).join('\n')}
`
    posthorn = await startPosthorn({ config: (paths) => testConfig(paths, { more }) })
  },
  { timeout },
)

after(
  async () => {
    await posthorn?.stop()
    await dovecot?.stop()
    await saslauthd?.stop()
    oauth.server.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

async function logIn(name: string, how: (client: SmtpClient) => Promise<ClientReply>): Promise<number> {
  const client = await openSecure(posthorn.ports[name] ?? 0)
  const { code } = await how(client)
  if (code === 235) assert.equal((await client.say('MAIL FROM:<anna@local.example>')).code, 250)
  await client.quit()
  return code
}

test('Dovecot judges passwords, and speaks SCRAM through us', { timeout }, async (t) => {
  if (!dovecot) return t.skip('no Dovecot here: nothing of it was tested')
  assert.equal(await logIn('dovecot', (client) => plain(client, 'anna', 'secret')), 235)
  assert.equal(await logIn('dovecot', (client) => plain(client, 'anna', 'guess')), 535)
  assert.equal(await logIn('dovecot', (client) => plain(client, 'nobody', 'secret')), 535)
  const client = await openSecure(posthorn.ports['dovecot'] ?? 0)
  const offered = (await client.say('EHLO client.example')).lines.find((line) => line.includes('AUTH'))
  assert.equal(offered?.slice(4), 'AUTH SCRAM-SHA-256 PLAIN LOGIN')
  await client.quit()
  assert.equal(await logIn('dovecot', (one) => scram(one, 'anna', 'secret', false)), 235)
  assert.equal(await logIn('dovecot', (one) => scram(one, 'anna', 'guess', false)), 535)
  const many = Array.from({ length: 10 }, () => logIn('dovecot', (one) => plain(one, 'anna', 'secret')))
  assert.deepEqual(new Set(await Promise.all(many)), new Set([235]))
})

test('PAM judges by way of saslauthd', { timeout }, async (t) => {
  if (!saslauthd) return t.skip('no saslauthd here: nothing of it was tested')
  assert.equal(await logIn('pam', (client) => plain(client, 'carl', 'secret')), 235)
  assert.equal(await logIn('pam', (client) => plain(client, 'carl', 'guess')), 535)
  assert.equal(await logIn('pam', (client) => plain(client, 'anna', 'secret')), 535)
})

const bearer =
  (token: string, name = '') =>
  (client: SmtpClient) =>
    client.say(`AUTH OAUTHBEARER ${encode(`n,${name && `a=${name}`},\x01auth=Bearer ${token}\x01\x01`)}`)
const xoauth2 = (token: string, name: string) => (client: SmtpClient) =>
  client.say(`AUTH XOAUTH2 ${encode(`user=${name}\x01auth=Bearer ${token}\x01\x01`)}`)
/** RFC 7628 section 3.2.3: why not comes first, and the client says that it has heard. */
const refused = (how: (client: SmtpClient) => Promise<ClientReply>) => async (client: SmtpClient) => {
  const why = await how(client)
  assert.equal(why.code, 334)
  assert.equal(JSON.parse(Buffer.from(why.text, 'base64').toString()).status, 'invalid_token')
  return client.say('AQ==')
}

test('signed tokens: of the right server, for us, in time, of whom they say', { timeout }, async () => {
  const anna = { email: 'anna@local.example' }
  const good = await oauth.sign(anna)
  assert.equal(await logIn('signed', bearer(good)), 235)
  assert.equal(await logIn('signed', bearer(good, 'anna@local.example')), 235)
  assert.equal(await logIn('signed', xoauth2(good, 'anna@local.example')), 235)
  const [head, body, signature] = good.split('.')
  const bad = [
    xoauth2(good, 'bert@local.example'),
    bearer(await oauth.sign(anna, { audience: 'calendar' })),
    bearer(await oauth.sign(anna, { issuer: 'https://evil.example' })),
    bearer(await oauth.sign(anna, { expires: '-5m' })),
    bearer(await oauth.sign({ sub: 'anna' })),
    bearer(`${head}.${body}.${signature?.replace(/^./, (mark) => (mark === 'A' ? 'B' : 'A'))}`),
    bearer(`${encode('{"alg":"none"}').replace(/=/g, '')}.${body}.`),
    bearer('nonsense'),
  ]
  for (const one of bad) assert.equal(await logIn('signed', refused(one)), 535)
})

test('tokens that are shown to their server', { timeout }, async () => {
  assert.equal(await logIn('shown', bearer('opaque')), 235)
  assert.equal(await logIn('shown', xoauth2('opaque', 'anna')), 235)
  assert.equal(await logIn('shown', refused(xoauth2('opaque', 'bert'))), 535)
  assert.equal(await logIn('shown', refused(bearer('other'))), 535)
})

test('who cannot be asked is no reason to refuse for good', { timeout }, async () => {
  assert.equal(await logIn('gone', (client) => plain(client, 'anna', 'secret')), 454)
  await posthorn.logged(/dovecot does not answer/)
  oauth.server.closeAllConnections()
  await new Promise((done) => oauth.server.close(done))
  assert.equal(await logIn('shown', bearer('opaque')), 454)
})
