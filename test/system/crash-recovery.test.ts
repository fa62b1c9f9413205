/**
 * Power cuts and crashes of one process: whatever got 250 is still there afterwards.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { startLoad } from '../support/load.ts'
import { mailsIn, readMaildir } from '../support/maildir.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { isAlive } from '../support/processes.ts'
import { openSink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000

test('everything killed at once with mail in the queue, started again: all is delivered', {
  timeout,
}, async () => {
  const sink = await openSink((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  const options = {
    config: (paths: Parameters<typeof testConfig>[0]) => testConfig(paths, { relayPort: sink.port }),
    users: ['anna'],
  }
  const first = await startPosthorn(options)
  const load = startLoad({
    target: first.ports['mx'] ?? 0,
    sessions: 6,
    octets: () => 3000,
    to: (n) => (n % 3 === 0 ? ['anna@local.example'] : ['far@relay.example', 'away@relay.example']),
  })
  await load.progressed(300)
  const large = makeSpecimen(2 << 20)
  const reply = await sendMail(first.ports['mx'] ?? 0, {
    from: 'x@client.example',
    to: ['large@relay.example', 'anna@local.example'],
    content: large.content,
  })
  assert.equal(reply.code, 250)
  await first.killAll()
  const ledger = await load.stop()

  sink.setAnswer(() => null)
  const second = await startPosthorn({ ...options, directory: first.paths.directory })
  try {
    await second.queueEmpty(60_000)
    const stored = await mailsIn(second.maildir('anna'), 1)
    const arrived = [...sink.mails, ...stored].map((mail) => readSpecimen(mail.content))
    const known = new Set(arrived)
    const lost = [...ledger.accepted].filter((mark) => !known.has(mark))
    assert.deepEqual(lost, [])
    assert.ok(
      stored.some((mail) => readSpecimen(mail.content) === large.mark),
      'the large one too',
    )
    assert.ok(sink.mails.some((mail) => mail.octets > 2 << 20))
  } finally {
    await second.stop()
    await sink.close()
  }
})

test('qmgr killed under load: every other process lives on and recovers by itself', {
  timeout,
}, async (t) => {
  const posthorn = await startPosthorn({ config: testConfig, users: ['anna'] })
  const load = startLoad({
    target: posthorn.ports['mx'] ?? 0,
    sessions: 8,
    octets: () => 1000,
    to: () => ['anna@local.example'],
    pauseMs: 2,
  })
  try {
    await load.progressed(200)
    const before = posthorn.workers().filter((one) => !/^(qmgr|lda)/.test(one.name))
    assert.ok(before.length >= 4, before.map((one) => one.name).join())
    const killed = posthorn.worker('qmgr')
    process.kill(killed, 'SIGKILL')
    await until('another qmgr', () => !isAlive(killed) && posthorn.worker('qmgr') !== killed)
    await load.progressed(200)
    for (const { pid, name } of before) assert.ok(isAlive(pid), `${name} lives on`)
    const ledger = await load.stop()
    await posthorn.queueEmpty()
    const marks = readMaildir(posthorn.maildir('anna')).map((mail) => readSpecimen(mail.content))
    const arrived = new Set(marks)
    assert.deepEqual(
      [...ledger.accepted].filter((mark) => !arrived.has(mark)),
      [],
    )
    t.diagnostic(`accepted ${ledger.accepted.size}, duplicates ${marks.length - arrived.size}`)
  } finally {
    await load.stop()
    await posthorn.stop()
  }
})

test('stopped under load and started again: nothing lost, nothing twice', { timeout }, async (t) => {
  const options = { config: testConfig, users: ['anna', 'ben'] }
  const first = await startPosthorn(options)
  const load = startLoad({
    target: first.ports['mx'] ?? 0,
    sessions: 8,
    octets: (n) => (n % 40 === 0 ? 300_000 : 1000),
    to: (n) => [n % 2 === 0 ? 'anna@local.example' : 'ben@local.example'],
  })
  await load.progressed(400)
  assert.equal(await first.stop(true), 0)
  const ledger = await load.stop()
  const second = await startPosthorn({ ...options, directory: first.paths.directory })
  try {
    await second.queueEmpty()
    const mails = ['anna', 'ben'].flatMap((user) => readMaildir(second.maildir(user)))
    const marks = mails.map((mail) => readSpecimen(mail.content))
    const arrived = new Set(marks)
    assert.deepEqual(
      [...ledger.accepted].filter((mark) => !arrived.has(mark)),
      [],
    )
    assert.equal(marks.length, arrived.size, 'no duplicates')
    t.diagnostic(`accepted ${ledger.accepted.size}; heard: ${JSON.stringify([...ledger.troubles])}`)
    for (const trouble of ledger.troubles.keys()) assert.doesNotMatch(trouble, /^5\d\d /)
  } finally {
    await second.stop()
  }
})
