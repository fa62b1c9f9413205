/**
 * What happens to mail that cannot go out at once: later, never, held, removed, and how the administrator sees it.
 */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 500ms;' }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    await posthorn.stop()
    await sink.close()
  },
  { timeout },
)

beforeEach(() => sink.setAnswer(() => null))

/** Accepted for relay.example; the mark. */
async function submit(to: string, from = 'anna@local.example'): Promise<string> {
  const { mark, content } = makeSpecimen(500)
  const reply = await sendMail(posthorn.ports['mx'] ?? 0, { from, to: [to], content })
  assert.equal(reply.code, 250, reply.text)
  return mark
}

function arrivals(mark: string): number {
  return sink.mails.filter((mail) => readSpecimen(mail.content) === mark).length
}

async function inState(recipient: string, state: string): Promise<{ id: string; attempts: number }> {
  return until(`${recipient} ${state}`, async () =>
    (await posthorn.queue()).find((row) => row.recipient === recipient && row.state === state),
  )
}

test('refused for now, it is tried again until it is taken', { timeout }, async () => {
  let tries = 0
  sink.setAnswer((stage) => (stage === 'rcpt' && ++tries <= 3 ? '450 4.2.1 not now' : null))
  const mark = await submit('later@relay.example')
  await until('its arrival', () => arrivals(mark) > 0)
  await posthorn.queueEmpty()
  assert.equal(tries, 4)
  assert.equal(arrivals(mark), 1)
})

test('a message refused for now shows in the list with its last reply', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 greylisted' : null))
  await submit('listed@relay.example')
  const { id } = await inState('listed@relay.example', 'deferred')
  const plain = await posthorn.command('queue', 'list')
  assert.match(plain.stdout, /listed@relay\.example/)
  assert.match(plain.stdout, /greylisted/)
  const shown = await posthorn.command('queue', 'show', id)
  assert.equal(shown.code, 0)
  assert.match(shown.stdout, /anna@local\.example/)
  assert.match(shown.stdout, /^\s*Subject: specimen/m)
  sink.setAnswer(() => null)
  assert.equal((await posthorn.command('queue', 'flush')).code, 0)
  await posthorn.queueEmpty()
})

test('a next hop that is away: kept, and delivered when it is back', { timeout }, async () => {
  const { port } = sink
  await sink.close()
  const mark = await submit('away@relay.example')
  await inState('away@relay.example', 'deferred')
  sink = await openSink(() => null, port)
  await until('its arrival', () => arrivals(mark) > 0)
  await posthorn.queueEmpty()
})

test('held, it stays; released, it goes', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  const mark = await submit('held@relay.example')
  const { id } = await inState('held@relay.example', 'deferred')
  assert.equal((await posthorn.command('queue', 'hold', id)).code, 0)
  await inState('held@relay.example', 'held')
  sink.setAnswer(() => null)
  const other = await submit('passing@relay.example')
  await until('the other one', () => arrivals(other) > 0)
  await posthorn.command('queue', 'flush')
  await inState('held@relay.example', 'held')
  assert.equal(arrivals(mark), 0)
  assert.equal((await posthorn.command('queue', 'release', id)).code, 0)
  await until('its arrival', () => arrivals(mark) > 0)
  await posthorn.queueEmpty()
})

test('removed, it is gone without a word', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  const mark = await submit('removed@relay.example')
  const { id } = await inState('removed@relay.example', 'deferred')
  assert.equal((await posthorn.command('queue', 'remove', id)).code, 0)
  await posthorn.queueEmpty()
  sink.setAnswer(() => null)
  const other = await submit('after@relay.example')
  await until('the other one', () => arrivals(other) > 0)
  assert.equal(arrivals(mark), 0)
})

test('scripts can wait for an empty queue by exit code', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  await submit('waited@relay.example')
  await inState('waited@relay.example', 'deferred')
  const full = await posthorn.command('queue', 'list', '--json', '--exit-code')
  sink.setAnswer(() => null)
  await posthorn.command('queue', 'flush')
  await posthorn.queueEmpty()
  const empty = await posthorn.command('queue', 'list', '--json', '--exit-code')
  assert.equal(full.code, 0)
  assert.notEqual(empty.code, full.code)
})

test('status names every process, once', { timeout }, async () => {
  const { code, stdout } = await posthorn.command('status', '--json')
  assert.equal(code, 0)
  const { processes } = JSON.parse(stdout) as { processes: { name: string; pid: number; state: string }[] }
  const ready = processes.filter((one) => one.state === 'ready').map((one) => one.name)
  for (const name of ['qmgr', 'resolver', 'smtpc', 'smtpd-1', 'smtpd-2'])
    assert.ok(
      ready.some((one) => one === name || one.startsWith(`${name}-`)),
      `${name} in ${ready}`,
    )
  const pids = new Set([posthorn.pid, ...posthorn.workers().map((one) => one.pid)])
  for (const { pid, name } of processes.filter((one) => one.state === 'ready')) assert.ok(pids.has(pid), name)
})
