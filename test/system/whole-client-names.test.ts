/**
 * Names of clients in lists and rules: a name that leads back to the client counts, another one does not, and while DNS
 * tells nothing nobody gains by it and nobody is refused for good.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ClientReply, connectTo, transact } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
let names: NameServer
let posthorn: Posthorn

/** The client 127.0.0.N has this name, and the name that address. */
function host(n: number, name: string, address = `127.0.0.${n}`) {
  return {
    [`PTR ${n}.0.0.127.in-addr.arpa`]: { answers: [record.ptr(`${n}.0.0.127.in-addr.arpa`, name)] },
    [`A ${name}`]: { answers: [record.a(name, address)] },
  }
}

const config = `
access "names" {
  rule client { name "*.dyn.test"; } reject "no dialup";
  rule client { name "*.partner.test"; } sender "blocked.test" reject "blocked";
  rule client { name "mail.partner.test"; } accept;
  rule client { 127.0.0.8; } reject "only partners";
  rule client { !name "*.partner.test"; any; } sender "*@partner.test" reject "not from there";
};
acl "partners" { name "*.PARTNER.test"; };
listener "named" { type mx; address 127.0.0.1; port 0; access "names"; relay { partners; }; xclient { 127.0.0.1; }; };
listener "strict" { type mx; address 127.0.0.1; port 0; allow { !name "*.dyn.test"; any; }; };
listener "told" { type mx; address 127.0.0.1; port 0; client-names yes; };
zone "." { type remote; };`

before(
  async () => {
    names = await startNameServer({
      ...host(2, 'mail.partner.test'),
      ...host(3, 'pc3.dyn.test'),
      'PTR 4.0.0.127.in-addr.arpa': { answers: [record.ptr('4.0.0.127.in-addr.arpa', 'mail.partner.test')] },
      'PTR 7.0.0.127.in-addr.arpa': { rcode: 2 },
      'PTR 8.0.0.127.in-addr.arpa': { rcode: 2 },
      'MX far.test': { answers: [record.mx('far.test', 1, 'mx.far.test')] },
      'A mx.far.test': { answers: [record.a('mx.far.test', '192.0.2.1')] },
    })
    posthorn = await startPosthorn({
      config: (paths) => {
        const resolver = `resolver { nameservers { 127.0.0.1 port ${names.port}; }; timeout 3s; attempts 1; };`
        return testConfig(paths, { more: `${config}\n${resolver}` })
      },
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

async function greet(n: number, listener = 'named') {
  const client = await connectTo(posthorn.ports[listener] ?? 0, { localAddress: `127.0.0.${n}` })
  return { client, reply: await client.reply() }
}

/** What RCPT is answered with, or the greeting that was none. */
async function recipient(n: number, sender: string, to: string): Promise<ClientReply> {
  const { client, reply } = await greet(n)
  if (reply.code !== 220) return reply
  await client.say('EHLO client.test')
  await client.say(`MAIL FROM:<${sender}>`)
  const said = await client.say(`RCPT TO:<${to}>`)
  await client.quit()
  return said
}

test('a client may relay by its name, if that leads back to it', { timeout }, async () => {
  assert.equal((await recipient(2, 'a@partner.test', 'x@far.test')).code, 250)
  assert.equal(
    (await recipient(4, 'a@client.test', 'x@far.test')).enhanced,
    '5.7.1',
    'a name that is another',
  )
  assert.equal((await recipient(5, 'a@client.test', 'x@far.test')).enhanced, '5.7.1', 'no name')
  assert.equal((await recipient(7, 'a@client.test', 'x@far.test')).enhanced, '5.7.1', 'DNS in trouble')
})

test('who has an unwanted name is not greeted, and the log has name and rule', { timeout }, async () => {
  const { client, reply } = await greet(3)
  assert.deepEqual([reply.code, reply.text], [554, '5.7.1 no dialup'])
  await client.closed
  await posthorn.logged(
    /"client":"127\.0\.0\.3","name":"pc3\.dyn\.test","rule":"[^"]*posthorn\.conf:\d+:\d+"/,
  )
})

test('XCLIENT: the client that is spoken for is asked for, with a login or with a name that is said', {
  timeout,
}, async () => {
  const { client } = await greet(1)
  await client.say('EHLO front.test')
  const about = async (words: string, sender: string, to = 'anna@local.example') => {
    const greeting = await client.say(`XCLIENT ${words}`)
    if (greeting.code !== 220) return greeting.text
    await client.say('EHLO front.test')
    await client.say(`MAIL FROM:<${sender}>`)
    const { text } = await client.say(`RCPT TO:<${to}>`)
    await client.say('RSET')
    return text
  }
  assert.equal(await about('ADDR=127.0.0.2 LOGIN=anna', 'a@blocked.test'), '5.7.1 blocked')
  assert.match(await about('ADDR=127.0.0.5 LOGIN=anna', 'a@blocked.test'), /^2\.1\.5 /)
  assert.match(await about('ADDR=127.0.0.5', 'a@client.test', 'x@far.test'), /^5\.7\.1 /)
  assert.match(
    await about('ADDR=127.0.0.5 NAME=Mail.Partner.test', 'a@client.test', 'x@far.test'),
    /^2\.1\.5 /,
  )
  assert.equal(await about('ADDR=127.0.0.3', 'a@client.test'), '5.7.1 no dialup')
  await client.closed
})

test('a rule against all other names', { timeout }, async () => {
  const refused = await recipient(5, 'a@partner.test', 'anna@local.example')
  assert.deepEqual([refused.code, refused.text], [550, '5.7.1 not from there'])
  assert.equal((await recipient(2, 'a@partner.test', 'anna@local.example')).code, 250)
})

test('while DNS does not tell, a rule on a name does not hold, nor is anybody refused for good', {
  timeout,
}, async () => {
  assert.equal((await recipient(7, 'a@partner.test', 'anna@local.example')).code, 250)
  const later = await greet(8)
  assert.deepEqual([later.reply.code, later.reply.text], [421, '4.7.1 only partners'])
  await later.client.closed
  const strict = await greet(7, 'strict')
  assert.deepEqual([strict.reply.code, strict.reply.enhanced], [421, '4.4.3'])
  await strict.client.closed
  const dynamic = await greet(3, 'strict')
  assert.deepEqual([dynamic.reply.code, dynamic.reply.enhanced], [554, '5.7.1'])
  await dynamic.client.closed
  const nameless = await greet(5, 'strict')
  assert.equal(nameless.reply.code, 220)
  await nameless.client.quit()
})

test('DNS is asked where a name decides, and the name stands in Received', { timeout }, async () => {
  const asked = () => names.asked.filter((one) => one.startsWith('PTR 9.')).length
  const plain = await greet(9, 'mx')
  await plain.client.quit()
  assert.equal(asked(), 0)
  const other = await greet(9)
  await other.client.quit()
  assert.equal(asked(), 1)
  const { client } = await greet(2, 'told')
  await client.say('EHLO pc')
  const content = 'Subject: named\r\n\r\nHi.\r\n'
  assert.equal(
    (await transact(client, { from: 'a@partner.test', to: ['anna@local.example'], content })).code,
    250,
  )
  await client.quit()
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  assert.match(String(mail?.content), /^Received: from pc \(mail\.partner\.test \[127\.0\.0\.2\]\)$/m)
  await posthorn.logged(/"client":"127\.0\.0\.2","name":"mail\.partner\.test","accepted":1/)
})
