/** Access rules in a whole Posthorn: refused, put off, thrown away, held, marked, sent elsewhere. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connectTo, sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let posthorn: Posthorn

before(
  async () => {
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'access "house";',
          local: 'access "house";',
          more: `access "house" {
  rule client { 127.0.0.2; } reject "not you";
  rule sender "bad.example" reject;
  rule sender "*@later.example" defer "come back";
  rule recipient "trap@local.example" discard;
  rule recipient "old@local.example" redirect "ben@local.example";
  rule sender "slow.example" hold;
  rule recipient "marked@local.example" tag "by the header";
  rule sender "shop.example" tag "advertising";
};`,
        }),
      users: ['anna', 'ben', 'marked'],
    })
  },
  { timeout },
)

after(async () => void assert.equal(await posthorn.stop(), 0), { timeout })

const send = (from: string, to: string, size = 1000) =>
  sendMail(posthorn.ports['mx'] ?? 0, {
    from,
    to: [to],
    content: `Subject: from ${from}\r\n${makeSpecimen(size).content}`,
  })

test('a client that is not wanted hears why, and the log has the line', { timeout }, async () => {
  const client = await connectTo(posthorn.ports['mx'] ?? 0, { localAddress: '127.0.0.2' })
  const reply = await client.reply()
  assert.deepEqual([reply.code, reply.text], [554, '5.7.1 not you'])
  await client.closed
  await posthorn.logged(/"client":"127\.0\.0\.2".*posthorn\.conf:\d+:\d+/)
})

test('refused and put off', { timeout }, async () => {
  const refused = await send('x@Bad.example', 'anna@local.example')
  assert.deepEqual([refused.code, refused.text], [550, '5.7.1 Access denied'])
  const later = await send('x@later.example', 'anna@local.example')
  assert.deepEqual([later.code, later.text], [450, '4.7.1 come back'])
})

test('discarded content leaves nothing behind, large or small', { timeout }, async () => {
  assert.equal((await send('x@client.example', 'trap@local.example')).code, 250)
  assert.equal((await send('x@client.example', 'trap@local.example', 400_000)).code, 250)
  assert.equal((await posthorn.queue()).length, 0)
})

test('sent elsewhere', { timeout }, async () => {
  assert.equal((await send('x@client.example', 'old@local.example')).code, 250)
  const [mail] = await mailsIn(posthorn.maildir('ben'), 1)
  assert.match(String(mail?.content), /^Subject: from x@client\.example$/m)
})

test('marked', { timeout }, async () => {
  assert.equal((await send('x@shop.example', 'anna@local.example')).code, 250)
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  assert.match(String(mail?.content), /^X-Posthorn-Tag: advertising$/m)
})

test('marked by a rule about whom the header names, small and large', { timeout }, async () => {
  for (const [n, octets] of [10, 400_000].entries()) {
    const body = `${'y'.repeat(70)}\n`.repeat(octets / 70 + 1)
    const input = `To: marked@local.example\nSubject: number ${n}\n\n${body}`
    assert.deepEqual(await posthorn.sendmail(input, '-t', '-i'), { code: 0, stdout: '', stderr: '' })
    const mails = await mailsIn(posthorn.maildir('marked'), n + 1)
    const texts = mails.map(({ content }) => content.toString())
    const text = texts.find((one) => one.includes(`Subject: number ${n}\n`)) ?? ''
    assert.match(text.slice(0, 400), /^X-Posthorn-Tag: by the header\nReceived:/m)
    assert.equal(text.match(/X-Posthorn-Tag/g)?.length, 1)
    assert.ok(text.endsWith(body), 'all of it')
  }
})

test('held until it is released, over a restart of the queue manager too', { timeout }, async () => {
  assert.equal((await send('x@slow.example', 'anna@local.example', 300_000)).code, 250)
  const held = async () => (await posthorn.queue()).find(({ state }) => state === 'held')
  const row = await until('a held message', held)
  process.kill(posthorn.worker('qmgr'), 'SIGKILL')
  await until('the same after a restart', async () => (await held().catch(() => undefined))?.id === row.id)
  const { code } = await posthorn.command('queue', 'release', row.id)
  assert.equal(code, 0)
  const mails = await mailsIn(posthorn.maildir('anna'), 2)
  assert.ok(mails.some(({ content }) => content.toString().includes('Subject: from x@slow.example')))
})
