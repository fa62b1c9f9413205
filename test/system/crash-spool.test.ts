/**
 * Starts on a spool that is not as we would leave it: a log that ends in the middle of a write, content files that
 * belong to nobody, a queue of an older version. Mail that was promised goes out once, the rest is cleared away.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { contentOf, isFiled, writeVersion1 } from '../support/old-queue.ts'
import { type Paths, startPosthorn } from '../support/posthorn.ts'
import { openSink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 180_000
const OLD_MESSAGES = 60

test('a torn log and orphaned content: what got 250 is there, once, and nothing else stays', {
  timeout,
}, async () => {
  const sink = await openSink((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  const config = (paths: Paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 1h;' })
  const first = await startPosthorn({ config })
  const specimens = [...Array.from({ length: 30 }, () => makeSpecimen(3000)), makeSpecimen(400_000)]
  for (const { content } of specimens) {
    const mail = { from: 'x@client.example', to: ['far@relay.example'], content }
    assert.equal((await sendMail(first.ports['mx'] ?? 0, mail)).code, 250)
  }
  await first.killAll()
  const queue = join(first.paths.spool, 'queue')
  const log = join(queue, 'queue.db-wal')
  assert.ok(statSync(log).size > 0, 'the log holds what was not folded in')
  appendFileSync(log, randomBytes(3000)) // less than a page: the write that the power cut short
  const content = join(queue, 'content')
  const [kept, ...others] = readdirSync(content)
  assert.ok(kept && others.length === 0, 'the large one')
  writeFileSync(join(content, 'zzzzzz'), randomBytes(50_000))
  writeFileSync(join(content, 'zzzzzy'), '')

  const soon = (paths: Paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 1s;' })
  const second = await startPosthorn({ config: soon, directory: first.paths.directory })
  try {
    assert.deepEqual(readdirSync(content), [kept], 'swept before anybody was greeted')
    await second.logged(/"swept":2.*recovered/)
    sink.setAnswer(() => null)
    await second.command('queue', 'flush')
    await sink.received(specimens.length)
    await second.queueEmpty()
    const marks = sink.mails.flatMap(({ octets, content }) =>
      octets < 100_000 ? [readSpecimen(content)] : [],
    )
    assert.deepEqual(new Set(marks), new Set(specimens.slice(0, 30).map(({ mark }) => mark)))
    assert.equal(sink.mails.length, specimens.length, 'each once')
    assert.ok(sink.mails.some(({ octets }) => octets > 400_000))
    assert.deepEqual(readdirSync(content), [])
  } finally {
    await second.stop()
    await sink.close()
  }
})

test('a queue of version 1, full of mail: all of it goes out, once', { timeout }, async () => {
  const sink = await openSink()
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-'))
  const queue = join(directory, 'spool', 'queue')
  mkdirSync(join(queue, 'content'), { recursive: true, mode: 0o700 })
  writeVersion1(join(queue, 'queue.db'), OLD_MESSAGES)
  const ids = Array.from({ length: OLD_MESSAGES }, (_, at) => at + 1)
  for (const id of ids.filter(isFiled)) writeFileSync(join(queue, 'content', id.toString(36)), contentOf(id))
  const relay = (zone: string) => `zone "${zone}" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };`
  const more = `${relay('example.org')} ${relay('*.example')}`
  const posthorn = await startPosthorn({ directory, config: (paths) => testConfig(paths, { more }) })
  try {
    const released = await posthorn.command('queue', 'release', '--all')
    assert.equal(released.code, 0, released.stderr)
    await posthorn.queueEmpty()
    const arrived = sink.mails.flatMap(({ to, content }) => to.map((one) => `${one} ${content}`))
    const wanted = ids.flatMap((id) =>
      [`a${id}@example.org`, `"b@c"@d${id}.example`].map((one) => `${one} ${contentOf(id)}`),
    )
    assert.deepEqual(arrived.toSorted(), wanted.toSorted())
    assert.deepEqual(readdirSync(join(queue, 'content')), [])
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})
