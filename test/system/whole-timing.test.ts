/**
 * What a sender may ask of the queue when submitting: to hold a message (RFC 4865), to have it delivered by a time
 * (RFC 2852), in an order (RFC 6710).
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ClientReply, dotted, openSession } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let posthorn: Posthorn
let sink: Sink
/** Knows nothing of times. */
let other: Sink

before(
  async () => {
    sink = await openSink()
    other = await openSink((stage) => (stage === 'ehlo' ? '250-sink.example\r\n250 MT-PRIORITY' : null))
    const more = `zone "other.example" { type relay; hosts { "127.0.0.1" port ${other.port}; }; };`
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port, more }),
      users: ['anna', 'ben', 'carl', 'dora'],
    })
  },
  { timeout },
)

after(
  async () => {
    await posthorn.stop()
    await sink.close()
    await other.close()
  },
  { timeout },
)

async function submit(from: string, parameters: string, to: string): Promise<ClientReply> {
  const client = await openSession(posthorn.ports['submission'] ?? 0)
  assert.equal((await client.say(`MAIL FROM:<${from}> ${parameters}`)).code, 250)
  assert.equal((await client.say(`RCPT TO:<${to}>`)).code, 250)
  assert.equal((await client.say('DATA')).code, 354)
  client.write(dotted('Subject: timely\r\n\r\nbody\r\n'))
  const reply = await client.reply()
  await client.quit()
  return reply
}

/** Reports to a user so far. */
async function reportsTo(user: string, count: number): Promise<string[]> {
  return (await mailsIn(posthorn.maildir(user), count)).map(({ content }) => content.toString())
}

test('a message is held until its release, whoever asks for it', { timeout }, async () => {
  const begun = Date.now()
  assert.equal((await submit('ben@local.example', 'HOLDFOR=4', 'anna@local.example')).code, 250)
  assert.equal((await posthorn.command('queue', 'flush')).code, 0)
  const [row] = await posthorn.queue()
  assert.ok(row, 'it waits')
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  assert.ok(Date.now() - begun >= 4000, 'and did not come early')
  assert.match(mail?.content.toString() ?? '', /^Subject: timely/m)
  await posthorn.queueEmpty()
})

test('it comes back when it is late, or its sender hears of that', { timeout }, async () => {
  const offer = '250-sink.example\r\n250-DELIVERBY 1\r\n250 MT-PRIORITY'
  sink.setAnswer((stage) => (stage === 'ehlo' ? offer : stage === 'rcpt' ? '450 4.2.1 busy' : null))
  await submit('ben@local.example', 'BY=3;R', 'late@relay.example')
  const [back] = await reportsTo('ben', 1)
  assert.match(back ?? '', /^Action: failed$/m)
  assert.match(back ?? '', /^Status: 5\.4\.7$/m)
  await submit('carl@local.example', 'BY=1;N', 'late@relay.example')
  const [told] = await reportsTo('carl', 1)
  assert.match(told ?? '', /^Action: delayed$/m)
  sink.setAnswer((stage) => (stage === 'ehlo' ? offer : null))
  const [mail] = await sink.received(1)
  assert.match(mail?.commands[0] ?? '', / BY=-?\d+;N$/)
  await posthorn.queueEmpty()
})

test('a host that does not know of times gets nothing that must come back; priority goes on', {
  timeout,
}, async () => {
  await submit('dora@local.example', 'BY=600;R', 'far@other.example')
  const [back] = await reportsTo('dora', 1)
  assert.match(back ?? '', /^Status: 5\.3\.3$/m)
  await submit('dora@local.example', 'BY=600;N MT-PRIORITY=5', 'far@other.example')
  const mails = await other.received(1)
  assert.match(mails[0]?.commands[0] ?? '', / MT-PRIORITY=5$/)
  const reports = await until('a report of the relay', async () => {
    const all = await reportsTo('dora', 1)
    return all.length > 1 && all
  })
  assert.ok(reports.some((report) => /^Action: relayed$/m.test(report)))
})
