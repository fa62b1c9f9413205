/**
 * What one client may do, on a whole Posthorn: sessions by address and network, mail by message, recipient and octet,
 * local users by uid; each limit is reached, hurts nobody else, and lets go again. Clients are addresses of loopback.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { type ClientReply, connectTo, openSession, type SmtpClient, transact } from '../support/client.ts'
import { plain } from '../support/login.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000
/** Those of the test's own start and stop. */
const EXEMPT = 'exempt { 127.0.0.1; }; exempt-users { 54321; };'
const ANNA = 'anna@local.example'
let posthorn: Posthorn

before(
  async () => {
    posthorn = await startPosthorn({ config: (paths) => configWith(paths, ''), users: ['anna'] })
  },
  { timeout },
)

after(() => posthorn.stop(), { timeout })

function configWith(paths: Posthorn['paths'], limits: string): string {
  const login = `auth "users" { passwords "${resolve('test/support/stage.passwords')}"; };
listener "users" { type submission; address 127.0.0.1; port 0; auth "users"; auth-without-tls yes; };`
  return testConfig(paths, { more: `limits { ${EXEMPT} ${limits} };\n${login}` })
}

async function limit(limits: string): Promise<void> {
  writeFileSync(posthorn.configFile, configWith(posthorn.paths, limits))
  const { code, stderr } = await posthorn.command('reload')
  assert.equal(code, 0, stderr)
}

interface Visit {
  client: SmtpClient
  greeting: ClientReply
}

async function visit(address: string): Promise<Visit> {
  const client = await connectTo(posthorn.ports['mx'] ?? 0, { localAddress: address } as object)
  const greeting = await client.reply()
  if (greeting.code === 220) await client.say('EHLO client.example')
  return { client, greeting }
}

/** `220`, or `421 4.7.0`. */
async function greetingOf(address: string): Promise<string> {
  const { client, greeting } = await visit(address)
  await client.quit()
  return `${greeting.code} ${greeting.enhanced}`.trim()
}

function mailOf(client: SmtpClient, recipients = 1, octets = 200): Promise<ClientReply> {
  const to = Array.from({ length: recipients }, (_, n) => `anna+${n}@local.example`)
  return transact(client, { from: 'x@client.example', to, content: makeSpecimen(octets).content })
}

/** The reply to a message in a session of its own, or the greeting that refused it. */
async function sendFrom(address: string, recipients = 1, octets = 200): Promise<ClientReply> {
  const { client, greeting } = await visit(address)
  const reply = greeting.code === 220 ? await mailOf(client, recipients, octets) : greeting
  await client.quit()
  return reply
}

const welcome = (address: string) =>
  until(`a greeting for ${address}`, async () => (await greetingOf(address)) === '220')

test('sessions of an address and of a network', { timeout }, async () => {
  await limit('client connections 2; network connections 3;')
  const open = [await visit('127.0.1.1'), await visit('127.0.1.1')]
  assert.deepEqual(
    open.map(({ greeting }) => greeting.code),
    [220, 220],
  )
  assert.equal(await greetingOf('127.0.1.1'), '421 4.7.0')
  const third = await visit('127.0.1.2')
  assert.equal(third.greeting.code, 220, 'a neighbour has a limit of its own')
  const crowded = await visit('127.0.1.3')
  assert.match(crowded.greeting.text, /^4\.7\.0 .*too many connections from your network/)
  assert.equal(await greetingOf('127.0.9.1'), '220', 'another network')
  assert.equal(await greetingOf('127.0.0.1'), '220', 'exempt')
  await third.client.quit()
  await welcome('127.0.1.3')
  assert.equal(await greetingOf('127.0.1.1'), '421 4.7.0', 'this address still has two')
  // who vanishes without a word gives its place back as well
  for (const { client } of open) client.destroy()
  await welcome('127.0.1.1')
  assert.match((await posthorn.command('status')).stdout, /refused by limits/)
  await posthorn.logged(/"client":"127\.0\.1\.1".*client above its limit/)
})

test('messages in a time: the session is braked, others are not let in, a higher limit frees them', {
  timeout,
}, async () => {
  await limit('client messages 3/1h;')
  const { client } = await visit('127.0.2.1')
  for (let n = 0; n < 3; n++) assert.equal((await mailOf(client)).code, 250)
  const refused = await client.say('MAIL FROM:<x@client.example>')
  assert.deepEqual([refused.code, refused.enhanced], [450, '4.7.1'])
  assert.equal(await greetingOf('127.0.2.1'), '421 4.7.0')
  assert.equal((await sendFrom('127.0.2.2')).code, 250, 'another client')
  await client.quit()
  await limit('client messages 5/1h;')
  assert.equal((await sendFrom('127.0.2.1')).code, 250, 'three of five')
  assert.equal((await sendFrom('127.0.2.1')).code, 250, 'four of five: what was sent before counts')
  assert.equal(await greetingOf('127.0.2.1'), '421 4.7.0')
})

test('recipients and octets in a time: the message that reaches the limit passes whole', {
  timeout,
}, async () => {
  await limit('client recipients 10/1h; network octets 100K/1h;')
  assert.equal((await sendFrom('127.0.3.1', 12)).code, 250)
  assert.match((await sendFrom('127.0.3.1')).text, /too many recipients from your address/)
  assert.equal((await sendFrom('127.0.3.2', 1, 150_000)).code, 250)
  assert.match((await sendFrom('127.0.3.3')).text, /too many octets from your network/)
  assert.equal((await sendFrom('127.0.4.1')).code, 250)
})

test('a limit lets go by itself when its time is over', { timeout }, async () => {
  await limit('client messages 3/3s;')
  const { client } = await visit('127.0.5.1')
  const braked = async () => {
    const reply = await mailOf(client)
    if (reply.code !== 250) assert.deepEqual([reply.code, reply.enhanced], [450, '4.7.1'])
    return reply.code === 450
  }
  await until('a refusal', braked)
  await until('no refusal', async () => !(await braked()))
  await client.quit()
})

test('local programs, by uid: sendmail keeps what is refused for later', { timeout }, async () => {
  await limit('uid connections 1 messages 2/1h;')
  const open = await connectTo(posthorn.paths.submit)
  assert.equal((await open.reply()).code, 220)
  const second = await connectTo(posthorn.paths.submit)
  assert.match((await second.reply()).text, /too many connections from you/)
  await open.quit()
  const send = async () => (await posthorn.sendmail('Subject: x\n\nx\n', ANNA)).code
  await until('a first message', async () => (await send()) === 0)
  assert.equal(await send(), 0)
  assert.equal(await send(), 75, 'EX_TEMPFAIL')
  assert.equal((await sendFrom('127.0.6.1')).code, 250, 'the network has its own')
  await limit('uid messages 3/1h;')
  assert.equal(await send(), 0)
})

test('who tries names is sent away, and its neighbour is not', { timeout }, async () => {
  await limit('client refusals 5/1h;')
  const { client } = await visit('127.0.9.1')
  await client.say('MAIL FROM:<x@client.example>')
  for (let n = 0; n < 5; n++)
    assert.equal((await client.say(`RCPT TO:<name${n}@local.example>`)).enhanced, '5.1.1')
  assert.equal((await client.say(`RCPT TO:<${ANNA}>`)).code, 250, 'a session is not cut off for it')
  await client.quit()
  await until('the next session to be refused', async () => (await greetingOf('127.0.9.1')) === '421 4.7.0')
  assert.equal(await greetingOf('127.0.9.2'), '220')
  await posthorn.logged(/"client":"127\.0\.9\.1","measure":"refusals"/)
})

test('connections of a user count from the login on', { timeout }, async () => {
  await limit('user connections 1;')
  const users = posthorn.ports['users'] ?? 0
  const login = async () => {
    const client = await openSession(users)
    assert.equal((await plain(client, 'anna', 'secret')).code, 235)
    return client
  }
  const first = await login()
  assert.equal((await first.say('NOOP')).code, 250)
  const second = await login()
  const { code, text } = await second.reply()
  assert.deepEqual([code, text], [421, '4.7.0 too many connections from you, try again later'])
  await second.closed
  await first.quit()
  await until('a place for the next', async () => {
    const next = await login()
    const answer = await next.say('NOOP')
    next.destroy()
    return answer.code === 250
  })
})
