/**
 * Slow clients of a whole Posthorn: who keeps a session busy with an octet now and then is ended by the deadline of
 * the part it is in, in the clear and over TLS, and good mail passes beside a crowd of them.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type ClientReply, connectTo, openSession, SmtpClient, sendMail } from '../support/client.ts'
import { writeLocalhostCertificate } from '../support/localhost-certificate.ts'
import { openSecure } from '../support/login.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 180_000
const DRIP_MS = 100
const CROWD = 200
const directory = mkdtempSync(join(tmpdir(), 'posthorn-slow-'))
let posthorn: Posthorn

/** An hour of silence would be fine: what ends these sessions is one deadline, and only in its own part. */
const only = (deadline: string) => `command-timeout 1h; ${deadline} tarpit-delay 0; session-limit 1000;`
const mx = (name: string, more: string) =>
  `listener "${name}" { type mx; address 127.0.0.1; port 0; tls "own"; ${more} };`
const wrapped = (name: string, more: string) =>
  `listener "${name}" { type submission; address 127.0.0.1; port 0; tls "own" implicit; auth "users"; ${more} };`

function statements(): string {
  const { certificate, key } = writeLocalhostCertificate(directory)
  return `
tls "own" { certificate "${certificate}"; key "${key}"; };
auth "users" { passwords "${resolve('test/support/stage.passwords')}"; };
${mx('hello', only('hello-deadline 500ms;'))}
${mx('envelope', only('envelope-deadline 500ms;'))}
${mx('content', only('content-deadline 500ms; content-rate 1M;'))}
${mx('handshake', only('handshake-deadline 500ms;'))}
${wrapped('wrapped-hello', only('hello-deadline 500ms;'))}
${wrapped('wrapped-login', only('login-deadline 500ms;'))}
${wrapped('wrapped-handshake', only('handshake-deadline 500ms;'))}
${mx('brief', only('session-deadline 1s;'))}
${mx('sticky', 'tarpit-delay 10ms; tarpit-after 2; error-limit 9;')}
limits { exempt { any; }; };
`
}

before(
  async () => {
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { more: statements() }),
      users: ['anna'],
      silent: /^wrapped/,
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn?.stop(), 0)
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

const port = (name: string) => posthorn.ports[name] ?? 0

/** Drips until the server hangs up; the last thing it said. */
async function dripped(client: SmtpClient, octets = 'A'): Promise<ClientReply | null> {
  const drip = setInterval(() => client.write(octets), DRIP_MS)
  client.socket.once('end', () => client.destroy())
  await client.closed
  clearInterval(drip)
  let last: ClientReply | null = null
  for (;;) {
    const next = await client.reply().catch(() => null)
    if (!next) return last
    last = next
  }
}

const wordsOf = (reply: ClientReply | null) => reply && `${reply.code} ${reply.text}`

async function say(client: SmtpClient, ...lines: string[]): Promise<SmtpClient> {
  for (const line of lines) await client.say(line)
  return client
}

const MAIL = 'MAIL FROM:<x@client.example>'
const RCPT = 'RCPT TO:<anna@local.example>'

interface Part {
  name: string
  listener: string
  words: string
  lines: readonly string[]
  octets: string
  begun?: string
}

const PARTS: readonly Part[] = [
  {
    name: 'a command',
    listener: 'envelope',
    words: 'Sender and recipients took too long',
    lines: [MAIL],
    octets: 'R',
  },
  {
    ...{ name: 'recipients', listener: 'envelope', words: 'Sender and recipients took too long' },
    ...{ lines: [MAIL], octets: `${RCPT}\r\n` },
  },
  {
    ...{ name: 'content', listener: 'content', words: 'The content came too slowly' },
    ...{ lines: [MAIL, RCPT, 'DATA'], octets: 'a' },
  },
  {
    ...{ name: 'a chunk', listener: 'content', words: 'The content came too slowly' },
    ...{ lines: [MAIL, RCPT], octets: 'a', begun: 'BDAT 100000\r\n' },
  },
  {
    ...{ name: 'small chunks', listener: 'content', words: 'The content came too slowly' },
    ...{ lines: [MAIL, RCPT], octets: 'BDAT 1\r\na' },
  },
]

test('dripping commands, recipients, content and chunks, in the clear and over TLS', {
  timeout,
}, async () => {
  const each = PARTS.flatMap((part) => [
    { part, open: openSession },
    { part, open: openSecure },
  ])
  await Promise.all(
    each.map(async ({ part: { name, listener, words, lines, octets, begun = '' }, open }) => {
      const client = await say(await open(port(listener)), ...lines)
      client.write(begun)
      assert.equal(wordsOf(await dripped(client, octets)), `421 4.4.2 ${words}`, name)
    }),
  )
})

async function openWrapped(listener: string): Promise<SmtpClient> {
  const socket = await new Promise<TLSSocket>((done, fail) => {
    const where = { host: '127.0.0.1', port: port(listener), rejectUnauthorized: false }
    const tls = connectTls(where, () => done(tls))
    tls.once('error', fail)
  })
  return new SmtpClient(socket)
}

test('no EHLO, but other words, in the clear and over TLS; a login', { timeout }, async () => {
  const [plain, secure, login] = await Promise.all([
    connectTo(port('hello')),
    openWrapped('wrapped-hello'),
    openWrapped('wrapped-login'),
  ])
  await login.reply()
  await login.say('EHLO client.example')
  login.write('AUTH LOGIN\r\n')
  const ends = [dripped(plain, 'RSET\r\n'), dripped(secure, 'RSET\r\n'), dripped(login)]
  const [first, second, third] = (await Promise.all(ends)).map(wordsOf)
  assert.equal(first, '421 4.4.2 Waited too long for EHLO')
  assert.equal(second, first)
  assert.equal(third, '421 4.4.2 Logging in took too long')
})

test('TLS handshakes that do not end: with STARTTLS and without', { timeout }, async () => {
  const record = Buffer.from([0x16, 0x03, 0x01, 0x40, 0x00])
  const upgraded = await openSession(port('handshake'))
  assert.equal((await upgraded.say('STARTTLS')).code, 220)
  const fresh = await connectTo(port('wrapped-handshake'))
  for (const client of [upgraded, fresh]) client.write(record)
  assert.deepEqual(await Promise.all([dripped(upgraded), dripped(fresh)]), [null, null])
  await posthorn.logged(/"listener":"wrapped-handshake".*"deadline":"handshake-deadline".*client too slow/)
  await posthorn.logged(/"deadline":"handshake-deadline","phase":"securing"/)
})

test('the log says by which option, and what became of the message', { timeout }, async () => {
  const client = await say(await openSession(port('content')), MAIL, RCPT, 'DATA')
  await dripped(client)
  await posthorn.logged(/"deadline":"content-deadline","phase":"data".*client too slow/)
  await posthorn.logged(/"code":421,"enhanced":"4.4.2","text":"The content came too slowly".*not accepted/)
})

test('a client that never reads is ended all the same', { timeout }, async () => {
  const client = await connectTo(port('hello'), { localAddress: '127.0.0.7' })
  client.socket.pause()
  const words = 'HELP\r\n'.repeat(10_000)
  const flood = setInterval(() => client.socket.writableLength < words.length && client.write(words), DRIP_MS)
  // who does not read does not see the end: the log has it
  await posthorn.logged(/"client":"127\.0\.0\.7","deadline":"hello-deadline"/)
  await posthorn.logged(/"client":"127\.0\.0\.7","accepted":0,.*session closed/)
  clearInterval(flood)
  client.destroy()
})

test('a session that goes on for ever ends between transactions', { timeout }, async () => {
  const client = await say(await openSession(port('brief')), MAIL, RCPT)
  await posthorn.logged(/"deadline":"session-deadline","phase":"mail"/)
  assert.equal((await client.say('DATA')).code, 354)
  const { content } = makeSpecimen(500)
  client.write(`${content}\r\n.\r\n`)
  assert.equal((await client.reply()).code, 250)
  assert.equal(wordsOf(await client.reply()), '421 4.4.2 The session has lasted too long, connect again')
  await client.closed
})

test('mistakes cost time, and then the session', { timeout }, async () => {
  const client = await openSession(port('sticky'))
  client.write('FOO\r\n'.repeat(20))
  const codes: number[] = []
  for (let n = 0; n < 10; n++) codes.push((await client.reply()).code)
  assert.deepEqual(codes, [500, 500, 500, 500, 500, 500, 500, 500, 500, 421])
  await client.closed
})

test('who has said all still hears every reply that was held', { timeout }, async () => {
  const client = await openSession(port('sticky'))
  client.socket.end('FOO\r\n'.repeat(4))
  for (let n = 0; n < 4; n++) assert.equal((await client.reply()).code, 500)
  await client.closed
})

test('a crowd of slow clients: good mail passes, and each of them hears 421', { timeout }, async () => {
  const before = posthorn.maildir('anna')
  const crowd = await Promise.all(
    Array.from({ length: CROWD }, async (_, n) => {
      return n % 2 === 0
        ? connectTo(port('hello'))
        : say(await openSession(port('content')), MAIL, RCPT, 'DATA')
    }),
  )
  const ends = crowd.map((client) => dripped(client, 'a'))
  const { content } = makeSpecimen(500)
  for (let n = 0; n < 5; n++)
    assert.equal(
      (await sendMail(port('mx'), { from: 'x@client.example', to: ['anna@local.example'], content })).code,
      250,
    )
  for (const end of await Promise.all(ends)) assert.equal(end?.code, 421)
  await mailsIn(before, 6)
  await posthorn.queueEmpty()
})
