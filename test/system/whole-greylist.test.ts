/** Greylisting in a whole Posthorn: put off, taken when it comes again, known, looked through and forgotten. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connectTo, transact } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let names: NameServer
let posthorn: Posthorn

before(
  async () => {
    names = await startNameServer({
      'A 5.1.0.127.wl.test': { answers: [record.a('5.1.0.127.wl.test', '127.0.0.2')] },
    })
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'screening "strangers"; access "house";',
          more: `
            access "house" { rule sender "*@welcome.test" accept; };
            dnswl "wl.test" { score 1; };
            screening "strangers" { greylist-score 0; exempt { 127.0.0.1; }; };
            greylist { delay 1s; known-after 2; };
            resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
        }),
      users: ['anna', 'ben'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    names.close()
  },
  { timeout },
)

async function send(address: string, from: string, to: string) {
  const client = await connectTo(posthorn.ports['mx'] ?? 0, { localAddress: address })
  await client.reply()
  await client.say('EHLO client.test')
  const reply = await transact(client, { from, to: [to], content: `Subject: ${from}\r\n\r\nHello.\r\n` })
  await client.quit()
  return reply
}

/** Comes again and again, as mail servers do. */
async function persist(address: string, from: string, to: string) {
  await until(`mail from ${from} to pass`, async () => (await send(address, from, to)).code === 250)
}

const list = async () => {
  const { stdout } = await posthorn.command('greylist', 'list', '--json')
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { network: string; sender: string; recipient: string; passed: number })
}

test('unknown: put off, and taken when it comes again, from a neighbour too', { timeout }, async () => {
  const first = await send('127.0.1.1', 'x@one.test', 'anna@local.example')
  assert.deepEqual([first.code, first.text], [450, '4.7.1 Not known here yet, come again later (1 s)'])
  await persist('127.0.1.2', 'x@one.test', 'anna@local.example')
  assert.equal((await mailsIn(posthorn.maildir('anna'), 1)).length, 1)
  const entries = await list()
  assert.ok(entries.some(({ network, passed }) => network === '127.0.1.0/24' && passed > 0))
})

test('unknown users are told so at once, and nothing is remembered of them', { timeout }, async () => {
  assert.equal((await send('127.0.3.1', 'x@one.test', 'nobody@local.example')).enhanced, '5.1.1')
  assert.ok(!(await list()).some(({ network }) => network === '127.0.3.0/24'))
})

test('the well-known and the welcome pass at once', { timeout }, async () => {
  assert.equal((await send('127.0.1.5', 'y@listed.test', 'anna@local.example')).code, 250)
  assert.equal((await send('127.0.4.1', 'y@welcome.test', 'anna@local.example')).code, 250)
  assert.equal((await send('127.0.0.1', 'y@here.test', 'anna@local.example')).code, 250)
})

test('a network that has passed often enough is known, over a restart of the resolver', {
  timeout,
}, async () => {
  await persist('127.0.5.1', 'x@two.test', 'anna@local.example')
  await persist('127.0.5.1', 'x@two.test', 'ben@local.example')
  process.kill(posthorn.worker('resolver'), 'SIGKILL')
  await until(
    'new senders of a known network to pass',
    async () => (await send('127.0.5.9', `new@three.test`, 'ben@local.example')).code === 250,
  )
  assert.ok(!(await list()).some(({ sender }) => sender === 'new@three.test'))
})

test('one recipient waits, the other one is taken', { timeout }, async () => {
  await persist('127.0.6.1', 'x@four.test', 'anna@local.example')
  const client = await connectTo(posthorn.ports['mx'] ?? 0, { localAddress: '127.0.6.1' })
  await client.reply()
  await client.say('EHLO client.test')
  await client.say('MAIL FROM:<x@four.test>')
  client.write('RCPT TO:<anna@local.example>\r\nRCPT TO:<ben@local.example>\r\n')
  assert.equal((await client.reply()).code, 250)
  assert.equal((await client.reply()).code, 450)
  await client.quit()
})

test('looked through, and forgotten', { timeout }, async () => {
  const shown = await posthorn.command('greylist', 'list')
  assert.match(shown.stdout, /^127\.0\.5\.0\/24 as a whole: passed \d+ times, first .*, last .*$/m)
  const removed = await posthorn.command('greylist', 'remove', '127.0.5.77')
  assert.match(removed.stdout, /^forgotten: \d+ entries$/m)
  assert.equal(removed.code, 0)
  assert.equal((await send('127.0.5.1', 'x@two.test', 'anna@local.example')).code, 450)
  assert.equal((await posthorn.command('greylist', 'remove', '127.0.77.1')).code, 66)
  assert.equal((await posthorn.command('greylist', 'flush', '--quiet')).stdout, '')
  assert.deepEqual(await list(), [])
})
