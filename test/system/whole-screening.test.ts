/**
 * Strangers looked at by a whole Posthorn: DNS lists, names and EHLO come from a name server of the test, clients
 * from addresses of loopback.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connectTo, type SmtpClient, transact } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
let names: NameServer
let posthorn: Posthorn

const a = (name: string, address: string) => ({ answers: [record.a(name, address)] })
const ptr = (name: string, host: string) => ({ answers: [record.ptr(name, host)] })

before(
  async () => {
    names = await startNameServer({
      'A 2.0.0.127.bl.test': a('2.0.0.127.bl.test', '127.0.0.4'),
      'A 3.0.0.127.bl.test': a('3.0.0.127.bl.test', '127.0.0.4'),
      'A 3.0.0.127.wl.test': a('3.0.0.127.wl.test', '127.0.5.2'),
      'A 4.0.0.127.bl.test': a('4.0.0.127.bl.test', '127.255.255.254'),
      'PTR 5.0.0.127.in-addr.arpa': ptr('5.0.0.127.in-addr.arpa', 'good.test'),
      'A good.test': a('good.test', '127.0.0.5'),
      'PTR 6.0.0.127.in-addr.arpa': ptr('6.0.0.127.in-addr.arpa', 'good.test'),
    })
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'screening "strangers";',
          more: `
            dnsbl "bl.test" { score 5; reply 127.0.0.2-127.0.0.11; };
            dnswl "wl.test" { score 4; };
            screening "strangers" {
              no-reverse-name 1; unconfirmed-reverse-name 3; helo-own-name 6; helo-unknown 1;
              tag-score 1; defer-score 4; reject-score 6; exempt { 127.0.0.1; };
            };
            screening "gate" { when connect; lists "bl.test"; reject-score 5; exempt { 127.0.0.1; }; };
            listener "gate" { type mx; address 127.0.0.1; port 0; screening "gate"; };
            resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
        }),
      users: ['anna'],
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

function from(localAddress: string, listener = 'mx'): Promise<SmtpClient> {
  return connectTo(posthorn.ports[listener] ?? 0, { localAddress })
}

async function mailFrom(address: string, helo: string, to = 'anna@local.example') {
  const client = await from(address)
  assert.equal((await client.reply()).code, 220)
  await client.say(`EHLO ${helo}`)
  const content = `Subject: from ${address}\r\n\r\nHello.\r\n`
  const reply = await transact(client, { from: 'x@client.test', to: [to], content })
  await client.quit()
  return reply
}

test('listed and nameless is too much', { timeout }, async () => {
  const reply = await mailFrom('127.0.0.2', 'good.test')
  assert.deepEqual([reply.code, reply.enhanced], [550, '5.7.1'])
  assert.match(reply.text, /\(bl\.test, no-reverse-name\)/)
  const line = await posthorn.logged(/client screened.*127\.0\.0\.2|127\.0\.0\.2.*client screened/)
  assert.match(line, /"score":6/)
  assert.match(line, /bl\.test 5/)
})

test('postmaster hears of everyone', { timeout }, async () => {
  const client = await from('127.0.0.2')
  await client.reply()
  await client.say('EHLO good.test')
  await client.say('MAIL FROM:<x@client.test>')
  assert.equal((await client.say('RCPT TO:<anna@local.example>')).enhanced, '5.7.1')
  assert.notEqual((await client.say('RCPT TO:<postmaster@local.example>')).enhanced, '5.7.1')
  await client.quit()
})

test('a good list makes up for a bad one, and the field says so', { timeout }, async () => {
  const reply = await mailFrom('127.0.0.3', 'good.test')
  assert.equal(reply.code, 250)
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  const text = String(mail?.content)
  assert.match(
    text,
    /^X-Posthorn-Score: 2\r?\n\t\(bl\.test 5,\r?\n\twl\.test -4,\r?\n\tno-reverse-name 1\)$/m,
  )
})

test('an answer outside the ranges is no listing, and a list that refuses is told of', {
  timeout,
}, async () => {
  assert.equal((await mailFrom('127.0.0.4', 'good.test')).code, 250)
  await posthorn.logged(/dns list does not want our questions/)
})

test('a name that leads back is no bad sign, another one is', { timeout }, async () => {
  assert.equal((await mailFrom('127.0.0.5', 'good.test')).code, 250)
  const reply = await mailFrom('127.0.0.6', 'nowhere.test')
  assert.deepEqual([reply.code, reply.enhanced], [450, '4.7.1'])
  assert.match(reply.text, /\(unconfirmed-reverse-name, helo-unknown\)/)
})

test('who says our own name is not believed', { timeout }, async () => {
  const reply = await mailFrom('127.0.0.5', 'mx.posthorn.example')
  assert.deepEqual([reply.code, reply.text], [550, '5.7.1 Your address is not welcome here (helo-own-name)'])
})

test('this machine itself is not asked about', { timeout }, async () => {
  const before = names.asked.length
  assert.equal((await mailFrom('127.0.0.1', 'mx.posthorn.example')).code, 250)
  assert.ok(!names.asked.slice(before).some((one) => one.startsWith('A 1.0.0.127')))
})

test('before the greeting: the listed are sent away, the others greeted', { timeout }, async () => {
  const listed = await from('127.0.0.2', 'gate')
  const reply = await listed.reply()
  assert.deepEqual([reply.code, reply.text], [554, '5.7.1 Your address is not welcome here (bl.test)'])
  await listed.closed
  const other = await from('127.0.0.7', 'gate')
  assert.equal((await other.reply()).code, 220)
  await other.quit()
})

test('a name server that is silent holds nobody up for long', { timeout }, async () => {
  names.scripts.set('A 8.0.0.127.bl.test', { silent: true })
  assert.equal((await mailFrom('127.0.0.8', 'good.test')).code, 250)
})
