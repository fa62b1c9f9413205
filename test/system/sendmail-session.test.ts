/** -bs, a whole session over standard input and output; and servers that are away, slow or silent. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'
import { openServer, resultOf, sendmail, startSendmail } from './sendmail-stage.ts'

let posthorn: Posthorn
const timeout = 180_000

before(
  async () => {
    posthorn = await startPosthorn({ config: (paths) => testConfig(paths), users: ['ann', 'bob'] })
  },
  { timeout },
)
after(async () => void (await posthorn.stop()), { timeout })

const GOOD = [
  'EHLO me',
  'MAIL FROM:<x@local.example>',
  'RCPT TO:<nobody@local.example>',
  'RCPT TO:<ann@local.example>',
  'DATA',
]

test('-bs as Symfony does it: each reply is awaited, same rules, one mail', { timeout }, async () => {
  const child = startSendmail(['-bs', '--socket', posthorn.paths.submit])
  let heard = ''
  child.stdout?.on('data', (chunk) => {
    heard += String(chunk)
  })
  const result = resultOf(child)
  const reply = (pattern: RegExp) =>
    until(`${pattern} in ${heard}`, () => {
      const found = pattern.exec(heard)
      if (found) heard = heard.slice(found.index + found[0].length)
      return found !== null
    })
  await reply(/^220 .*\r\n/)
  const answers = [
    /250 [^\r]*\r\n$/,
    /250 2\.1\.0.*\r\n/,
    /550 5\.1\.1.*\r\n/,
    /250 2\.1\.5.*\r\n/,
    /354.*\r\n/,
  ]
  for (const [n, answer] of answers.entries()) {
    child.stdin?.write(`${GOOD[n]}\r\n`)
    await reply(answer)
  }
  child.stdin?.write('Subject: by -bs\r\n\r\n..\r\n.\r\n')
  await reply(/250 2\.0\.0.*\r\n/)
  child.stdin?.write('QUIT\r\n')
  await reply(/221.*\r\n/)
  assert.equal((await result).code, 0)
  const [mail] = await mailsIn(posthorn.maildir('ann'), 1)
  assert.match(mail?.content.toString() ?? '', /Subject: by -bs[\s\S]*\n\.\r?\n$/)
})

test('-bs of a caller who hangs up half way: 0, and no mail', { timeout }, async () => {
  const before = maildirFiles(posthorn.maildir('ann')).length
  const input = `${GOOD.join('\r\n')}\r\nSubject: half\r\n\r\nnot all`
  const result = await sendmail(['-bs', '--socket', posthorn.paths.submit], { input })
  assert.equal(result.code, 0, result.err)
  assert.equal(maildirFiles(posthorn.maildir('ann')).length, before)
})

test('-bs without a server: 421 for the client, 75 for its parent', { timeout }, async () => {
  const result = await sendmail(['-bs', '--socket', '/nowhere/at/all', '--wait', '0.2'], { input: '' })
  assert.equal(result.code, 75)
  assert.match(result.out, /^421 4\.3\.2 [^\r\n]*\r\n$/)
  assert.match(result.err, /^sendmail: cannot reach the mail server at \/nowhere\/at\/all \(ENOENT\)\n$/)
})

test('-bs with a server that accepts and says nothing: 75 in time', { timeout }, async (t) => {
  const server = await openServer(t, (line) => (line === 'CONNECT' ? 'hang' : null))
  const child = startSendmail(['-bs', '--socket', server.path, '--timeout', '1'])
  const result = await resultOf(child) // its standard input stays open all the while
  assert.equal(result.code, 75)
  assert.match(result.err, /no answer in time/)
})

test('-bs with a server that falls silent or goes away half way: 75', { timeout }, async (t) => {
  for (const [what, words] of [
    ['hang', /no answer in time/],
    ['close', /connection was lost/],
  ] as const) {
    const server = await openServer(t, (line) => (line.startsWith('MAIL') ? what : null))
    const child = startSendmail(['-bs', '--socket', server.path, '--timeout', '1'])
    child.stdin?.on('error', () => undefined)
    child.stdin?.write('EHLO me\r\nMAIL FROM:<x@y>\r\n')
    const result = await resultOf(child)
    assert.equal(result.code, 75)
    assert.match(result.err, words)
  }
})

test('a server that is being restarted is waited for, and the message is there once', {
  timeout,
}, async () => {
  const before = maildirFiles(posthorn.maildir('bob')).length
  const { directory } = posthorn.paths
  await posthorn.stop(true)
  const argv = ['--socket', posthorn.paths.submit, '--wait', '60', 'bob@local.example']
  const waiting = sendmail(argv)
  const session = sendmail(['-bs', ...argv.slice(0, 4)], { input: 'EHLO me\r\nQUIT\r\n' })
  posthorn = await startPosthorn({ config: (paths) => testConfig(paths), users: ['ann', 'bob'], directory })
  assert.deepEqual(await waiting, { code: 0, out: '', err: '' })
  assert.match((await session).out, /^220 [\s\S]*221 /)
  await mailsIn(posthorn.maildir('bob'), before + 1)
  await posthorn.queueEmpty()
  assert.equal(maildirFiles(posthorn.maildir('bob')).length, before + 1)
})
