/**
 * `posthorn queue` against the whole running server: selections, acts, dry runs, removal and its undoing over a
 * restart, mail in doubt, a new next hop.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, beforeEach, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { type Posthorn, type Result, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink, type Stage } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let sink: Sink
let posthorn: Posthorn
let config = ''

const configFor = (port: number) => (paths: Posthorn['paths']) => {
  config = testConfig(paths, { relayPort: port, qmgr: 'retry 1h;' })
  return config
}

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({ config: configFor(sink.port), users: ['anna'] })
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

beforeEach(async () => {
  sink.setAnswer(() => null)
  await clear()
})

function refusing(reply: string): void {
  sink.setAnswer((stage: Stage) => (stage === 'rcpt' ? reply : null))
}

async function submit(to: string[], from = 'anna@local.example', octets = 500): Promise<string> {
  const { mark, content } = makeSpecimen(octets)
  const reply = await sendMail(posthorn.ports['mx'] ?? 0, { from, to, content })
  assert.equal(reply.code, 250, reply.text)
  return mark
}

function arrivals(mark: string, at = sink): number {
  return at.mails.filter((mail) => readSpecimen(mail.content) === mark).length
}

interface Shown {
  id: string
  recipient: string
  state: string
  inDoubt: boolean
  doubts: number
}

async function list(...words: string[]): Promise<Shown[]> {
  const { code, stdout, stderr } = await posthorn.command('queue', 'list', '--json', ...words)
  assert.equal(code, 0, stderr)
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Shown)
}

async function names(...words: string[]): Promise<string[]> {
  return (await list(...words))
    .map(({ recipient }) => recipient.replace('@relay.example', ''))
    .sort((a, b) => a.localeCompare(b))
}

/** All of them refused for now, and waiting. */
async function deferred(count: number): Promise<void> {
  await until(`${count} deferred`, async () => (await list('--state', 'deferred')).length === count)
}

function said({ code, stdout, stderr }: Result): string {
  assert.equal(code, 0, stderr)
  return stdout.trim()
}

async function queue(...words: string[]): Promise<string> {
  return said(await posthorn.command('queue', ...words))
}

async function clear(): Promise<void> {
  await queue('remove', '--all', '--for-good', '--quiet')
  await queue('remove', '--state', 'removed', '--for-good', '--quiet')
  assert.deepEqual(await list(), [])
}

test('every selection means what it says, alone and together', { timeout }, async () => {
  refusing('450 4.2.1 Mailbox busy')
  await submit(['busy@relay.example'])
  await submit(['large@relay.example'], 'bulk@local.example', 40_000)
  await deferred(2)
  refusing('451 4.7.1 greylisted, see you')
  await submit(['grey@relay.example', 'gray@relay.example'], '')
  await deferred(4)
  const all = ['busy', 'gray', 'grey', 'large']
  const cases: [string[], string[]][] = [
    [[], all],
    [
      ['--sender', '<>'],
      ['gray', 'grey'],
    ],
    [
      ['--sender', '*@LOCAL.example'],
      ['busy', 'large'],
    ],
    [['--recipient', 'gr?y@*'], []],
    [
      ['--recipient', 'gr*'],
      ['gray', 'grey'],
    ],
    [['--recipient', '*@relay.example', '--larger', '30K'], ['large']],
    [
      ['--domain', 'relay.example', '--smaller', '30K'],
      ['busy', 'gray', 'grey'],
    ],
    [['--domain', 'elsewhere.example'], []],
    [['--destination', `*${sink.port}*`], all],
    [['--younger', '1h'], all],
    [['--older', '1h'], []],
    [
      ['--code', '450'],
      ['busy', 'large'],
    ],
    [
      ['--code', '4.7.1'],
      ['gray', 'grey'],
    ],
    [['--code', '4.7.*', '--recipient', 'grey@relay.example'], ['grey']],
    [['--code', '5*'], []],
    [
      ['--reply', 'GREYLISTED*you'],
      ['gray', 'grey'],
    ],
    [['--reply', 'mailbox', '--sender', 'bulk*'], ['large']],
    [['--state', 'held'], []],
    [['--in-doubt'], []],
  ]
  for (const [words, wanted] of cases) assert.deepEqual(await names(...words), wanted, words.join(' '))
})

test('a dry run counts and shows, and changes nothing; the act does, and is logged', {
  timeout,
}, async () => {
  refusing('450 4.2.1 busy')
  await submit(['one@relay.example', 'two@relay.example'])
  await deferred(2)
  const plan = await queue('hold', '--domain', 'relay.example', '--dry-run')
  assert.match(plan, /^would be held: 2 recipients\nID .*\n.*<one@relay\.example>\n/)
  assert.equal((await list('--state', 'held')).length, 0)
  const asJson = JSON.parse(await queue('hold', '--domain', 'relay.example', '--dry-run', '--json')) as {
    recipients: number
    sample: unknown[]
  }
  assert.deepEqual([asJson.recipients, asJson.sample.length], [2, 2])
  assert.equal(await queue('hold', '--domain', 'relay.example'), 'held: 2 recipients')
  assert.equal((await list('--state', 'held')).length, 2)
  const line = await posthorn.logged(/^.*"act":"hold".*"queue act".*$/m)
  const facts = JSON.parse(line.slice(line.indexOf('{'))) as Record<string, unknown>
  assert.deepEqual(
    [facts['act'], facts['recipients'], facts['filter'], facts['uid']],
    ['hold', 2, { domain: 'relay.example' }, process.getuid?.()],
  )
  assert.equal(typeof facts['pid'], 'number')
  assert.equal(typeof facts['user'], 'string')
  sink.setAnswer(() => null)
  assert.equal(await queue('release', '--all', '--json'), '{"act":"release","recipients":2}')
  await posthorn.queueEmpty()
})

test('retry tries now what was to wait an hour', { timeout }, async () => {
  refusing('450 4.2.1 busy')
  const mark = await submit(['soon@relay.example'])
  const other = await submit(['late@relay.example'])
  await deferred(2)
  sink.setAnswer(() => null)
  assert.equal(await queue('retry', '--recipient', 'soon@*'), 'tried again now: 1 recipient')
  await until('its arrival', () => arrivals(mark) === 1)
  assert.deepEqual(await names(), ['late'])
  assert.equal(arrivals(other), 0)
})

test('removed mail is out of the way, survives a restart, and comes back whole', { timeout }, async () => {
  refusing('450 4.2.1 busy')
  const mark = await submit(['back@relay.example'])
  const large = await submit(['large@relay.example'], 'anna@local.example', 400_000)
  await deferred(2)
  await queue('hold', '--larger', '100K')
  assert.equal(await queue('remove', '--all'), 'removed: 2 recipients')
  assert.deepEqual(await list(), [])
  assert.equal((await posthorn.command('queue', 'wait', '--timeout', '5')).code, 0)
  await posthorn.stop(true)
  sink.setAnswer(() => null)
  posthorn = await startPosthorn({
    config: configFor(sink.port),
    users: ['anna'],
    directory: posthorn.paths.directory,
  })
  assert.deepEqual(await list(), [])
  assert.deepEqual(await names('--state', 'removed'), ['back', 'large'])
  assert.match(await queue('list', '--state', 'removed'), /removed \d+s ago/)
  assert.equal(await queue('restore', '--all'), 'restored: 2 recipients')
  await until('its arrival', () => arrivals(mark) === 1)
  assert.deepEqual(
    (await list()).map(({ recipient, state }) => [recipient, state]),
    [['large@relay.example', 'held']],
    'held before, held again',
  )
  await queue('release', '--all')
  await until('its arrival', () => arrivals(large) === 1)
  await posthorn.queueEmpty()
})

test('what got no answer to its final dot is in doubt, and waits a full interval', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'dot' ? 'close' : null))
  await submit(['doubt@relay.example'])
  await deferred(1)
  const [entry] = await list('--in-doubt')
  assert.ok(entry)
  assert.deepEqual([entry.recipient, entry.inDoubt, entry.doubts], ['doubt@relay.example', true, 1])
  assert.match(await queue('list'), /in doubt: 1 attempt got no answer to the final dot/)
  const { nextAttemptAt } = entry as Shown & { nextAttemptAt?: string }
  assert.ok(Date.parse(nextAttemptAt ?? '') >= Date.now() + 50 * 60_000, nextAttemptAt)
  refusing('452 4.2.2 full')
  await queue('retry', entry.id)
  const shown = await until('the second reply', async () => {
    const text = await queue('show', entry.id)
    return /452 4\.2\.2 full/.test(text) && text
  })
  assert.match(shown, /ago: .*\(in doubt\)\n.*ago: .*452 4\.2\.2 full\n +in doubt: 1 attempt/)
  const { history } = JSON.parse(await queue('show', entry.id, '--json')) as {
    history: { inDoubt: boolean }[]
  }
  assert.deepEqual(
    history.map(({ inDoubt }) => inDoubt),
    [true],
  )
})

test('route-again takes mail to where the configuration says now', { timeout }, async () => {
  refusing('450 4.2.1 busy')
  const mark = await submit(['moved@relay.example'])
  await deferred(1)
  const other = await openSink()
  try {
    const changed = config.replace(`port ${sink.port}`, `port ${other.port}`)
    assert.notEqual(changed, config)
    writeFileSync(posthorn.configFile, changed)
    assert.equal((await posthorn.command('reload')).code, 0)
    assert.equal(await queue('route-again', '--destination', `*${sink.port}*`), 'routed again: 1 recipient')
    await until('its arrival', () => arrivals(mark, other) === 1)
    await posthorn.queueEmpty()
  } finally {
    writeFileSync(posthorn.configFile, config)
    assert.equal((await posthorn.command('reload')).code, 0)
    await other.close()
  }
  assert.equal(arrivals(mark), 0)
})

test('what cannot be done says why, by its exit code too', { timeout }, async () => {
  const cases: [number, RegExp, string[]][] = [
    [64, /needs ids, a selection, or --all/, ['restore']],
    [64, /needs ids, a selection, or --all/, ['retry', '--dry-run']],
    [64, /--code 99: 451, 4\*/, ['list', '--code', '99']],
    [64, /--older: `soon` is no duration/, ['hold', '--older', 'soon']],
    [64, /has no option --for-good/, ['hold', '--all', '--for-good']],
    [66, /^$/, ['restore', 'T1']],
    [66, /^$/, ['hold', 'T1']],
    [66, /T1 is not in the queue/, ['show', 'T1']],
  ]
  for (const [code, message, words] of cases) {
    const result = await posthorn.command('queue', ...words)
    assert.equal(result.code, code, `${words.join(' ')}: ${result.stderr}`)
    assert.match(result.stderr, message)
  }
  assert.equal(await queue('flush'), 'tried again now: 0 recipients')
})

test('the log names who acted for every act of this run', { timeout }, () => {
  const lines = readFileSync(`${posthorn.paths.directory}/log`, 'utf8').split('\n')
  const acts = lines.filter((line) => line.includes('"queue act"'))
  assert.ok(acts.length > 10)
  for (const line of acts) assert.match(line, /"uid":\d+,"user":"[^"]+","pid":\d+,"recipients":\d+/)
})
