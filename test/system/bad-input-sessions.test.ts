/**
 * Clients that mean harm or are broken: each gets the right code or is hung up on, memory stays bounded, and an
 * honest session beside them notices nothing.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type ClientReply, connectTo, openSession, type SmtpClient, transact } from '../support/client.ts'
import { maildirFiles, mailsIn, readMaildir } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { memoryOf } from '../support/processes.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const MIB = 1 << 20
/** What any process may grow by over all of this file. */
const MOST_GROWTH = 96 * MIB
const timeout = 180_000

let posthorn: Posthorn
/** Open all the time, used after every attack. */
let honest: SmtpClient
let memoryBefore: Map<string, number>

const mx = () => posthorn.ports['mx'] ?? 0

before(
  async () => {
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, { mx: 'message-size-limit 50M; recipient-limit 1000; tarpit-delay 0;' }),
      users: ['anna', 'victim'],
    })
    honest = await openSession(mx())
    await stillHonest()
    memoryBefore = resident()
  },
  { timeout },
)

after(
  async () => {
    await honest.quit()
    assert.equal(await posthorn.stop(), 0)
  },
  { timeout },
)

function resident(): Map<string, number> {
  return new Map(posthorn.workers().map(({ pid, name }) => [name, memoryOf(pid).resident]))
}

async function stillHonest(): Promise<void> {
  const { mark, content } = makeSpecimen(500)
  const mail = { from: 'x@client.example', to: ['anna@local.example'], content }
  assert.equal((await transact(honest, mail)).code, 250)
  const folder = posthorn.maildir('anna')
  await until('the honest message', () =>
    readMaildir(folder).some((stored) => readSpecimen(stored.content) === mark),
  )
}

/** Every reply until the server hangs up, or `count` of them. */
async function replies(client: SmtpClient, count: number): Promise<ClientReply[]> {
  const found: ClientReply[] = []
  while (found.length < count) {
    const next = await client.reply().catch(() => null)
    if (!next) break
    found.push(next)
  }
  return found
}

test('garbage octets: errors, then 421 or the end', { timeout }, async () => {
  const client = await connectTo(mx())
  await client.reply()
  for (let n = 0; n < 200 && !client.ended; n++) {
    client.write(Buffer.concat([randomBytes(300), Buffer.from('\r\n')]))
    await client.drained()
  }
  const heard = await replies(client, 1000)
  assert.ok(heard.length > 0 && heard.length < 200, `${heard.length} replies`)
  assert.ok(
    heard.every((reply) => [500, 502, 503, 501, 421].includes(reply.code)),
    JSON.stringify(heard),
  )
  assert.equal(heard.at(-1)?.code, 421)
  await client.closed
  await stillHonest()
})

test('an endless line: bounded, refused', { timeout }, async () => {
  const client = await connectTo(mx())
  await client.reply()
  const block = Buffer.alloc(64 * 1024, 'A')
  for (let n = 0; n < 800 && !client.ended; n++) {
    client.write(block)
    await client.drained()
  }
  client.write('\r\nNOOP\r\n')
  const [first] = await replies(client, 1)
  if (first) assert.ok([500, 421].includes(first.code), first.text)
  client.destroy()
  await stillHonest()
})

test('an endless line in the content passes through or is refused, bounded', { timeout }, async () => {
  const client = await openSession(mx())
  await client.say('MAIL FROM:<x@client.example>')
  await client.say('RCPT TO:<victim@local.example>')
  await client.say('DATA')
  client.write('Subject: long\r\n\r\n')
  const block = Buffer.alloc(64 * 1024, 'A')
  for (let n = 0; n < 100; n++) {
    client.write(block)
    await client.drained()
  }
  client.write('\r\n.\r\n')
  const reply = await client.reply()
  assert.ok([250, 500, 550, 554].includes(reply.code), reply.text)
  if (reply.code === 250) {
    const [mail] = await mailsIn(posthorn.maildir('victim'), 1)
    assert.ok((mail?.content.length ?? 0) > 100 * block.length, 'whole')
  }
  await client.quit()
  await stillHonest()
})

test('10,000 recipients: the limit is said at each one beyond it, the rest are served', {
  timeout,
}, async () => {
  const client = await openSession(mx())
  await client.say('MAIL FROM:<x@client.example>')
  let accepted = 0
  let refused = 0
  for (let n = 0; n < 100; n++) {
    const batch = Array.from({ length: 100 }, (_, at) => `RCPT TO:<victim+${n}-${at}@local.example>\r\n`)
    client.write(batch.join(''))
    for (const reply of await replies(client, 100)) {
      if (reply.code === 250) accepted++
      else {
        assert.equal(
          reply.code === 421 ? reply.code : `${reply.code} ${reply.enhanced}`,
          reply.code === 421 ? 421 : '452 4.5.3',
        )
        refused++
      }
    }
    if (client.ended) break
  }
  assert.equal(accepted, 1000)
  assert.ok(refused > 0)
  client.destroy()
  await stillHonest()
})

test('1 GiB against 50 MiB: refused early when announced, late when not, and never held', {
  timeout,
}, async () => {
  const client = await openSession(mx())
  const announced = await client.say(`MAIL FROM:<x@client.example> SIZE=${1 << 30}`)
  assert.deepEqual([announced.code, announced.enhanced], [552, '5.3.4'])
  await client.say('MAIL FROM:<x@client.example>')
  await client.say('RCPT TO:<victim@local.example>')
  assert.equal((await client.say('DATA')).code, 354)
  const line = Buffer.from(`${'0'.repeat(1022)}\r\n`)
  const block = Buffer.alloc(MIB, line)
  let sent = 0
  while (sent < 1 << 30 && !client.ended) {
    client.write(block)
    sent += block.length
    await client.drained()
  }
  if (!client.ended) client.write('.\r\n')
  const reply = await client.reply()
  assert.deepEqual([reply.code, reply.enhanced], [552, '5.3.4'])
  client.destroy()
  await stillHonest()
})

const STAGES: readonly (readonly [name: string, words: string])[] = [
  ['before the greeting', ''],
  ['in the middle of a command', 'EH'],
  ['after EHLO', 'EHLO x\r\n'],
  ['after MAIL', 'EHLO x\r\nMAIL FROM:<x@client.example>\r\n'],
  ['after RCPT', 'EHLO x\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<victim@local.example>\r\n'],
  ['after DATA', 'EHLO x\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<victim@local.example>\r\nDATA\r\n'],
  [
    'in the content',
    `EHLO x\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<victim@local.example>\r\nDATA\r\nSubject: half\r\n\r\n${'half a line '.repeat(30)}`,
  ],
  [
    'in streamed content',
    `EHLO x\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<victim@local.example>\r\nDATA\r\nSubject: half\r\n\r\n${'half a message\r\n'.repeat(40_000)}`,
  ],
  [
    'before the last line end',
    'EHLO x\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<victim@local.example>\r\nDATA\r\nSubject: half\r\n\r\nhalf\r\n.',
  ],
]

for (const how of ['end', 'reset'] as const) {
  test(`clients that vanish at each stage (${how}) leave nothing behind`, { timeout }, async () => {
    const before = maildirFiles(posthorn.maildir('victim')).length
    for (const [name, words] of STAGES) {
      const clients = await Promise.all(Array.from({ length: 5 }, () => connectTo(mx())))
      for (const client of clients) {
        client.write(words)
        await client.drained()
        if (how === 'end') client.socket.end()
        else client.socket.resetAndDestroy()
      }
      await Promise.all(clients.map((client) => client.closed))
      await stillHonest().catch((error) => assert.fail(`${name}: ${error}`))
    }
    await posthorn.queueEmpty()
    assert.equal(maildirFiles(posthorn.maildir('victim')).length, before)
    const { stdout } = await posthorn.command('status', '--json')
    assert.match(stdout, /qmgr/)
  })
}

test('commands out of order, twice, with the wrong arguments', { timeout }, async () => {
  const client = await openSession(mx())
  const script: readonly (readonly [string, number])[] = [
    ['RCPT TO:<victim@local.example>', 503],
    ['DATA', 503],
    ['MAIL FROM:<x@client.example> FOO=BAR', 555],
    ['MAIL FROM:<x@client.example', 501],
    ['MAIL', 501],
    ['MAIL FROM:<x@client.example>', 250],
    ['MAIL FROM:<x@client.example>', 503],
    ['DATA', 503],
    ['RCPT TO:<victim@local.example> FOO=BAR', 555],
    ['RSET', 250],
    ['VRFY victim', 252],
    ['NOOP whatever', 250],
    ['WIZ', 500],
  ]
  for (const [line, code] of script) assert.equal((await client.say(line)).code, code, line)
  await client.quit()
})

test('bare line ends neither end the content nor smuggle a second message', { timeout }, async () => {
  const before = maildirFiles(posthorn.maildir('victim')).length
  const smuggled = 'MAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@local.example>\r\nDATA\r\n'
  for (const end of ['\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r\n.\r', '\n.\r']) {
    const client = await openSession(mx())
    await client.say('MAIL FROM:<x@client.example>')
    await client.say('RCPT TO:<victim@local.example>')
    await client.say('DATA')
    client.write(`Subject: a\r\n\r\nfirst${end}${smuggled}Subject: b\r\n\r\nsecond\r\n.\r\n`)
    const reply = await client.reply()
    assert.deepEqual([reply.code, reply.enhanced], [550, '5.6.11'], JSON.stringify(end))
    assert.equal((await client.say('NOOP')).code, 250, 'and that was all')
    await client.quit()
  }
  await posthorn.queueEmpty()
  assert.equal(maildirFiles(posthorn.maildir('victim')).length, before)
})

test('hundreds of idle and half-open sessions do not stop an honest one', { timeout }, async () => {
  const idle = await Promise.all(Array.from({ length: 300 }, () => connectTo(mx())))
  await stillHonest()
  for (const client of idle) client.destroy()
  await Promise.all(idle.map((client) => client.closed))
  await stillHonest()
})

test('after all this, memory is where it was', { timeout }, (t) => {
  for (const [name, now] of resident()) {
    const growth = now - (memoryBefore.get(name) ?? now)
    t.diagnostic(`${name}: ${Math.round(growth / MIB)} MiB more`)
    assert.ok(growth < MOST_GROWTH, `${name} grew by ${Math.round(growth / MIB)} MiB`)
  }
})
