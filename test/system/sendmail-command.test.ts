/** The built sendmail against a server of the test's own on a unix socket, which misbehaves on request. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeRig, root } from '../support/worker.ts'
import { openServer, sendmail } from './sendmail-stage.ts'

const timeout = 120_000
const command = join(root, 'dist/commands/sendmail.js')

test('a message goes over, silently, with an empty environment', { timeout }, async (t) => {
  const server = await openServer(t)
  const argv = ['--socket', server.path, '-i', '-f', 'ann@x.org', 'bob@y.org', 'root']
  const result = await sendmail(argv, { input: 'To: bob\nBcc: secret@y.org\n\nline\n.\n.dot\nno newline' })
  assert.deepEqual(result, { code: 0, out: '', err: '' })
  assert.deepEqual(server.received, [
    {
      envelope: ['MAIL FROM:<ann@x.org> SIZE=36', 'RCPT TO:<bob@y.org>', 'RCPT TO:<root>'],
      content: 'To: bob\r\n\r\nline\r\n.\r\n.dot\r\nno newline\r\n',
    },
  ])
})

test('-t with recipients in the header and beside it; the caller is the sender', { timeout }, async (t) => {
  const server = await openServer(t)
  const input = 'To: Bob <bob@y.org>\r\nCc: cyd@y.org\r\nBcc: dan@y.org\r\n\r\n\xc3\xbc\r\n'
  const result = await sendmail(['-t', '-FAnn Bee', 'eve@y.org', 'bob@y.org'], {
    input: Buffer.from(input, 'latin1'),
    env: { POSTHORN_SOCKET: server.path },
  })
  assert.equal(result.code, 0, result.err)
  const [mail] = server.received
  assert.match(mail?.envelope[0] ?? '', /^MAIL FROM:<[^>]+> SIZE=\d+ BODY=8BITMIME$/)
  assert.deepEqual(
    mail?.envelope.slice(1),
    ['eve', 'bob', 'cyd', 'dan'].map((name) => `RCPT TO:<${name}@y.org>`),
  )
  assert.match(mail?.content ?? '', /^From: Ann Bee <[^>]+>\r\nTo: Bob <bob@y.org>\r\nCc: cyd@y.org\r\n\r\n/)
})

test('what is wrong with the call: 64 and 65, before anything is sent', { timeout }, async (t) => {
  const server = await openServer(t)
  const exits = async (argv: string[], input = '\n') => {
    const { code, err } = await sendmail(['--socket', server.path, ...argv], { input })
    assert.equal(err.split('\n').length, 2, err)
    return code
  }
  assert.equal(await exits([]), 64)
  assert.equal(await exits(['-t'], 'Subject: nobody\n\n'), 64)
  assert.equal(await exits(['-Z', 'root']), 64)
  assert.equal(await exits(['-bd']), 64)
  assert.equal(await exits(['a@y.org\r\nDATA']), 64)
  assert.equal(await exits(['two words']), 65)
  assert.equal(await exits(['-t'], 'To: ann+"x"@y.org\n\n'), 65)
  assert.deepEqual(server.commands, [])
})

const verdicts: [string, (line: string) => string | null, number, RegExp][] = [
  [
    'unknown user',
    (line) => (line.startsWith('RCPT') ? '550 5.1.1 no such user' : null),
    67,
    /<bob@y.org>: 550 5.1.1 no such user/,
  ],
  ['unknown domain', (line) => (line.startsWith('RCPT') ? '550 5.1.2 no such domain' : null), 68, /5\.1\.2/],
  ['policy', (line) => (line.startsWith('MAIL') ? '550 5.7.1 not you' : null), 77, /5\.7\.1/],
  ['too large', (line) => (line === 'DOT' ? '552 5.3.4 too big' : null), 65, /552/],
  ['put off', (line) => (line === 'DOT' ? '451 4.3.0 later' : null), 75, /451 4\.3\.0 later/],
  ['refused', (line) => (line === 'DATA' ? '554 5.3.0 no' : null), 69, /554/],
  ['garbage', (line) => (line === 'CONNECT' ? 'SSH-2.0-OpenSSH_9.2' : null), 76, /not an SMTP server/],
  ['lost after the dot', (line) => (line === 'DOT' ? 'close' : null), 75, /may have been accepted/],
  ['says nothing', (line) => (line === 'CONNECT' ? 'hang' : null), 75, /no answer in time/],
  ['stops talking', (line) => (line.startsWith('MAIL') ? 'hang' : null), 75, /no answer in time/],
]
for (const [what, answer, code, text] of verdicts) {
  test(`${what}: ${code} and one line`, { timeout }, async (t) => {
    const server = await openServer(t, answer)
    const result = await sendmail(['--socket', server.path, '--timeout', '1', 'bob@y.org'])
    assert.equal(result.code, code, result.err)
    assert.match(result.err, text)
    assert.equal(result.err.split('\n').length, 2)
    assert.deepEqual(server.received, [])
  })
}

test('one good and one bad recipient: delivered once, 67', { timeout }, async (t) => {
  const server = await openServer(t, (line) => (line.includes('<bad@') ? '550 5.1.1 no' : null))
  const result = await sendmail(['--socket', server.path, 'good@y.org', 'bad@y.org'])
  assert.equal(result.code, 67)
  assert.match(result.err, /^sendmail: <bad@y.org>: 550 5.1.1 no\n$/)
  assert.equal(server.received.length, 1)
})

test('no server: 75 after the retry window', { timeout }, async (t) => {
  const rig = makeRig()
  t.after(rig.close)
  const result = await sendmail(['--socket', join(rig.directory, 'none'), '--wait', '0.3', 'bob@y.org'])
  assert.equal(result.code, 75)
  assert.match(result.err, /cannot reach the mail server at .* \(ENOENT\)/)
})

test('a server on its way up is waited for', { timeout }, async (t) => {
  const rig = makeRig()
  t.after(rig.close)
  const path = join(rig.directory, 'later.sock')
  const result = sendmail(['--socket', path, '--wait', '30', 'bob@y.org'])
  await new Promise((resolve) => setTimeout(resolve, 300)) // let it find nobody first
  let greetings = 0
  const server = await openServer(
    t,
    (line) => (line === 'CONNECT' && ++greetings < 3 ? '421 4.3.2 wait' : null),
    path,
  )
  assert.deepEqual(await result, { code: 0, out: '', err: '' })
  assert.equal(server.received.length, 1)
})

test('a message past the read-ahead is streamed whole', { timeout }, async (t) => {
  const server = await openServer(t)
  const body = `${'.x'.repeat(35)}\n`.repeat(30_000)
  const result = await sendmail(['--socket', server.path, '-i', 'bob@y.org'], {
    input: `Subject: x\n\n${body}`,
  })
  assert.deepEqual(result, { code: 0, out: '', err: '' })
  assert.equal(server.received[0]?.content, `Subject: x\r\n\r\n${body.replaceAll('\n', '\r\n')}`)
  assert.doesNotMatch(server.received[0]?.envelope[0] ?? '', /SIZE=/)
})

test('an endless message ends at the server’s limit: 65', { timeout }, async (t) => {
  const server = await openServer(t)
  const input = Buffer.concat([Buffer.from('Subject: x\n\n'), Buffer.alloc(20 << 20, 'x')])
  const result = await sendmail(['--socket', server.path, 'bob@y.org'], { input })
  assert.equal(result.code, 65)
  assert.match(result.err, /too large: 3000000 octets are allowed/)
  assert.deepEqual(server.received, [])
})

test('fifty at once: each is accepted once', { timeout }, async (t) => {
  const server = await openServer(t)
  const one = (n: number) => sendmail(['--socket', server.path, 'bob@y.org'], { input: `Subject: ${n}\n\n` })
  const numbers = Array.from({ length: 50 }, (_none, n) => n)
  for (const { code } of await Promise.all(numbers.map(one))) assert.equal(code, 0)
  const subjects = server.received.map(({ content }) => Number(/Subject: (\d+)/.exec(content)?.[1]))
  assert.deepEqual(
    subjects.sort((a, b) => a - b),
    numbers,
  )
})

test('it loads no native module and nothing that only a server needs', () => {
  const text = readFileSync(command, 'utf8')
  const imports = [...text.matchAll(/^import .* from "([^"]+)"/gm)].map(([, name]) => name)
  const allowed = ['node:fs', 'node:net', 'node:os', 'node:path']
  assert.deepEqual(new Set(imports), new Set(allowed))
})

test('an unreadable message is 74', { timeout }, async (t) => {
  const server = await openServer(t)
  const child = spawn(
    '/bin/sh',
    ['-c', `exec "$0" "$1" --socket "$2" bob@y.org < /`, process.execPath, command, server.path],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let err = ''
  child.stderr.on('data', (chunk) => {
    err += String(chunk)
  })
  const [code] = await once(child, 'close')
  assert.equal(code, 74, err)
  assert.match(err, /cannot read the message \(EISDIR\)/)
})
