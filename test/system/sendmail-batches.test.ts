/**
 * sendmail with more recipients than a transaction may have: the real command and the whole of Posthorn, and a server
 * that thinks better of it half way.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { openServer, sendmail } from './sendmail-stage.ts'

const timeout = 120_000
const MOST = 100
const OK = { code: 0, out: '', err: '' }
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, { relayPort: sink.port, local: `recipient-limit ${MOST}; message-size-limit 8M;` }),
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

const many = (name: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${name}${String(n).padStart(3, '0')}@relay.example`)

/** Everybody who got it, as often as they did. */
async function gotten(mark: string, count: number): Promise<string[]> {
  await posthorn.queueEmpty()
  const mails = sink.mails.filter(({ content }) => content.includes(mark))
  const to = mails.flatMap((mail) => mail.to).toSorted((a, b) => a.localeCompare(b))
  assert.equal(to.length, count)
  return to
}

test('each gets it once, by words, by the header, and with a message that is read as it goes', {
  timeout,
}, async () => {
  const words = many('word', 250)
  const input = `Subject: one\n\n${'a long body\n'.repeat(150_000)}`
  assert.deepEqual(await sendmail(['--socket', posthorn.paths.submit, ...words], { input }), OK)
  assert.deepEqual(await gotten('Subject: one\r\n', 250), words)
  const bodies = sink.mails.filter(({ content }) => content.includes('Subject: one\r\n'))
  const sha256 = createHash('sha256').update('a long body\r\n'.repeat(150_000)).digest('hex')
  assert.deepEqual([...new Set(bodies.map(({ bodySha256 }) => bodySha256))], [sha256], 'all of the message')

  const named = many('named', 201)
  const header = `To: ${named.slice(0, 100).join(',\n ')}\nBcc: ${named.slice(100).join(',\n ')}\nSubject: two\n\nx\n`
  assert.deepEqual(await sendmail(['--socket', posthorn.paths.submit, '-t'], { input: header }), OK)
  assert.deepEqual(await gotten('Subject: two\r\n', 201), named)
  assert.ok(!sink.mails.some(({ content }) => content.includes('Bcc:')))
})

test('one of them does not exist: named, the others get it once', { timeout }, async () => {
  const words = [...many('good', 150), 'nobody@local.example', ...many('more', 60)]
  const argv = ['--socket', posthorn.paths.submit, ...words]
  const { code, err } = await sendmail(argv, { input: 'Subject: three\n\nx\n' })
  assert.equal(code, 67)
  assert.match(err, /^sendmail: <nobody@local\.example>: 550 5\.1\.1 [^\n]*\n$/)
  assert.deepEqual(
    await gotten('Subject: three\r\n', 210),
    words.filter((one) => one !== 'nobody@local.example'),
  )
})

test('-bv asks about all of them', { timeout }, async () => {
  const { code, out } = await sendmail(['--socket', posthorn.paths.submit, '-bv', ...many('ask', 150)])
  assert.equal(code, 0)
  assert.equal(out.trim().split('\n').length, 150)
})

test('the second transaction is put off: who is left is named, and nobody tries all of it again', {
  timeout,
}, async (t) => {
  let dots = 0
  const server = await openServer(t, (line) => {
    if (line.startsWith('EHLO')) return '250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2'
    if (line === 'DOT') dots++
    return line === 'DOT' && dots === 2 ? '451 4.3.0 not now' : null
  })
  const { code, err } = await sendmail(['--socket', server.path, 'a@x', 'b@x', 'c@x', 'd@x', 'e@x'])
  assert.equal(code, 69)
  for (const left of ['c@x', 'd@x', 'e@x'])
    assert.match(err, new RegExp(`<${left}>: message: 451 4\\.3\\.0 not now`))
  assert.doesNotMatch(err, /<[ab]@x>/)
  assert.match(err, /the others have the message/)
  assert.equal(server.received.length, 1)
})
