/**
 * The tricks that spammers try on a server to have it relay: each must end in a refusal, and nothing may reach
 * the next hop or the queue.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { loadConfig, printProblems } from '../../shared/config/check.ts'
import { connectTo, openSession } from '../support/client.ts'
import { encode } from '../support/login.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const directory = mkdtempSync(join(tmpdir(), 'posthorn-relay-'))
writeFileSync(join(directory, 'passwords'), 'anna:{PLAIN}secret\nbert:{PLAIN}secret\nlocked:!\n')
writeFileSync(join(directory, 'senders'), 'anna@local.example: anna\n')
const LOGIN = `
auth "users" { passwords "${directory}/passwords"; mechanisms PLAIN LOGIN SCRAM-SHA-256; };
listener "login" {
  type submission; address 127.0.0.1; port 0; auth "users"; auth-without-tls yes; sender-login "${directory}/senders";
};`

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: `${LOGIN} zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`,
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    await posthorn.stop()
    await sink.close()
    rmSync(directory, { recursive: true })
  },
  { timeout },
)

const OURS = 'mx.posthorn.example'

/** What spammers say to a server that knows logins. */
const LOGIN_TRICKS: readonly (readonly [name: string, ...lines: string[]])[] = [
  ['no login at all'],
  ['a wrong password', `AUTH PLAIN ${encode('\0anna\0guess')}`],
  ['an empty password', `AUTH PLAIN ${encode('\0anna\0')}`],
  ['an empty login', `AUTH PLAIN ${encode('\0\0secret')}`],
  ['nothing', 'AUTH PLAIN ='],
  ['somebody else by a third', `AUTH PLAIN ${encode('anna\0bert\0secret')}`],
  ['the hash instead of the password', `AUTH PLAIN ${encode('\0anna\0{PLAIN}secret')}`],
  ['a login that is locked', `AUTH PLAIN ${encode('\0locked\0!')}`],
  ['a login that is cut off', 'AUTH LOGIN', encode('anna'), '*'],
  ['LOGIN with nothing', 'AUTH LOGIN', '', ''],
  ['a mechanism of no meaning', 'AUTH ANONYMOUS', 'AUTH GSSAPI', 'AUTH CRAM-MD5'],
  ['a certificate without TLS', `AUTH EXTERNAL ${encode('anna')}`],
  ['a token from nowhere', `AUTH XOAUTH2 ${encode('user=anna\x01auth=Bearer x\x01\x01')}`],
  [
    'SCRAM with a proof of nothing',
    `AUTH SCRAM-SHA-256 ${encode('n,,n=anna,r=x')}`,
    encode('c=biws,r=x,p=AAAA'),
  ],
  ['the word of a client in between', 'XCLIENT LOGIN=anna', 'MAIL FROM:<anna@local.example> AUTH=anna'],
]

/** What goes into MAIL and RCPT, as written on the wire. */
const TRICKS: readonly (readonly [name: string, from: string, to: string])[] = [
  ['a stranger to a stranger', '<spam@evil.example>', '<victim@far.example>'],
  ['the sender pretends to be ours', '<anna@local.example>', '<victim@far.example>'],
  ['the null sender', '<>', '<victim@far.example>'],
  ['the sender is postmaster at our host', `<postmaster@${OURS}>`, '<victim@far.example>'],
  ['the sender is local without a domain', '<anna>', '<victim@far.example>'],
  ['percent hack', '<spam@evil.example>', '<victim%far.example@local.example>'],
  ['percent hack at our host', '<spam@evil.example>', `<victim%far.example@${OURS}>`],
  ['quoted address inside', '<spam@evil.example>', '<"victim@far.example"@local.example>'],
  ['quoted percent', '<spam@evil.example>', '<"victim%far.example"@local.example>'],
  ['bang path', '<spam@evil.example>', '<far.example!victim@local.example>'],
  ['bang path without domain', '<spam@evil.example>', '<far.example!victim>'],
  ['source route through us', '<spam@evil.example>', '<@local.example:victim@far.example>'],
  ['source route through our host', '<spam@evil.example>', `<@${OURS}:victim@far.example>`],
  ['two at signs', '<spam@evil.example>', '<victim@far.example@local.example>'],
  ['far and ours the other way round', '<spam@evil.example>', '<victim@local.example@far.example>'],
  ['our address as literal', '<spam@evil.example>', '<victim%far.example@[127.0.0.1]>'],
  ['a far literal', '<spam@evil.example>', '<victim@[192.0.2.1]>'],
  ['without brackets', '<spam@evil.example>', 'victim@far.example'],
  ['a dot at the end', '<spam@evil.example>', '<victim@far.example.>'],
  ['a subdomain of ours', '<spam@evil.example>', '<victim@sub.local.example>'],
  ['the end of our domain', '<spam@evil.example>', '<victim@evil-local.example>'],
]

for (const [name, from, to] of TRICKS) {
  test(name, { timeout }, async () => {
    const session = await openSession(posthorn.ports['mx'] ?? 0, 'evil.example')
    const mail = await session.say(`MAIL FROM:${from}`)
    const rcpt = await session.say(`RCPT TO:${to}`)
    assert.ok(rcpt.code >= 500, `MAIL ${mail.lines}, RCPT ${rcpt.lines}`)
    if (name === 'a stranger to a stranger') assert.deepEqual([rcpt.code, rcpt.enhanced], [550, '5.7.1'])
    const data = await session.say('DATA')
    assert.ok(data.code >= 500, `DATA ${data.lines}`)
    await session.quit()
  })
}

for (const [name, ...lines] of LOGIN_TRICKS) {
  test(`where users log in: ${name}`, { timeout }, async () => {
    const session = await openSession(posthorn.ports['login'] ?? 0, 'evil.example')
    for (const line of lines) {
      const reply = await session.say(line)
      assert.notEqual(reply.code, 235, line)
    }
    const mail = await session.say('MAIL FROM:<spam@evil.example>')
    assert.ok(mail.code >= 500, `${mail.lines}`)
    const rcpt = await session.say('RCPT TO:<victim@far.example>')
    assert.ok(rcpt.code >= 500, `${rcpt.lines}`)
    await session.quit()
  })
}

test('a login before a second EHLO or a RSET still is one, after it has failed it is none', {
  timeout,
}, async () => {
  const session = await openSession(posthorn.ports['login'] ?? 0, 'client.example')
  assert.equal((await session.say(`AUTH PLAIN ${encode('\0anna\0secret')}`)).code, 235)
  await session.say('RSET')
  await session.say('EHLO other.example')
  const other = await session.say('MAIL FROM:<boss@local.example>')
  assert.deepEqual([other.code, other.enhanced], [553, '5.7.1'], 'her login is not his address')
  assert.equal((await session.say('MAIL FROM:<anna@local.example>')).code, 250)
  assert.equal((await session.say('RCPT TO:<friend@far.example>')).code, 250)
  await session.quit()
})

test('HELO as one of ours opens nothing', { timeout }, async () => {
  const session = await connectTo(posthorn.ports['mx'] ?? 0)
  await session.reply()
  for (const name of ['local.example', OURS, 'localhost', '[127.0.0.1]']) {
    assert.equal((await session.say(`HELO ${name}`)).code, 250)
    await session.say('MAIL FROM:<anna@local.example>')
    assert.equal((await session.say('RCPT TO:<victim@far.example>')).code, 550, name)
    await session.say('RSET')
  }
  await session.quit()
})

test('an allowed recipient does not carry a forbidden one', { timeout }, async () => {
  const session = await openSession(posthorn.ports['mx'] ?? 0, 'evil.example')
  await session.say('MAIL FROM:<spam@evil.example>')
  assert.equal((await session.say('RCPT TO:<anna@local.example>')).code, 250)
  assert.equal((await session.say('RCPT TO:<victim@far.example>')).code, 550)
  await session.say('RSET')
  await session.quit()
})

test('nothing of all this got through', { timeout }, async () => {
  await posthorn.queueEmpty()
  assert.equal(sink.connections(), 0)
})

test('the shipped config refuses strangers on every port', { timeout }, async () => {
  const shipped = readFileSync('config/posthorn.conf', 'utf8')
  const other = await startPosthorn({
    config: ({ spool, run, users }) =>
      shipped
        .replace('"../spool";', `"${spool}"; run-directory "${run}";`)
        .replace('"demo.users"', `"${users}"`)
        .replaceAll(/port \d+;/g, 'port 0;'),
    users: ['demo'],
  })
  try {
    assert.deepEqual(Object.keys(other.ports), ['mx', 'submission'])
    for (const [name, port] of Object.entries(other.ports)) {
      const session = await openSession(port, 'evil.example')
      await session.say('MAIL FROM:<spam@evil.example>')
      const far = await session.say('RCPT TO:<victim@far.example>')
      assert.deepEqual([far.code, far.enhanced], [550, '5.7.1'], name)
      assert.equal((await session.say('RCPT TO:<demo@posthorn.localhost>')).code, 250)
      await session.quit()
    }
  } finally {
    await other.stop()
  }
})

test('no shipped config lets strangers relay', () => {
  const names = [...readdirSync('config/examples'), 'vps-with-dovecot/posthorn.conf']
  const examples = names.map((name) => `config/examples/${name}`)
  const files = ['config/posthorn.conf', ...examples].filter((name) => name.endsWith('.conf'))
  for (const file of files) {
    const checked = loadConfig(file, { asCaller: true, readable: () => 'yes' })
    assert.ok(checked.kind === 'ok', checked.kind === 'bad' ? printProblems(checked.problems) : '')
    for (const { name, kind, relay } of checked.slices.mcp.listeners) {
      const wide = relay.filter(
        (one) =>
          !one.negated && (!('network' in one) || one.network === 'any' || /\/[0-7]$/.test(one.network)),
      )
      if (kind === 'mx')
        assert.deepEqual(
          relay.filter((one) => !one.negated),
          [],
          `${file}: ${name}`,
        )
      if (kind === 'submission') assert.deepEqual(wide, [], `${file}: ${name}`)
    }
  }
})
