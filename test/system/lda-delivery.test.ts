/** The real lda process, its bus connection a socketpair as mcp makes it, the test in qmgr's place. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CONTENT_CHUNK, CONTENT_WINDOW, type Configure, type Payload } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import { makeRig, playHub, type Rig, startWorker, type TestWorker } from '../support/worker.ts'

const timeout = 60_000
const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

interface Stage {
  rig: Rig
  worker: TestWorker
  qmgr: Peer
  credit: Map<number, number>
  home: string
  deliver: (more?: Partial<Payload<'deliver'>>, user?: { uid: number; gid: number }) => Payload<'deliver'>
}

async function setStage(t: TestContext, idle = 60_000, more: Partial<Configure> = {}): Promise<Stage> {
  const rig = makeRig()
  const credit = new Map<number, number>()
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, {
    'content-credit': ({ stream, octets }) => {
      credit.set(stream, (credit.get(stream) ?? 0) + octets)
    },
  })
  const slice = {
    purpose: 'mailbox' as const,
    hostname: 'mx.example.org',
    qualifyDomain: 'example.org',
    idle,
    commandTimeout: 30_000,
    locks: true,
  }
  const worker = await startWorker('lda', slice, rig, { descriptors: { bus: 4 }, ...more }, (pair) => {
    hub.adopt(pair, { pid: 0, ...own })
  })
  const qmgr = await joined()
  t.after(async () => {
    if (worker.child.exitCode === null) {
      worker.child.kill('SIGTERM')
      await once(worker.child, 'exit')
    }
    hub.close()
    rig.close()
  })
  const home = join(rig.directory, 'home')
  mkdirSync(home, { mode: 0o700 })
  let attempts = 0
  const deliver: Stage['deliver'] = (changes = {}, user = own) => ({
    attempt: ++attempts,
    message: 7,
    sender: 'bob@example.net',
    recipients: [{ n: 0, address: 'ann@example.org' }],
    size: 20,
    body: '7bit',
    smtputf8: false,
    route: {
      kind: 'local',
      zone: 'example.org',
      destination: `local:${user.uid}`,
      mailbox: { user: 'ann', ...user, home, format: 'maildir', path: join(home, 'Maildir') },
    },
    content: Buffer.from('Subject: x\r\n\r\nbody\r\n'),
    ...changes,
  })
  return { rig, worker, qmgr, credit, home, deliver }
}

function mails(home: string, folder = 'new'): string[] {
  const path = join(home, 'Maildir', folder)
  return readdirSync(path).map((name) => readFileSync(join(path, name), 'latin1'))
}

test('a message lands in new with its trace header and LF line ends', { timeout }, async (t) => {
  const { qmgr, home, deliver } = await setStage(t)
  const answer = await qmgr.request('deliver', deliver())
  assert.deepEqual(
    answer.outcomes.map(({ n, outcome }) => [n, outcome.kind, outcome.reply.enhanced]),
    [[0, 'sent', '2.0.0']],
  )
  assert.deepEqual(mails(home), [
    'Return-Path: <bob@example.net>\nDelivered-To: ann@example.org\nSubject: x\n\nbody\n',
  ])
  assert.deepEqual(mails(home, 'tmp'), [])
})

test('several recipients: one copy for each final address', { timeout }, async (t) => {
  const { qmgr, home, deliver } = await setStage(t)
  const recipients = [
    { n: 0, address: 'ann@example.org' },
    { n: 5, address: 'ann@example.org', original: 'info@example.org' },
    { n: 6, address: 'ann+x@example.org' },
  ]
  const answer = await qmgr.request('deliver', deliver({ recipients }))
  assert.deepEqual(answer.outcomes.map(({ n, outcome }) => [n, outcome.kind]).sort(), [
    [0, 'sent'],
    [5, 'sent'],
    [6, 'sent'],
  ])
  assert.equal(mails(home).length, 2)
})

test('500 at once all arrive, each once', { timeout }, async (t) => {
  const { qmgr, home, deliver } = await setStage(t)
  const content = (n: number) => Buffer.from(`Subject: ${n}\r\n\r\nbody\r\n`)
  const numbers = Array.from({ length: 500 }, (_none, n) => n)
  const answers = await Promise.all(
    numbers.map((n) => qmgr.request('deliver', deliver({ content: content(n) }))),
  )
  for (const answer of answers) assert.equal(answer.outcomes[0]?.outcome.kind, 'sent')
  const subjects = mails(home).map((mail) => Number(/Subject: (\d+)/.exec(mail)?.[1]))
  assert.deepEqual(
    subjects.sort((a, b) => a - b),
    numbers,
  )
})

/** Sends `octets` as qmgr does: never more under way than the credit allows. */
async function stream(stage: Stage, attempt: number, octets: Buffer, stopAt = octets.length): Promise<void> {
  const { qmgr, credit } = stage
  for (let sent = 0; sent < stopAt; ) {
    while (sent + CONTENT_CHUNK > CONTENT_WINDOW + (credit.get(attempt) ?? 0))
      await new Promise((resolve) => setImmediate(resolve))
    const data = octets.subarray(sent, sent + CONTENT_CHUNK)
    sent += data.length
    qmgr.send('content-chunk', { stream: attempt, data, ...(sent >= octets.length && { last: true }) })
  }
}

test('a large message streams through the credit window', { timeout }, async (t) => {
  const stage = await setStage(t)
  const line = `${'x'.repeat(70)}\r\n`
  const body = Buffer.from(line.repeat(Math.ceil((8 << 20) / line.length)))
  const request = stage.deliver({ content: null, size: body.length })
  const answer = stage.qmgr.request('deliver', request)
  await stream(stage, request.attempt, body)
  assert.equal((await answer).outcomes[0]?.outcome.kind, 'sent')
  const [mail = ''] = mails(stage.home)
  assert.equal(mail.split('\n').length, body.toString().split('\n').length + 2)
  assert.equal(mail.includes('\r'), false)
})

test('a cancelled stream leaves nothing and is nobody’s fault', { timeout }, async (t) => {
  const stage = await setStage(t)
  const request = stage.deliver({ content: null })
  const answer = stage.qmgr.request('deliver', request)
  await stream(stage, request.attempt, Buffer.alloc(300_000, 'a'), 200_000)
  stage.qmgr.send('deliver-cancel', { attempt: request.attempt })
  const { outcome } = (await answer).outcomes[0] ?? {}
  assert.equal(outcome?.kind === 'later' && outcome.blame, 'ours')
  assert.deepEqual(mails(stage.home), [])
  assert.deepEqual(mails(stage.home, 'tmp'), [])
})

test('a queue manager that dies in mid-stream leaves nothing half-written', { timeout }, async (t) => {
  const stage = await setStage(t)
  const request = stage.deliver({ content: null })
  const answer = stage.qmgr.request('deliver', request).catch(() => 'lost')
  await stream(stage, request.attempt, Buffer.alloc(300_000, 'a'), 200_000)
  await stage.qmgr.request('deliver', stage.deliver()) // so the pieces before it have been taken
  stage.qmgr.destroy('gone') // the hub has taken the handle of the pair over
  const [code] = await once(stage.worker.child, 'exit')
  assert.equal(code, 0)
  assert.equal(await answer, 'lost')
  assert.equal(mails(stage.home).length, 1)
  assert.deepEqual(mails(stage.home, 'tmp'), [])
})

test('a mailbox of another uid is refused, and the error says so', { timeout }, async (t) => {
  const { qmgr, worker, home, deliver } = await setStage(t)
  const answer = await qmgr.request('deliver', deliver({}, { uid: own.uid + 1, gid: own.gid }))
  const { outcome } = answer.outcomes[0] ?? {}
  assert.equal(outcome?.kind === 'later' && outcome.blame, 'ours')
  assert.deepEqual(readdirSync(home), [])
  assert.match(worker.output(), /"level":"error".*delivery for another user refused/)
})

test('a missing home is later, and heals', { timeout }, async (t) => {
  const { qmgr, home, deliver } = await setStage(t)
  const elsewhere = join(home, 'not/yet')
  const request = () => {
    const made = deliver()
    if (made.route.kind === 'local') {
      made.route.mailbox.home = elsewhere
      made.route.mailbox.path = join(elsewhere, 'Maildir')
    }
    return made
  }
  const before = await qmgr.request('deliver', request())
  const { outcome } = before.outcomes[0] ?? {}
  assert.equal(outcome?.kind === 'later' && outcome.blame, 'recipient')
  mkdirSync(elsewhere, { recursive: true })
  const after = await qmgr.request('deliver', request())
  assert.equal(after.outcomes[0]?.outcome.kind, 'sent')
})

test('it leaves by itself when there is nothing to do, after answering', { timeout }, async (t) => {
  const { qmgr, worker, deliver } = await setStage(t, 300)
  const left = once(worker.child, 'exit')
  const answer = await qmgr.request('deliver', deliver())
  assert.equal(answer.outcomes[0]?.outcome.kind, 'sent')
  assert.deepEqual(await left, [0, null])
})

test('draining answers what is in hand first', { timeout }, async (t) => {
  const { qmgr, worker, home, deliver } = await setStage(t)
  const answers = Array.from({ length: 50 }, () => qmgr.request('deliver', deliver()))
  await answers[0]
  const left = worker.drain()
  const settled = await Promise.allSettled(answers)
  assert.equal(await left, 0)
  const answered = settled.flatMap((one) => (one.status === 'fulfilled' ? one.value.outcomes : []))
  assert.ok(answered.every(({ outcome }) => outcome.kind === 'sent'))
  assert.equal(mails(home).length, answered.length, 'what was not answered was not delivered')
})

const mount = own.uid === 0 && spawnSync('mount', ['--version']).status === 0 ? false : 'needs root and mount'

test('a full disk: later, nothing left behind, and it heals by itself', {
  timeout,
  skip: mount,
}, async (t) => {
  const stage = await setStage(t)
  const { qmgr, home, deliver } = stage
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'posthorn-test', home])
  if (mounted.status !== 0) return t.skip(`mount is not allowed here: ${String(mounted.stderr)}`)
  t.after(() => spawnSync('umount', [home]))
  writeFileSync(join(home, 'ballast'), Buffer.alloc(900_000))
  const content = Buffer.alloc(300_000, 'x')
  const whole = (await qmgr.request('deliver', deliver({ content }))).outcomes[0]?.outcome
  assert.deepEqual([whole?.kind, whole?.reply.enhanced], ['later', '4.3.1'])
  const request = deliver({ content: null })
  const answer = qmgr.request('deliver', request)
  await stream(stage, request.attempt, content)
  assert.equal((await answer).outcomes[0]?.outcome.reply.enhanced, '4.3.1')
  assert.deepEqual([mails(home), mails(home, 'tmp')], [[], []])
  rmSync(join(home, 'ballast'))
  const healed = (await qmgr.request('deliver', deliver({ content }))).outcomes[0]?.outcome
  assert.equal(healed?.kind, 'sent')
  spawnSync('umount', [home])
})

const rootOnly = own.uid === 0 ? false : 'needs root'

test('as a user of its own: files are that user’s, foreign places closed', {
  timeout,
  skip: rootOnly,
}, async (t) => {
  const user = { uid: 65_533, gid: 65_533 }
  const { qmgr, rig, home, deliver, worker } = await setStage(t, 60_000, {
    become: { user: 'nobody', ...user },
  })
  chmodSync(rig.directory, 0o755)
  const shut = await qmgr.request('deliver', deliver({}, user))
  const { outcome } = shut.outcomes[0] ?? {}
  assert.equal(outcome?.kind === 'later' && outcome.reply.enhanced, '4.2.0')
  chownSync(home, user.uid, user.gid)
  const open = await qmgr.request('deliver', deliver({}, user))
  assert.equal(open.outcomes[0]?.outcome.kind, 'sent')
  const [name = ''] = readdirSync(join(home, 'Maildir/new'))
  assert.equal(statSync(join(home, 'Maildir/new', name)).uid, user.uid)
  assert.match(
    readFileSync(`/proc/${worker.child.pid}/status`, 'utf8'),
    /^Uid:\s65533\s65533\s65533\s65533$/m,
  )
})
