/** -odi: the first attempt is waited for, and its verdict is what sendmail leaves with. And -bv, which never sends. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type Result, sendmail } from './sendmail-stage.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000
const OK = { code: 0, out: '', err: '' }

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 1h;' }),
      users: ['ann'],
    })
  },
  { timeout },
)

beforeEach(() =>
  sink.setAnswer((stage, who) => {
    if (stage !== 'rcpt') return null
    if (who.startsWith('gone')) return '550 5.1.1 no such user'
    return who.startsWith('busy') ? '451 4.2.1 mailbox busy' : null
  }),
)

after(
  async () => {
    // the host that said nothing first, or the server waits for its reply as long as it may
    await sink.close()
    await posthorn.stop()
  },
  { timeout },
)

function send(...argv: string[]): Promise<Result> {
  const words = ['--socket', posthorn.paths.submit, '-f', 'ann@local.example', ...argv]
  return sendmail(words, { input: 'Subject: x\n\nbody\n' })
}

const mailsOfAnn = () => maildirFiles(posthorn.maildir('ann')).length
const empty = async () => assert.deepEqual(await posthorn.queue(), [])

test('delivered: 0, and it is there already', { timeout }, async () => {
  const before = [sink.mails.length, mailsOfAnn()] as const
  assert.deepEqual(await send('-odi', 'there@relay.example', 'ann@local.example'), OK)
  assert.deepEqual([sink.mails.length, mailsOfAnn()], [before[0] + 1, before[1] + 1])
  await empty()
})

test('refused by the next host: 67 in its words, and no report', { timeout }, async () => {
  const before = mailsOfAnn()
  const result = await send('-odi', 'gone@relay.example')
  assert.equal(result.code, 67)
  assert.match(result.err, /^sendmail: <gone@relay\.example>: 550 5\.1\.1 no such user\n$/)
  await empty()
  assert.equal(mailsOfAnn(), before)
})

test('one good, one bad: delivered once, the bad one named, and no report', { timeout }, async () => {
  const before = [sink.mails.length, mailsOfAnn()]
  const result = await send('-odi', 'there@relay.example', 'gone@relay.example')
  assert.equal(result.code, 67)
  assert.match(result.err, /^sendmail: <gone@relay\.example>: 550 5\.1\.1 no such user\n$/)
  await empty()
  assert.deepEqual([sink.mails.length, mailsOfAnn()], [(before[0] ?? 0) + 1, before[1]])
})

test('put off: 0, for the queue has it', { timeout }, async () => {
  assert.deepEqual(await send('-odi', 'busy@relay.example'), OK)
  const rows = await posthorn.queue()
  assert.deepEqual(
    rows.map(({ recipient, state, attempts }) => [recipient, state, attempts]),
    [['busy@relay.example', 'deferred', 1]],
  )
  await posthorn.command('queue', 'remove', '--all', '--for-good')
})

test('a host that says nothing: 0 when the time is over, for the queue has it', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'dot' ? 'hang' : null))
  assert.deepEqual(await send('-odi', '--timeout', '4', 'slow@relay.example'), OK)
  assert.equal((await posthorn.queue()).length, 1)
  sink.setAnswer(() => null)
})

test('without -odi a refusal comes as a report', { timeout }, async () => {
  const before = mailsOfAnn()
  assert.deepEqual(await send('gone@relay.example'), OK)
  await posthorn.logged(/gone@relay\.example.*"verdict":"fail"/)
  await mailsIn(posthorn.maildir('ann'), before + 1)
})

test('-v shows what was said, and the fate of each', { timeout }, async () => {
  const { code, out, err } = await send('-odi', '-v', 'there@relay.example', 'gone@relay.example')
  assert.equal(code, 67)
  assert.match(out, /^220 mx\.posthorn\.example/)
  assert.match(out, /^>>> MAIL FROM:<ann@local\.example> .*VERDICT=120$/m)
  assert.match(out, /<there@relay\.example> sent: 250/)
  assert.equal(err.split('\n').length, 2)
})

test('-oeq: the exit code alone', { timeout }, async () => {
  assert.deepEqual(await send('-odi', '-oeq', 'gone@relay.example'), { code: 67, out: '', err: '' })
  assert.deepEqual(await send('-eq', 'nobody@local.example'), { code: 67, out: '', err: '' })
})

test('-bv says what the server thinks of each address, and sends nothing', { timeout }, async () => {
  const before = [sink.mails.length, mailsOfAnn()]
  const result = await send('-bv', 'ann@local.example', 'nobody@local.example', 'who@relay.example')
  assert.equal(result.code, 67)
  assert.match(result.out, /^<ann@local\.example>: 250 2\.1\.5 .*\n<who@relay\.example>: 250 2\.1\.5 .*\n$/)
  assert.match(result.err, /^sendmail: <nobody@local\.example>: 550 5\.1\.1 .*\n$/)
  assert.equal((await send('-bv', 'ann@local.example')).code, 0)
  assert.equal((await send('-bv')).code, 64)
  assert.deepEqual([sink.mails.length, mailsOfAnn()], before)
})

test('one good and one bad recipient here: delivered once, 67, the bad one named', { timeout }, async () => {
  const before = mailsOfAnn()
  const result = await send('-odi', 'ann@local.example', 'nobody@local.example')
  assert.equal(result.code, 67)
  assert.match(result.err, /^sendmail: <nobody@local\.example>: 550 5\.1\.1 .*\n$/)
  assert.equal(mailsOfAnn(), before + 1)
})
