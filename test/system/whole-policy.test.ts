/**
 * Filters that are no milters: Debian's postgrey, policyd-spf and rspamd as they are, policy servers and milters that
 * are told what to say, DATA refused before any content, and filters that die at every stage there is.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ClientReply, connectTo, type Mail, openSession, sendMail, transact } from '../support/client.ts'
import { mailsIn, readMaildir } from '../support/maildir.ts'
import { milterPacket, startMilter } from '../support/milter.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type PolicyServer, startPolicy, startPolicydSpf, startPostgrey } from '../support/policy-servers.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { type Rspamd, startRspamd } from '../support/rspamd.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 400_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-policy-'))
const at = (name: string) => join(directory, `${name}.sock`)
const users = ['anna', 'bert', 'carl', 'dora', 'emil', 'fay']
let names: NameServer
let postgrey: PolicyServer | null = null
let spf: PolicyServer | null = null
let rspamd: Rspamd | null = null
let posthorn: Posthorn

const rules = ['tempfail', 'accept', 'reject'] as const

function configOf(paths: Parameters<typeof testConfig>[0]): string {
  const listener = (name: string, filter: string) =>
    `listener "${name}" { type mx; address 127.0.0.1; port 0; xclient { localhost; }; filters { ${filter} }; };`
  const filter = (name: string, what: string) => `filter "${name}" { ${what}; timeout 20s; };`
  const dying = rules.flatMap((rule) => [
    ...['milter', 'policy', 'rspamd'].map((kind) => {
      const stages = kind === 'policy' ? '; policy-stages rcpt data end-of-message' : ''
      return filter(`${kind}-${rule}`, `${kind} "${at(`dying-${kind}`)}"; on-failure ${rule}${stages}`)
    }),
    ...['milter', 'policy', 'rspamd'].map((kind) => listener(`${kind}-${rule}`, `"${kind}-${rule}";`)),
  ])
  const more = [
    filter('postgrey', `policy "${at('postgrey')}"`),
    filter('policyd-spf', `policy "${at('spf')}"`),
    filter('rspamd', `rspamd 127.0.0.1 port ${rspamd?.http ?? 1}`),
    filter('proxy', `milter 127.0.0.1 port ${rspamd?.milter ?? 1}`),
    filter('told', `policy "${at('told')}"; policy-stages rcpt data end-of-message`),
    listener('grey', '"postgrey";'),
    listener('spf', '"policyd-spf";'),
    listener('rspamd', '"rspamd";'),
    listener('proxy', '"proxy";'),
    listener('told', '"told";'),
    ...dying,
    `resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
  ]
  // connections are shared by the sessions of one process
  return testConfig(paths, { more: more.join('\n'), processes: 'smtpd 1;' })
}

before(
  async () => {
    const policy = 'v=spf1 ip4:192.0.2.1 -all'
    names = await startNameServer({
      'TXT strict.example': { answers: [record.txt('strict.example', policy)] },
      'PTR 2.0.0.127.in-addr.arpa': { answers: [record.ptr('2.0.0.127.in-addr.arpa', 'mx.partner.test')] },
      'A mx.partner.test': { answers: [record.a('mx.partner.test', '127.0.0.2')] },
      'PTR 3.0.0.127.in-addr.arpa': { answers: [record.ptr('3.0.0.127.in-addr.arpa', 'mx.partner.test')] },
    })
    postgrey = await startPostgrey(join(directory, 'postgrey'), at('postgrey'), 1, ['partner.test'])
    spf = await startPolicydSpf(join(directory, 'spf'), at('spf'), names.port)
    rspamd = await startRspamd(join(directory, 'rspamd'))
    posthorn = await startPosthorn({ users, config: configOf })
  },
  { timeout },
)

after(async () => {
  await posthorn.stop()
  await Promise.all([postgrey?.stop(), spf?.stop(), rspamd?.stop()])
  names.close()
  rmSync(directory, { recursive: true, force: true })
})

const port = (name: string) => {
  const found = posthorn.ports[name]
  assert.ok(found !== undefined, name)
  return found
}

const mail = (user: string, header = 'Subject: x\r\n', body = 'Hi.\r\n'): Mail => ({
  from: 'me@strict.example',
  to: [`${user}@local.example`],
  content: `${header}\r\n${body}`,
})

/** Of the newest message, below our Received. */
async function headerOf(user: string, count: number): Promise<string> {
  const mails = await mailsIn(posthorn.maildir(user), count)
  assert.equal(mails.length, count)
  const texts = mails.map(({ content }) => content.toString('latin1').replaceAll('\r\n', '\n'))
  const text = texts.find((one) => one.includes(`Subject: ${count}\n`) || one.includes(`** ${count}\n`))
  assert.ok(text, `message ${count}`)
  return text.slice(0, text.indexOf('\n\n') + 1)
}

test('postgrey puts off who comes for the first time', { timeout }, async (t) => {
  if (!postgrey) return t.skip('no postgrey here')
  const session = await openSession(port('grey'))
  const first = await transact(session, mail('anna'))
  assert.equal(first.code, 451)
  assert.match(first.text, /greylist/i)
  await until('postgrey to have had enough', async () => {
    await session.say('RSET')
    return (await transact(session, mail('anna', 'Subject: 1\r\n'))).code === 250
  })
  await session.quit()
  assert.match(await headerOf('anna', 1), /^X-Greylist: delayed \d+ seconds by postgrey/m)
})

test('postgrey knows clients by their names, when these lead back', { timeout }, async (t) => {
  if (!postgrey) return t.skip('no postgrey here')
  const from = async (localAddress: string) => {
    const session = await connectTo(port('grey'), { localAddress })
    await session.reply()
    await session.say('EHLO mx.partner.test')
    const reply = await transact(session, mail('fay', 'Subject: 1\r\n'))
    await session.quit()
    return reply.code
  }
  assert.equal(await from('127.0.0.3'), 451, 'the name is another address')
  assert.equal(await from('127.0.0.2'), 250)
  assert.match(
    await headerOf('fay', 1),
    /^Received: from mx\.partner\.test \(mx\.partner\.test \[127\.0\.0\.2\]\)$/m,
  )
})

test('policyd-spf refuses what SPF forbids, and says what it allows', { timeout }, async (t) => {
  if (!spf) return t.skip('no policyd-spf here')
  const from = async (client: string, subject: string): Promise<ClientReply> => {
    const session = await openSession(port('spf'))
    assert.equal((await session.say(`XCLIENT ADDR=${client}`)).code, 220)
    await session.say('EHLO strict.example')
    const reply = await transact(session, mail('bert', `Subject: ${subject}\r\n`))
    await session.quit()
    return reply
  }
  const refused = await from('192.0.2.9', 'x')
  assert.deepEqual([refused.code, refused.text.slice(0, 6)], [550, '5.7.23'])
  assert.equal((await from('192.0.2.1', '1')).code, 250)
  assert.match(await headerOf('bert', 1), /^Received-SPF: Pass .*client-ip=192\.0\.2\.1;/m)
  assert.equal(spf.connections(), 1, 'the connection is used by the next session')
})

for (const [name, way] of [
  ['rspamd', 'by HTTP'],
  ['proxy', 'as a milter'],
] as const) {
  test(`rspamd refuses, marks and changes, ${way}`, { timeout }, async (t) => {
    if (!rspamd) return t.skip('no rspamd here')
    const user = name === 'rspamd' ? 'carl' : 'dora'
    const send = (want: string, n: number, body?: string) =>
      sendMail(port(name), mail(user, `X-Want: ${want}\r\nX-Old: 1\r\nX-Old: 2\r\nSubject: ${n}\r\n`, body))
    const refused = await send('spam', 0)
    assert.deepEqual([refused.code, /^5\.7\.1 /.test(refused.text)], [name === 'rspamd' ? 550 : 554, true])
    const later = await send('later', 0)
    assert.deepEqual([later.code, later.text], [451, '4.7.1 Try again later'])
    assert.equal((await send('mark', 1)).code, 250)
    const marked = await headerOf(user, 1)
    assert.match(marked, /^X-Spam: Yes$/m)
    assert.match(marked, /^X-Seen: 127\.0\.0\.1 me@strict\.example 1 client\.example \d+$/m)
    assert.doesNotMatch(marked, /X-Old/)
    assert.equal((await send('subject', 2)).code, 250)
    assert.match(await headerOf(user, 2), /^Subject: \*\*\* 2$/m)
    const large = '0123456789 abcdefghijklmnopqrstuvwxyz\r\n.dots\r\n'.repeat(20_000)
    assert.equal((await send('mark', 3, large)).code, 250)
    assert.match(await headerOf(user, 3), /^X-Spam: Yes$/m)
    const stored = readMaildir(posthorn.maildir(user)).map(({ content }) => content.toString('latin1'))
    const body = large.replaceAll('\r\n', '\n')
    assert.equal(stored.filter((one) => one.replaceAll('\r\n', '\n').endsWith(`\n\n${body}`)).length, 1)
  })
}

test('a policy server is asked at its stages, and what it wants is done', { timeout }, async () => {
  const asked: ReadonlyMap<string, string>[] = []
  const says: Record<string, string> = {}
  const told = await startPolicy(at('told'), (question) => {
    asked.push(question)
    return says[question.get('protocol_state') ?? ''] ?? 'DUNNO'
  })
  const session = await openSession(port('told'))
  says['RCPT'] = 'PREPEND X-One: a'
  says['END-OF-MESSAGE'] = 'REDIRECT emil@local.example'
  const two = { ...mail('anna', 'Subject: 1\r\n'), to: ['anna@local.example', 'bert@local.example'] }
  assert.equal((await transact(session, two)).code, 250)
  const found = await headerOf('emil', 1)
  assert.equal(found.match(/^X-One: a$/gm)?.length, 1, 'once, though it was asked twice')
  const stages = asked.map((one) => `${one.get('protocol_state')} ${one.get('recipient_count')}`)
  assert.deepEqual(stages, ['RCPT 0', 'RCPT 0', 'DATA 2', 'END-OF-MESSAGE 2'])
  assert.equal(new Set(asked.map((one) => one.get('instance'))).size, 1)
  assert.equal(asked.at(-1)?.get('size'), String('Subject: 1\r\n\r\nHi.\r\n'.length))

  says['END-OF-MESSAGE'] = 'DUNNO'
  says['DATA'] = '554 5.7.9 not today'
  const atData = await transact(session, mail('emil'))
  assert.deepEqual([atData.code, atData.text], [554, '5.7.9 not today'])
  assert.equal((await session.say('DATA')).code, 503, 'the transaction is over')
  says['DATA'] = 'DUNNO'
  says['RCPT'] = 'HOLD'
  assert.equal((await transact(session, mail('emil'))).code, 250)
  assert.deepEqual(
    (await posthorn.queue()).map(({ state }) => state),
    ['held'],
  )
  says['RCPT'] = 'DISCARD'
  assert.equal((await transact(session, mail('emil'))).code, 250)
  await session.quit()
  await posthorn.command('queue', 'remove', '--all')
  await posthorn.queueEmpty()
  assert.equal(readMaildir(posthorn.maildir('emil')).length, 1)
  assert.equal(told.connections(), 1)
  await told.stop()
})

test('milters refuse at DATA, before the content', { timeout }, async () => {
  const milter = await startMilter(at('dying-milter'), {
    answers: { T: milterPacket('y', '554 5.7.9 no data') },
  })
  const session = await openSession(port('milter-tempfail'))
  const reply = await transact(session, mail('emil'))
  assert.deepEqual([reply.code, reply.text], [554, '5.7.9 no data'])
  assert.ok(!milter.heard.some((one) => one.startsWith('L:')), 'no content was sent')
  await session.quit()
  await milter.stop()
})

const bodies = { small: 'Hi.\r\n', large: `${'x'.repeat(70)}\r\n`.repeat(5000) }
let delivered = 1

/** With a filter that dies: refused by its rule, or taken once. */
async function dies(kind: string, stage: string): Promise<void> {
  const expected = { tempfail: 451, accept: 250, reject: 550 } as const
  for (const rule of rules)
    for (const [size, body] of Object.entries(bodies)) {
      const reply = await sendMail(port(`${kind}-${rule}`), mail('emil', 'Subject: y\r\n', body))
      assert.equal(reply.code, expected[rule], `${kind} dies at ${stage}, ${rule}, ${size}: ${reply.text}`)
      if (rule === 'accept') delivered++
    }
}

test('a milter that dies at any stage loses and doubles nothing', { timeout }, async () => {
  for (const letter of ['O', 'C', 'H', 'M', 'R', 'T', 'L', 'N', 'B', 'E']) {
    const milter = await startMilter(at('dying-milter'), { answers: { [letter]: 'drop' } })
    await dies('milter', letter)
    await milter.stop()
  }
  await dies('milter', 'connect')
})

test('a policy server that dies at any stage loses and doubles nothing', { timeout }, async () => {
  for (const stage of ['RCPT', 'DATA', 'END-OF-MESSAGE']) {
    const server = await startPolicy(at('dying-policy'), (question) =>
      question.get('protocol_state') === stage ? null : 'DUNNO',
    )
    await dies('policy', stage)
    await server.stop()
  }
  await dies('policy', 'connect')
})

async function startDyingHttp(dieAt: 'header' | 'body' | 'answer' | 'error' | 'nonsense'): Promise<Server> {
  const server = createServer((request, response) => {
    if (dieAt === 'header') return void request.destroy()
    request.on('data', () => void (dieAt === 'body' && request.destroy())).on('error', () => undefined)
    request.on('end', () => {
      if (dieAt === 'error') return void response.writeHead(500).end('{"action":"no action"}')
      if (dieAt === 'nonsense') return void response.end('<html>')
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('{"action":')
      setImmediate(() => request.socket.destroy())
    })
  }).listen(at('dying-rspamd'))
  await once(server, 'listening')
  return server
}

test('an rspamd that dies at any stage loses and doubles nothing', { timeout }, async () => {
  for (const stage of ['header', 'body', 'answer', 'error', 'nonsense'] as const) {
    const server = await startDyingHttp(stage)
    await dies('rspamd', stage)
    server.close()
    await once(server, 'close')
  }
  await dies('rspamd', 'connect')
})

test('what was taken while filters died is there once', { timeout }, async () => {
  await posthorn.queueEmpty()
  assert.equal((await mailsIn(posthorn.maildir('emil'), delivered)).length, delivered)
})
