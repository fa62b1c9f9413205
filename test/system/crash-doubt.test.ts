/**
 * smtpc killed with attempts in hand: what may have been delivered is in doubt and waits a full interval; what was
 * still on its way to a connection, or had not been handed its content, is tried again at once.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { openSink, type Stage } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000

function hangsAt(stage: Stage, reached: () => void): (at: Stage) => string | null {
  return (at) => {
    if (at !== stage) return null
    reached()
    return 'hang'
  }
}

test('only what smtpc may have delivered before it was killed is in doubt', { timeout }, async () => {
  const at = { dot: false, greeting: false, data: false }
  const dotted = await openSink(hangsAt('dot', () => (at.dot = true)))
  const silent = await openSink(hangsAt('connect', () => (at.greeting = true)))
  const slow = await openSink(hangsAt('data', () => (at.data = true)))
  const zone = (name: string, port: number) =>
    `zone "${name}" { type relay; hosts { "127.0.0.1" port ${port}; }; };`
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h;',
        more: `${zone('dot.example', dotted.port)} ${zone('silent.example', silent.port)} ${zone('slow.example', slow.port)}`,
      }),
    users: [],
  })
  try {
    const submit = async (to: string, octets: number) => {
      const { content } = makeSpecimen(octets)
      const reply = await sendMail(posthorn.ports['submission'] ?? 0, {
        ...{ from: 'x@client.example', to: [to], content },
      })
      assert.equal(reply.code, 250)
    }
    await submit('a@dot.example', 500)
    await submit('b@silent.example', 500)
    await submit('c@slow.example', 4 << 20)
    await until('all three in hand', () => at.dot && at.greeting && at.data)
    for (const sink of [silent, slow]) sink.setAnswer(() => null)
    process.kill(posthorn.worker('smtpc'), 'SIGKILL')
    await silent.received(1)
    await slow.received(1)
    const rows = await until('the one in doubt alone', async () => {
      const found = await posthorn.queue()
      return found.length === 1 && found[0]?.state === 'deferred' && found
    })
    assert.deepEqual([rows[0]?.recipient, rows[0]?.attempts], ['a@dot.example', 1])
    const listed = await posthorn.command('queue', 'list', '--in-doubt', '--json')
    const { nextAttemptAt } = JSON.parse(listed.stdout) as { nextAttemptAt: string }
    assert.ok(Date.parse(nextAttemptAt) >= Date.now() + 50 * 60_000, nextAttemptAt)
    assert.equal(dotted.connections(), 1)
  } finally {
    await posthorn.stop()
    for (const sink of [dotted, silent, slow]) await sink.close()
  }
})
