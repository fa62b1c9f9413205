/** What the bench stands on: its paced load times every message once, and its queues are queues to Posthorn. */
import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fill } from '../bench/deferred.ts'
import { sendPaced } from '../bench/paced.ts'
import { openTimedSink } from '../bench/trip.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { openSink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
const pace = { sessions: 3, perSecond: 200, messages: 40, size: 4096, recipient: 'user@relay.example' }

test('a paced load times each message, at the door and at the sink', { timeout }, async (t) => {
  const sink = await openTimedSink()
  t.after(sink.close)
  const posthorn = await startPosthorn({
    config: (paths) => testConfig(paths, { relayPort: sink.port, mx: 'relay { localhost; };' }),
  })
  t.after(() => posthorn.stop())
  const port = posthorn.ports['mx'] ?? 0
  const { signal } = new AbortController()
  for (const _ of ['once', 'and again']) {
    const trip = await sink.send({ ...pace, port }, signal)
    assert.equal(trip.accepted.length, 40)
    assert.equal(trip.delivered.length, 40)
    assert.equal(trip.refused, 0)
    assert.ok([...trip.accepted, ...trip.delivered].every((ms) => ms > 0))
  }
})

test('a paced load says what refused it', { timeout }, async (t) => {
  const sink = await openSink((stage) => (stage === 'rcpt' ? '550 5.1.1 nobody' : null))
  t.after(sink.close)
  const { signal } = new AbortController()
  await assert.rejects(sendPaced({ ...pace, port: sink.port }, signal), /550 5\.1\.1 nobody/)
  sink.setAnswer((stage) => (stage === 'dot' ? '452 4.3.1 later' : null))
  const paced = await sendPaced({ ...pace, port: sink.port }, signal)
  assert.deepEqual([paced.accepted, paced.refused], [[], 40])
})

test('messages made in the store go out when due, and wait otherwise', { timeout }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-'))
  await fill(join(directory, 'spool', 'queue'), 50, new AbortController().signal)
  const sink = await openSink()
  t.after(sink.close)
  const posthorn = await startPosthorn({
    directory,
    config: (paths) =>
      testConfig(paths, {
        more: `zone "*.deferred.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`,
      }),
  })
  t.after(() => posthorn.stop())
  const due = [0, 10, 20, 30, 40]
  const mails = await sink.received(due.length)
  assert.deepEqual(
    mails.flatMap(({ to }) => to).sort(),
    due.map((n) => `r${n}@d${n}.deferred.example`),
  )
  const waiting = (await posthorn.queue()).filter(({ state }) => state === 'deferred')
  assert.equal(waiting.length, 45)
})
