/**
 * smtpd as a process: a message from the first octet to qmgr's word, large ones in pieces, what becomes of a session
 * when qmgr or the client goes, drain, and the local socket.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { connectTo, dotted, openSession, type SmtpClient, transact } from '../support/client.ts'
import { until } from '../support/wait.ts'
import { openStage } from './smtpd-stage.ts'

const options = { timeout: 120_000 }
const MIB = 1 << 20
const everyone = { negated: false, network: 'any' }

async function upToData(client: SmtpClient): Promise<void> {
  await client.say('MAIL FROM:<a@client.example>')
  await client.say('RCPT TO:<b@example.org>')
  assert.equal((await client.say('DATA')).code, 354)
}

test('a message goes through', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await openSession(stage.port)
  await upToData(client)
  const reply = await client.say('Subject: x\r\n\r\n..dot\r\n.')
  assert.equal(reply.code, 250)
  const [message] = stage.taken
  assert.ok(message)
  const id = /T[0-9A-Z]+/.exec(reply.text)?.[0] ?? 'none'
  assert.match(
    String(message.content),
    new RegExp(
      `^Received: from client\\.example \\(\\[127\\.0\\.0\\.1\\]\\)\r\n` +
        `\tby mx\\.example\\.org \\(Posthorn\\) with ESMTP id ${id}\r\n\tfor <b@example\\.org>;\r\n` +
        `\t\\w{3}, \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d \\+0000\r\nSubject: x\r\n\r\n\\.dot\r\n$`,
    ),
  )
  assert.equal(message.envelope.size, message.content.length)
  assert.deepEqual(message.envelope.recipients, [{ address: 'b@example.org' }])
  await client.quit()
  await until('session-close', () => stage.closedSessions.includes(message.envelope.origin.session))
})

test('a large message comes in chunks, paused where qmgr gives no credit', options, async (t) => {
  const stage = await openStage({ messageSizeLimit: 64 * MIB })
  t.after(stage.close)
  stage.answers.credit = () => 0
  const client = await openSession(stage.port)
  await upToData(client)
  const body = `Subject: x\r\n\r\n${'0123456789abcdef0123456789abcdef\r\n'.repeat(500_000)}`
  client.write(dotted(body))
  await until('the first chunks', () => [...stage.streamed.values()].some((octets) => octets >= 512 * 1024))
  const [stream = 0] = stage.streamed.keys()
  // a second client is served all the same
  const other = await openSession(stage.port)
  assert.equal((await transact(other, { from: '', to: ['b@example.org'], content: 'A: b\r\n' })).code, 250)
  assert.ok((stage.streamed.get(stream) ?? 0) <= MIB, 'no more than the window')
  stage.answers.credit = (chunk) => chunk.data.length
  stage.qmgr.send('content-credit', { stream, octets: stage.streamed.get(stream) ?? 0 })
  assert.equal((await client.reply()).code, 250)
  const content = stage.taken.find((one) => one.envelope.id === stream)?.content
  assert.ok(content?.subarray(content.indexOf('Subject')).equals(Buffer.from(body)))
  await other.quit()
  await client.quit()
})

test('256 MiB against a limit of 10 are read, refused, and not kept', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await openSession(stage.port)
  await upToData(client)
  const piece = Buffer.from(`${'x'.repeat(1022)}\r\n`.repeat(1024))
  for (let sent = 0; sent < 256; sent++) {
    client.write(piece)
    await client.drained()
  }
  assert.equal((await client.say('.')).enhanced, '5.3.4')
  assert.equal(stage.taken.length, 0)
  await until('the stream given up', () => stage.aborted.length === 1)
  assert.equal((await transact(client, { from: '', to: ['b@example.org'], content: 'A: b\r\n' })).code, 250)
  await client.quit()
})

test('a client that vanishes in the middle leaves nothing behind', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  for (const [octets, streamed] of [
    [100, false],
    [MIB, true],
  ] as const) {
    const client = await openSession(stage.port)
    await upToData(client)
    client.write(Buffer.alloc(octets, 'x'))
    if (streamed) await until('a stream', () => stage.streamed.size > 0)
    client.destroy()
  }
  await until('both sessions closed', () => stage.closedSessions.length === 2)
  assert.equal(stage.aborted.length, 1)
  assert.equal(stage.taken.length, 0)
})

test('a client that vanishes after the dot has sent its message', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  let release: () => void = () => undefined
  const held = new Promise<void>((done) => {
    release = done
  })
  let asked = false
  stage.answers.submit = async () => {
    asked = true
    await held
    return { kind: 'accepted' }
  }
  const client = await openSession(stage.port)
  await upToData(client)
  client.write('A: b\r\n\r\n.\r\n')
  await until('submit', () => asked)
  client.destroy()
  release()
  await until('the session closed', () => stage.closedSessions.length === 1)
  assert.equal(stage.taken.length, 1)
  await until('the log', () => stage.worker.output().includes('"accepted"'))
})

test('a client that closes its side after the dot still gets its reply', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await connectTo(stage.port, { allowHalfOpen: true })
  client.socket.end('HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nA: b\r\n\r\n.\r\n')
  const codes = []
  for (let n = 0; n < 6; n++) codes.push((await client.reply()).code)
  assert.deepEqual(codes, [220, 250, 250, 250, 354, 250])
  await client.closed
  assert.equal(stage.taken.length, 1)
})

test('qmgr refuses, says wait, goes away, comes back', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await openSession(stage.port)
  const mail = { from: 'a@client.example', to: ['b@example.org'], content: 'A: b\r\n\r\n' }
  const full = { code: 452, enhanced: '4.3.1', text: 'Disk full', host: '' }
  stage.answers.submit = () => ({ kind: 'refused', reply: full })
  assert.equal((await transact(client, mail)).enhanced, '4.3.1')
  stage.answers.submit = () => ({ kind: 'accepted' })
  stage.qmgr.send('load', { intake: 'refuse', reason: 'disk', storage: true })
  await until('the load is known', async () => {
    const reply = await client.say('MAIL FROM:<>')
    if (reply.code === 250) await client.say('RSET')
    return reply.code === 452 && reply.text.includes('disk')
  })
  stage.qmgr.send('load', { intake: 'go', reason: '' })
  await until('the load is gone', async () => (await client.say('MAIL FROM:<>')).code === 250)
  await client.say('RCPT TO:<b@example.org>')
  assert.equal((await client.say('DATA')).code, 354)
  // with a large message half way
  client.write(Buffer.alloc(MIB / 2, 'x'))
  await until('a stream', () => stage.streamed.size > 0)
  stage.stopQmgr()
  assert.equal((await client.say('\r\n.')).enhanced, '4.3.0')
  assert.equal((await client.say('MAIL FROM:<>')).code, 451)
  const stranger = await connectTo(stage.port)
  assert.equal((await stranger.reply()).code, 421)
  await stage.restartQmgr(2)
  await until('mail is taken again', async () => (await transact(client, mail)).code === 250)
  assert.equal(stage.taken.length, 1)
  await client.quit()
})

test('ids are never given twice, over a restart of qmgr', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await openSession(stage.port)
  const mail = { from: 'a@client.example', to: ['b@example.org'], content: 'A: b\r\n\r\n' }
  assert.equal((await transact(client, mail)).code, 250)
  await stage.restartQmgr(7)
  await until('mail is taken again', async () => (await transact(client, mail)).code === 250)
  const ids = stage.taken.map((one) => Math.floor(one.envelope.id / 2 ** 28))
  assert.deepEqual(ids, [1, 7])
  await client.quit()
})

test(
  'drain: the transaction in hand is finished, idle sessions get 421, the rest waits for the next',
  options,
  async (t) => {
    const stage = await openStage()
    t.after(stage.close)
    const idle = await openSession(stage.port)
    const busy = await openSession(stage.port)
    await upToData(busy)
    const exited = stage.worker.drain()
    assert.equal((await idle.reply()).code, 421)
    await idle.closed
    busy.write('A: b\r\n\r\n.\r\n')
    assert.equal((await busy.reply()).code, 250)
    assert.equal((await busy.reply()).code, 421)
    assert.equal(await exited, 0)
    assert.equal(stage.taken.length, 1)
  },
)

test('limits: sessions, who may connect, silence', options, async (t) => {
  const stage = await openStage({ sessionLimit: 1, commandTimeout: 300 })
  t.after(stage.close)
  const first = await connectTo(stage.port)
  assert.equal((await first.reply()).code, 220)
  const second = await connectTo(stage.port)
  assert.equal((await second.reply()).code, 421)
  await second.closed
  assert.equal((await first.reply()).enhanced, '4.4.2')
  await first.closed
  const closed = await openStage({ allow: [{ negated: true, network: '127.0.0.1' }] })
  t.after(closed.close)
  const stranger = await connectTo(closed.port)
  assert.equal((await stranger.reply()).code, 554)
  await stranger.closed
})

test(
  '10,000 recipients: as many as allowed are taken, nothing is asked about the rest',
  options,
  async (t) => {
    const stage = await openStage({ recipientLimit: 100 })
    t.after(stage.close)
    let asked = 0
    const { resolve } = stage.answers
    stage.answers.resolve = (question) => {
      asked++
      return resolve(question)
    }
    const client = await openSession(stage.port)
    await client.say('MAIL FROM:<>')
    client.write(Array.from({ length: 10_000 }, (_, n) => `RCPT TO:<u${n}@example.org>\r\n`).join(''))
    const codes = new Map<number, number>()
    for (let n = 0; n < 10_000; n++) {
      const { code } = await client.reply()
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    assert.deepEqual(
      [...codes],
      [
        [250, 100],
        [452, 9900],
      ],
    )
    assert.equal(asked, 100)
    assert.equal((await client.say('DATA')).code, 354)
    assert.equal((await client.say('.')).code, 250)
    assert.equal(stage.taken[0]?.envelope.recipients.length, 100)
    await client.quit()
  },
)

test('a client that does not read its replies is read no further', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await openSession(stage.port)
  client.socket.pause()
  const flood = Buffer.from('HELP\r\n'.repeat(10_000))
  let stuck = false
  for (let n = 0; n < 400 && !stuck; n++) {
    if (client.socket.write(flood)) continue
    stuck = !(await Promise.race([
      once(client.socket, 'drain').then(() => true),
      new Promise<boolean>((done) => setTimeout(() => done(false), 1000)),
    ]))
  }
  assert.ok(stuck, 'the flood is held up')
  client.destroy()
  await until('the session closed', () => stage.closedSessions.length === 1)
})

test('the local socket: uid by the kernel, rights by the list, path left alone', options, async (t) => {
  const stage = await openStage({
    name: 'local',
    kind: 'local',
    endpoint: { kind: 'unix', path: 'set by the stage', mode: 0o666 },
    relay: [{ negated: false, network: 'local' }],
    bareNewline: 'normalise',
  })
  t.after(stage.close)
  const client = await openSession(stage.path, 'localhost')
  const mail = { from: 'me', to: ['you@elsewhere.example'], content: 'Subject: x\r\n\r\nbare\nline\r\n' }
  assert.equal((await transact(client, mail)).code, 250)
  const [message] = stage.taken
  assert.equal(message?.envelope.origin.uid, process.getuid?.())
  assert.equal(message?.envelope.origin.client, '')
  assert.equal(message?.envelope.sender, 'me@example.org')
  const text = String(message?.content)
  assert.match(text, new RegExp(`^Received: from localhost \\(uid ${process.getuid?.()}\\)\r\n`))
  assert.match(
    text,
    /\r\nFrom: Ann Bee <me@example\.org>\r\n(Sender: <ann@example\.org>\r\n)?Date: .*\r\nMessage-ID: <.*>\r\nSubject: x\r\n\r\nbare\r\nline\r\n$/,
  )
  await client.quit()
  await stage.worker.drain()
  assert.ok(existsSync(stage.path), 'the path belongs to mcp')
})

test('the log says how many errors a client made, and what it heard last', options, async (t) => {
  const stage = await openStage({
    recipientLimit: 1,
    allow: [{ negated: true, name: 'localhost' }, everyone],
  })
  stage.answers['name-client'] = () => ({ kind: 'none' })
  t.after(stage.close)
  const client = await openSession(stage.port)
  await client.say(`NOOP ${'x'.repeat(3000)}`)
  await client.say('MAIL FROM:<a@client.example>')
  await client.say('RCPT TO:<b@example.org>')
  assert.equal((await client.say('RCPT TO:<c@example.org>')).code, 452)
  await client.quit()
  const line = /"errors":1,"refused":"452 4\.5\.3 Too many recipients in one transaction".*session closed/
  await until('the end in the log', () => line.test(stage.worker.output()))
  stage.answers['name-client'] = () => ({ kind: 'confirmed', name: 'localhost' })
  const other = await connectTo(stage.port)
  assert.equal((await other.reply()).code, 554)
  await until('the refusal in the log', () =>
    /"name":"localhost".*client refused/.test(stage.worker.output()),
  )
})

test('clients for whom there is no place are one line a second', options, async (t) => {
  const stage = await openStage({ sessionLimit: 1 })
  t.after(stage.close)
  const client = await openSession(stage.port)
  for (let n = 0; n < 3; n++) {
    const other = await connectTo(stage.port)
    assert.equal((await other.reply()).code, 421)
  }
  const told = () => [...stage.worker.output().matchAll(/"clients":(\d),"limit":1.*too many sessions/g)]
  await until('all three', () => told().reduce((sum, [, clients]) => sum + Number(clients), 0) === 3)
  await client.quit()
})
