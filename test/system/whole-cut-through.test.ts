/**
 * Cut-through on a whole Posthorn: what the client hears, what the log says, and whether the queue was written,
 * which qmgr's own count of commits tells.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Answer } from '../../shared/bus/messages.ts'
import { type ClientReply, sendMail } from '../support/client.ts'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          processes: 'heartbeat-interval 100ms;',
          more: `
            listener "cut" { type mx; address 127.0.0.1; port 0; cut-through yes; cut-through-deadline 60s; };
            listener "soon" { type mx; address 127.0.0.1; port 0; cut-through yes; cut-through-deadline 200ms; };
            zone "queued.example" { type relay; cut-through no; hosts { "127.0.0.1" port ${sink.port}; }; };`,
        }),
      users: ['anna', 'ben', 'writer'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
  },
  { timeout },
)

interface Sent {
  mark: string
  reply: ClientReply
}

async function send(listener: 'cut' | 'soon', to: string[], octets = 2000): Promise<Sent> {
  const { mark, content } = makeSpecimen(octets)
  const mail = { from: 'writer@local.example', to, content }
  return { mark, reply: await sendMail(posthorn.ports[listener] ?? 0, mail) }
}

/** Commits of the queue store so far, in a heartbeat that knows of so many accepted messages. */
async function commitsAt(accepted: number): Promise<number> {
  return until(`a heartbeat after ${accepted} messages`, async () => {
    const figures = await qmgrFigures()
    return figures['accepted'] === accepted && { batches: figures['batches'] ?? 0 }
  }).then(({ batches }) => batches)
}

async function qmgrFigures(): Promise<Record<string, number>> {
  const { stdout } = await posthorn.command('status', '--json')
  const { processes } = JSON.parse(stdout) as Answer<'status'>
  return processes.find(({ name }) => name === 'qmgr')?.figures ?? {}
}

async function acceptedSoFar(): Promise<number> {
  const { stdout } = await posthorn.command('status', '--json')
  return (JSON.parse(stdout) as { queue: Answer<'queue-status'> }).queue.accepted
}

const idIn = ({ reply }: Sent) => /\bT[0-9A-Z]+/.exec(reply.text)?.[0] ?? 'none'

for (const octets of [2000, 600_000]) {
  test(`${octets} octets settled in time: 250, their reply in our log, nothing committed`, {
    timeout,
  }, async () => {
    const accepted = await acceptedSoFar()
    const commits = await commitsAt(accepted)
    const sent = await send('cut', ['far@relay.example', 'anna@local.example'], octets)
    assert.equal(sent.reply.code, 250)
    // it is there already: the client was told so only then
    const far = sink.mails.at(-1)
    assert.deepEqual(far?.to, ['far@relay.example'])
    if (octets < 100_000) assert.equal(readSpecimen(far?.content ?? Buffer.alloc(0)), sent.mark)
    const here = (await mailsIn(posthorn.maildir('anna'), 1)).map(({ content }) => readSpecimen(content))
    assert.ok(here.includes(sent.mark))
    assert.equal(await commitsAt(accepted + 1), commits, 'no commit')
    await posthorn.logged(new RegExp(`"message":"${idIn(sent)}".*"to":"far@.*taken`))
    assert.deepEqual(await posthorn.queue(), [])
  })
}

test('the only recipient is refused: so is the message, in the words of the host, and nobody is told', {
  timeout,
}, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '550 5.7.1 not at our house' : null))
  const accepted = await acceptedSoFar()
  const commits = await commitsAt(accepted)
  const { reply } = await send('cut', ['far@relay.example'])
  sink.setAnswer(() => null)
  assert.deepEqual([reply.code, reply.enhanced], [550, '5.7.1'])
  assert.match(reply.text, /not at our house/)
  assert.equal((await send('cut', ['far@relay.example'])).reply.code, 250, 'the next one')
  assert.equal(await commitsAt(accepted + 1), commits, 'no commit')
  assert.deepEqual(await posthorn.queue(), [])
  assert.deepEqual(maildirFiles(posthorn.maildir('writer')), [])
})

test('not settled at the deadline: committed, then 250, and delivered once when that can be', {
  timeout,
}, async () => {
  sink.setAnswer((stage, who) => (stage === 'rcpt' && who.startsWith('slow') ? 'hang' : null))
  const sunk = sink.mails.length
  const accepted = await acceptedSoFar()
  const commits = await commitsAt(accepted)
  const { mark, reply } = await send('soon', ['slow@relay.example', 'ben@local.example'])
  assert.equal(reply.code, 250)
  assert.ok((await commitsAt(accepted + 1)) > commits, 'a commit')
  const rows = async () => (await posthorn.queue()).map(({ recipient }) => recipient)
  await until('one of two to wait', async () => (await rows()).join() === 'slow@relay.example')
  sink.setAnswer(() => null)
  process.kill(posthorn.worker('smtpc'), 'SIGKILL') // nothing else ends a connection that hangs
  await sink.received(sunk + 1)
  await posthorn.queueEmpty()
  assert.deepEqual(
    sink.mails.slice(sunk).map(({ content }) => readSpecimen(content)),
    [mark],
  )
  const here = await mailsIn(posthorn.maildir('ben'), 1)
  assert.deepEqual(
    here.map(({ content }) => readSpecimen(content)),
    [mark],
  )
})

test('several recipients to several places: each settled for itself', { timeout }, async () => {
  let asked = 0
  sink.setAnswer((stage, who) => {
    if (stage !== 'rcpt') return null
    if (who.startsWith('gone')) return '550 5.1.1 no such user'
    return who.startsWith('grey') && asked++ === 0 ? '451 4.7.1 come back' : null
  })
  const sunk = sink.mails.length
  const stored = maildirFiles(posthorn.maildir('anna')).length
  const to = ['anna', 'ben'].map((user) => `${user}@local.example`)
  const far = ['far', 'gone', 'grey'].map((user) => `${user}@relay.example`)
  const { mark, reply } = await send('cut', [...to, ...far])
  assert.equal(reply.code, 250)
  const [report] = await mailsIn(posthorn.maildir('writer'), 1)
  assert.match(String(report?.content), /^Final-Recipient: rfc822; gone@relay\.example\r?$/m)
  await posthorn.queueEmpty()
  sink.setAnswer(() => null)
  const arrived = sink.mails.slice(sunk)
  assert.deepEqual(arrived.flatMap((mail) => mail.to).toSorted(), ['far@relay.example', 'grey@relay.example'])
  for (const mail of arrived) assert.equal(readSpecimen(mail.content), mark)
  assert.equal(maildirFiles(posthorn.maildir('anna')).length, stored + 1)
  assert.equal(maildirFiles(posthorn.maildir('writer')).length, 1, 'one report')
})

test('a zone that does not want it has its mail queued first', { timeout }, async () => {
  const accepted = await acceptedSoFar()
  const commits = await commitsAt(accepted)
  assert.equal((await send('cut', ['far@queued.example'])).reply.code, 250)
  assert.ok((await commitsAt(accepted + 1)) > commits)
  await posthorn.queueEmpty()
})
