/**
 * sendmail -t where the server reads the header (RCPTHDR): the real command, the whole of Posthorn, on a listener that
 * adds the command line and on one that takes it away.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type Result, sendmail } from './sendmail-stage.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000
const OK = { code: 0, out: '', err: '' }
const removing = () => join(posthorn.paths.run, 'exim.sock')

before(
  async () => {
    sink = await openSink((stage, who) => {
      if (stage !== 'rcpt') return null
      return who.startsWith('gone') ? '550 5.1.1 no such user' : null
    })
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          options: 'qualify-domain "relay.example";',
          more: 'listener "exim" { socket "exim.sock"; t-arguments remove; };',
        }),
      users: ['anna'],
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

function send(input: string, ...argv: string[]): Promise<Result> {
  return sendmail(['--socket', posthorn.paths.submit, '-t', ...argv], { input })
}

function sendRemoving(input: string, ...argv: string[]): Promise<Result> {
  return sendmail(['--socket', removing(), '-t', ...argv], { input })
}

async function lastMail(count: number): Promise<{ to: string[]; text: string }> {
  const mail = (await sink.received(count)).at(-1)
  assert.ok(mail)
  return { to: mail.to.toSorted((a, b) => a.localeCompare(b)), text: mail.content.toString('latin1') }
}

test('the command asks the server, which reads the header, Bcc too, and takes that out', {
  timeout,
}, async () => {
  const before = sink.mails.length
  const { code, out, err } = await send('To: a\nBcc: b\nSubject: x\n\nbody\n', '-v', 'c@relay.example')
  assert.deepEqual([code, err], [0, ''])
  assert.match(out, /^>>> MAIL FROM:<[^>]+> .*RCPTHDR$/m)
  assert.deepEqual(out.match(/^>>> RCPT .*$/gm), ['>>> RCPT TO:<c@relay.example>'])
  const { to, text } = await lastMail(before + 1)
  assert.deepEqual(to, ['a@relay.example', 'b@relay.example', 'c@relay.example'])
  assert.doesNotMatch(text, /^bcc/im)
})

test('one good and one bad of the header: delivered once, the bad one named, 67', { timeout }, async () => {
  const before = sink.mails.length
  const result = await send('To: a, nobody@local.example\n\nbody\n')
  assert.deepEqual([result.code, result.out], [67, ''])
  assert.match(result.err, /^sendmail: <nobody@local\.example>: 550 5\.1\.1 .*\n$/)
  assert.deepEqual((await lastMail(before + 1)).to, ['a@relay.example'])
  const all = await send('To: nobody@local.example\n\nbody\n')
  assert.equal(all.code, 67)
  assert.match(all.err, /^sendmail: <nobody@local\.example>: 550 5\.1\.1 .*\n$/)
  await posthorn.queueEmpty()
  assert.equal(sink.mails.length, before + 1)
})

test('-odi: refused by the next host, and refused here, both are named', { timeout }, async () => {
  const header = 'To: gone, nobody@local.example'
  for (const more of ['', ', there']) {
    const result = await send(`${header}${more}\n\nbody\n`, '-odi')
    assert.equal(result.code, 67)
    assert.deepEqual(result.err.match(/<[^>]+>: 550/g)?.toSorted(), [
      '<gone@relay.example>: 550',
      '<nobody@local.example>: 550',
    ])
    assert.deepEqual(await posthorn.queue(), [])
  }
})

test('-f <>, and -N: our own parser, and the sender stays null', { timeout }, async () => {
  for (const [words, mail] of [
    [['-f', '<>'], /^>>> MAIL FROM:<> /m],
    [['-N', 'never'], /^>>> RCPT TO:<a> NOTIFY=NEVER$/m],
  ] as const) {
    const before = sink.mails.length
    const { code, out } = await send('To: a\nBcc: b\n\nbody\n', '-v', ...words)
    assert.equal(code, 0)
    assert.match(out, mail)
    assert.doesNotMatch(out, /^>>> MAIL.*RCPTHDR/m)
    const { to, text } = await lastMail(before + 1)
    assert.deepEqual(to, ['a@relay.example', 'b@relay.example'])
    assert.doesNotMatch(text, /^bcc/im)
  }
})

test('a message past the read-ahead loses its Bcc like any other', { timeout }, async () => {
  const before = sink.mails.length
  assert.deepEqual(await send(`To: a\nBcc: b\n\n${`${'.x'.repeat(35)}\n`.repeat(30_000)}`, '-i'), OK)
  const { to, text } = await lastMail(before + 1)
  assert.deepEqual(to, ['a@relay.example', 'b@relay.example'])
  assert.doesNotMatch(text, /^bcc/im)
})

test('t-arguments remove: the command line gets nothing, and need not exist', { timeout }, async () => {
  for (const more of [[], ['-f', '<>'], ['-N', 'never']]) {
    const before = sink.mails.length
    const argv = [...more, 'b@RELAY.example', 'nobody@local.example']
    assert.deepEqual(await sendRemoving('To: a@relay.example, B <b@relay.example>\n\nx\n', ...argv), OK)
    assert.deepEqual((await lastMail(before + 1)).to, ['a@relay.example'])
  }
})

test('t-arguments remove: nobody is left, 64, and nothing is sent', { timeout }, async () => {
  const before = sink.mails.length
  for (const more of [[], ['-f', '<>']]) {
    const result = await sendRemoving('To: a@relay.example\n\nx\n', ...more, 'a@relay.example')
    assert.equal(result.code, 64, result.err)
    assert.equal(result.err.split('\n').length, 2)
  }
  await posthorn.queueEmpty()
  assert.equal(sink.mails.length, before)
  // without -t they are recipients there, too
  assert.deepEqual(await sendmail(['--socket', removing(), 'a@relay.example'], { input: 'S: x\n\n' }), OK)
  assert.deepEqual((await lastMail(before + 1)).to, ['a@relay.example'])
})
