/**
 * Load control on a whole Posthorn: each resource in turn is made short by its marks, `posthorn status` names it and
 * since when, clients hear the right reply, and all is as before when it is relieved. Places for sessions are kept
 * for local programs and for the network; a destination whose backlog is full is refused at RCPT and no other.
 */
import assert from 'node:assert/strict'
import { statfsSync, writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import type { Answer } from '../../shared/bus/messages.ts'
import {
  type ClientReply,
  connectTo,
  openSession,
  type SmtpClient,
  sendMail,
  type Target,
} from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig, type Wishes } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

type QueueStatus = Answer<'queue-status'>

const timeout = 180_000
const PROCESSES = 'heartbeat-interval 200ms;'
const LONGEST_WAIT_MS = 30_000
/** The highest mark that there is. */
const MOST_INODES = 1_000_000_000
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({ config: (paths) => configWith(paths, {}), users: ['anna'] })
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

function configWith(paths: Posthorn['paths'], wishes: Wishes): string {
  return testConfig(paths, { relayPort: sink.port, processes: PROCESSES, qmgr: 'retry 1h;', ...wishes })
}

async function reload(wishes: Wishes): Promise<void> {
  writeFileSync(posthorn.configFile, configWith(posthorn.paths, wishes))
  const { code, stderr } = await posthorn.command('reload')
  assert.equal(code, 0, stderr)
}

const mx = () => posthorn.ports['mx'] ?? 0

async function status(): Promise<QueueStatus> {
  const { stdout } = await posthorn.command('status', '--json')
  return (JSON.parse(stdout) as { queue: QueueStatus }).queue
}

const stateOf = ({ throttles }: QueueStatus, resource: string) =>
  throttles.find((one) => one.resource === resource)

function send(to: string[]): Promise<ClientReply> {
  const { content } = makeSpecimen(200)
  return sendMail(mx(), { from: 'x@client.example', to, content })
}

/** What MAIL says in a new session. */
async function mailReply(): Promise<ClientReply> {
  const session = await openSession(mx())
  const reply = await session.say('MAIL FROM:<x@client.example>')
  await session.quit()
  return reply
}

async function welcomed(): Promise<void> {
  await until('new mail to be welcome', async () => (await mailReply()).code === 250)
  const { intake, throttles } = await status()
  const short = throttles.filter(({ state }) => state !== 'go')
  assert.deepEqual([intake, short], ['go', []])
}

/** A session that has been greeted, or the reply that it got instead. */
async function enter(target: Target): Promise<SmtpClient | string> {
  const client = await connectTo(target)
  const { code, enhanced } = await client.reply()
  return code === 220 ? client : `${code} ${enhanced}`
}

async function fill(target: Target, count: number): Promise<SmtpClient[]> {
  const clients: SmtpClient[] = []
  while (clients.length < count) {
    const client = await enter(target)
    assert.ok(typeof client !== 'string', `session ${clients.length + 1} of ${count}: ${String(client)}`)
    clients.push(client)
  }
  return clients
}

const leave = (clients: SmtpClient[]) => Promise.all(clients.map((client) => client.quit()))

async function nobodyHere(): Promise<void> {
  await until('no sessions', async () => (await status()).sessions === 0)
}

/** Each with a reload that makes it short at once, whatever this machine has. */
const shortages: readonly (Wishes & { resource: RegExp; code: string })[] = [
  { resource: /^memory$/, code: '451 4.3.2', more: throttle('memory wait 1M refuse 1M relief 1M;') },
  {
    resource: /^disk-space$/,
    code: '452 4.3.1',
    qmgr: 'retry 1h; min-free-space 1T;',
    more: throttle('disk-space wait 999999% refuse 999999% relief 999999%;'),
  },
  {
    resource: /^inodes$/,
    code: '452 4.3.1',
    more: throttle(`inodes wait ${MOST_INODES} refuse ${MOST_INODES} relief ${MOST_INODES};`),
  },
  { resource: /^lag \S+$/, code: '451 4.3.2', more: throttle('lag wait 0 refuse 0 relief 0;') },
]

function hasFewInodes(): boolean {
  const { ffree, files } = statfsSync(posthorn.paths.spool)
  return files > 0 && ffree < MOST_INODES
}

function throttle(statements: string): string {
  return `throttle { longest-wait ${LONGEST_WAIT_MS}ms; ${statements} };`
}

for (const { resource, code, ...wishes } of shortages) {
  test(`${resource.source}: new mail is refused until it is relieved`, { timeout }, async (t) => {
    if (resource.test('inodes') && !hasFewInodes()) return t.skip('SKIPPED: no end of inodes here')
    const open = await openSession(mx())
    await reload(wishes)
    const short = async () => {
      const seen = await status()
      return seen.intake === 'refuse' && resource.test(seen.reason) && seen
    }
    const seen = await until(`${resource} to be short`, short)
    const one = stateOf(seen, seen.reason)
    assert.equal(one?.state, 'refuse')
    assert.ok(one.since <= Date.now() && one.since > Date.now() - timeout, 'since when')
    assert.match((await posthorn.command('status')).stdout, /new mail is refused: \S/)
    await until('MAIL to be refused', async () => {
      const { code: said, enhanced, text } = await open.say('MAIL FROM:<x@client.example>')
      if (said === 250) await open.say('RSET')
      return `${said} ${enhanced}` === code && text.includes(seen.reason)
    })
    await open.quit()
    await reload({})
    await welcomed()
    await posthorn.logged(new RegExp(`"resource":"${seen.reason}","from":"refuse","to":"go"`))
  })
}

test('while a resource only makes wait, sessions wait before the greeting and go on when it is relieved', {
  timeout,
}, async () => {
  const open = await openSession(mx())
  await reload({ more: throttle('memory wait 1M refuse 1T relief 1M;') })
  await until('waiting', async () => (await status()).intake === 'wait')
  const client = await connectTo(mx())
  let greeted = false
  const greeting = client.reply().finally(() => {
    greeted = true
  })
  await until('one to wait', async () => (await status()).waitingSessions === 1)
  assert.equal((await open.say('MAIL FROM:<x@client.example>')).code, 250, 'who is in goes on')
  assert.equal((await posthorn.sendmail('Subject: x\n\nx\n', 'anna@local.example')).code, 0, 'local reserve')
  assert.equal(greeted, false)
  await reload({})
  assert.equal((await greeting).code, 220)
  await leave([client, open])
  await welcomed()
})

test('who waits too long is sent away', { timeout }, async () => {
  await reload({ more: 'throttle { longest-wait 100ms; memory wait 1M refuse 1T relief 1M; };' })
  await until('waiting', async () => (await status()).intake === 'wait')
  const reply = await (await connectTo(mx())).reply()
  assert.deepEqual([reply.code, reply.enhanced], [421, '4.3.2'])
  assert.match(reply.text, /too busy.*memory/)
  await reload({})
  await welcomed()
})

test('messages accepted in a second', { timeout }, async () => {
  await reload({ more: throttle('intake-rate wait 2/s refuse 2/s relief 1/s;') })
  const refused = async () => (await send(['anna@local.example'])).code === 451
  await until('a refusal', refused)
  await until('no refusal', async () => !(await refused()))
  await reload({})
  await welcomed()
})

test('mail that comes in faster than it goes out', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'mail' ? 'hang' : null))
  await reload({
    qmgr: 'retry 1h; active-entries 10;',
    more: throttle('active-entries wait 150% refuse 200% relief 100%;'),
  })
  const before = sink.mails.length
  let accepted = 0
  const refused = async () => {
    const { code, text } = await send(['far@relay.example'])
    if (code === 250) accepted++
    return code !== 250 && text
  }
  assert.match(await until('a refusal', refused), /^4\.3\.2 .*active-entries/)
  assert.ok(accepted >= 20, `${accepted} were taken`)
  sink.setAnswer(() => null)
  await reload({})
  process.kill(posthorn.worker('smtpc'), 'SIGKILL') // its connections hang for ever
  assert.equal((await posthorn.command('queue', 'flush')).code, 0)
  await sink.received(before + accepted)
  await posthorn.queueEmpty()
  await welcomed()
})

test('places are kept for local programs when the network has taken all others, and the reverse', {
  timeout,
}, async () => {
  const { submit } = posthorn.paths
  await nobodyHere()
  await reload({
    qmgr: 'retry 1h; session-limit 10; local-reserve 20%; remote-reserve 30%;',
    more: throttle('sessions wait 100% refuse 100% relief 100%;'),
  })
  const remote = await fill(mx(), 8)
  assert.equal(await enter(mx()), '421 4.3.2')
  const local = await fill(submit, 2)
  assert.equal(await enter(submit), '421 4.3.2')
  const seen = await status()
  assert.deepEqual([seen.sessions, seen.localSessions], [10, 2])
  const isRefused = async () => stateOf(await status(), 'sessions')?.state === 'refuse'
  await until('the resource to say so', isRefused)
  await leave([...remote, ...local])
  await nobodyHere()
  const locals = await fill(submit, 7)
  assert.equal(await enter(submit), '421 4.3.2')
  const remotes = await fill(mx(), 3)
  assert.equal(await enter(mx()), '421 4.3.2')
  await leave([...locals, ...remotes])
  await nobodyHere()
  await reload({
    qmgr: 'retry 1h; session-limit 10;',
    more: throttle('sessions wait 50% refuse 90% relief 30%;'),
  })
  const few = await fill(mx(), 5)
  const sixth = await connectTo(mx())
  await until('one to wait', async () => (await status()).waitingSessions === 1)
  await leave(few)
  assert.equal((await sixth.reply()).code, 220, 'as soon as there is a place')
  await sixth.quit()
  await reload({})
  await welcomed()
})

test('a destination with too much mail waiting is refused at RCPT, and no other', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
  await reload({ qmgr: 'retry 1h; destination-backlog 20;' })
  const many = (count: number) => Array.from({ length: count }, (_, n) => `r${n}@relay.example`)
  const rcpt = async (to: string) => {
    const session = await openSession(mx())
    await session.say('MAIL FROM:<x@client.example>')
    const { code, enhanced } = await session.say(`RCPT TO:<${to}>`)
    await session.quit()
    return `${code} ${enhanced}`
  }
  const full = async () => (await rcpt('far@relay.example')) === '452 4.3.1'
  const free = async () => (await rcpt('far@relay.example')) === '250 2.1.5'
  const queue = async (...words: string[]) => {
    const { code, stderr } = await posthorn.command('queue', ...words)
    assert.equal(code, 0, stderr)
  }
  assert.equal((await send(many(19))).code, 250)
  assert.equal(await rcpt('far@relay.example'), '250 2.1.5', 'one more')
  assert.equal((await send(many(1))).code, 250)
  await until('it to be full', full)
  assert.equal(await rcpt('anna@local.example'), '250 2.1.5')
  assert.equal((await status()).fullDestinations.length, 1)
  assert.match((await posthorn.command('status')).stdout, /Destinations that take no more:\n/)
  await until('all to wait', async () => (await status()).deferred === 20)
  // every way in which waiting mail becomes less, and more again
  await queue('remove', '--recipient', 'r1*')
  await until('room after remove', free)
  await queue('restore', '--all')
  await until('it to be full after restore', full)
  process.kill(posthorn.worker('qmgr'), 'SIGKILL')
  await until('it to be full after a restart of qmgr', full)
  sink.setAnswer(() => null)
  await queue('flush')
  await posthorn.queueEmpty()
  await until('room after delivery', free)
  assert.deepEqual((await status()).fullDestinations, [])
})
