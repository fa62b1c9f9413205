/** What becomes of a message on its way through sendmail and the server: the real command, the whole of Posthorn. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink, type SunkMail } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type Result, sendmail } from './sendmail-stage.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000
const OK = { code: 0, out: '', err: '' }

before(
  async () => {
    sink = await openSink()
    const options = 'qualify-domain "relay.example";'
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port, options }),
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

function send(input: string | Buffer, ...argv: string[]): Promise<Result> {
  return sendmail(['--socket', posthorn.paths.submit, ...argv], { input })
}

/** The message that arrives when this is sent; `expected` is asserted of the call. */
async function arrives(input: string | Buffer, ...argv: string[]): Promise<SunkMail & { text: string }> {
  const before = sink.mails.length
  assert.deepEqual(await send(input, ...argv), OK)
  const mail = (await sink.received(before + 1))[before]
  assert.ok(mail)
  return { ...mail, text: mail.content.toString('latin1') }
}

const TO = 'ann@relay.example'
const sorted = (names: readonly string[]) => names.toSorted((a, b) => a.localeCompare(b))
/** Behind the header. */
const bodyOf = ({ text }: { text: string }) => text.slice(text.indexOf('\r\n\r\n') + 4)

test('dots without -i: a lone one ends the message, a doubled one is single', { timeout }, async () => {
  assert.equal(
    bodyOf(await arrives('S: x\n\n..a\n.b\n...\nc..\n.\nnot this\n', TO)),
    '.a\r\n.b\r\n..\r\nc..\r\n',
  )
})

test('dots with -i, -oi and -O IgnoreDots are text', { timeout }, async () => {
  for (const argv of [['-i'], ['-oi'], ['-O', 'IgnoreDots=yes'], ['-ti'], ['-it']]) {
    const mail = await arrives('To: ann@relay.example\n\n..a\n.\nb\n', ...argv, TO)
    assert.equal(bodyOf(mail), '..a\r\n.\r\nb\r\n', argv.join(' '))
  }
})

test('LF, CRLF, CR and any mixture become CRLF; the last line gets its end', { timeout }, async () => {
  const mail = await arrives('S: x\r\nT: y\n\r\na\nb\r\nc\rd\r\r\ne', '-i', TO)
  assert.equal(bodyOf(mail), 'a\r\nb\r\nc\r\nd\r\n\r\ne\r\n')
  assert.match(mail.text, /^S: x\r\nT: y\r\n\r\na/m)
})

test('nothing at all is a message, and so is a text without a header', { timeout }, async () => {
  assert.equal(bodyOf(await arrives('', TO)), '')
  const mail = await arrives('hello there\n\nmore\n', TO)
  assert.equal(bodyOf(mail), 'hello there\r\n\r\nmore\r\n')
  assert.match(mail.text, /^Message-ID: /im)
})

test('From lines of an mbox are dropped, in the body they are text', { timeout }, async () => {
  const mail = await arrives('From ann Thu Jan  1\n>From bob Thu Jan  1\nSubject: x\n\nFrom here\n', TO)
  assert.doesNotMatch(mail.text, /^>?From (ann|bob)/m)
  assert.equal(bodyOf(mail), 'From here\r\n')
})

test('every octet passes but NUL', { timeout }, async () => {
  const octets = Buffer.from(
    Array.from({ length: 256 }, (_none, n) => n).filter((n) => n !== 0 && n !== 10 && n !== 13),
  )
  const mail = await arrives(Buffer.concat([Buffer.from('S: x\n\n'), octets, Buffer.from('\n')]), '-i', TO)
  assert.equal(bodyOf(mail), `${octets.toString('latin1')}\r\n`)
})

test('-t: To, Cc and Bcc with names, comments, groups, folding; Bcc goes, argv adds', {
  timeout,
}, async () => {
  const header = [
    'To: "Bee, Ann" <ann@relay.example>,',
    '\t=?utf-8?q?B=C3=B6b=2C?= <bob@relay.example> (a (nested) comment)',
    'Cc: friends: cyd@relay.example, Dan <dan@relay.example>;, undisclosed:;',
    'bcc: eve@relay.example,',
    '  fay@relay.example',
    'Subject: x',
  ]
  const mail = await arrives(
    `${header.join('\n')}\n\nbody\n`,
    '-t',
    'Gus <gus@relay.example>, hal',
    'ann@relay.example',
  )
  const names = ['ann', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus', 'hal']
  assert.deepEqual(
    sorted(mail.to),
    names.map((name) => `${name}@relay.example`),
  )
  assert.doesNotMatch(mail.text, /bcc|eve|fay/i)
})

test('-t of a message sent on: the newest Resent- block alone', { timeout }, async () => {
  const header = [
    'Resent-From: me@relay.example',
    'Resent-To: new@relay.example',
    'Resent-Bcc: hidden@relay.example',
    'Received: from x by y; Thu, 1 Jan 1998 00:00:00 +0000',
    'Resent-To: older@relay.example',
    'To: first@relay.example',
    'Bcc: second@relay.example',
  ]
  const mail = await arrives(`${header.join('\n')}\n\nbody\n`, '-t')
  assert.deepEqual(sorted(mail.to), ['hidden@relay.example', 'new@relay.example'])
  assert.match(mail.text, /^Resent-To: older@relay\.example\r$/m)
  assert.doesNotMatch(mail.text, /hidden|second/)
})

test('Bcc goes without -t, too', { timeout }, async () => {
  assert.doesNotMatch((await arrives('To: x\nBcc: y\n folded\nSubject: z\n\n', TO)).text, /^bcc|folded/im)
})

test('what has no domain gets ours; sender by -f, -r, or the caller', { timeout }, async () => {
  const named = await arrives('S: x\n\n', '-f', 'Bob <bob@far.example>', 'ann')
  assert.deepEqual([named.from, named.to], ['bob@far.example', [TO]])
  assert.equal((await arrives('S: x\n\n', '-rbob', TO)).from, 'bob@relay.example')
  assert.equal((await arrives('S: x\n\n', '-f', '<>', TO)).from, '')
  assert.match((await arrives('S: x\n\n', TO)).from, /^[^@]+@relay\.example$/)
})

test('what could end a line or be two addresses is refused, and nothing is sent', { timeout }, async () => {
  const before = sink.mails.length
  const wrong: [number, string, ...string[]][] = [
    [64, '', 'a@relay.example\r\nRCPT TO:<evil@relay.example>'],
    [64, '', '-f', 'a@relay.example>\r\nDATA', TO],
    [64, '', '-F', 'Ann\nBcc: evil@relay.example', TO],
    [64, '', '-f', 'a@relay.example, b@relay.example', TO],
    [65, '', 'a@relay.example> SIZE=1'],
    [65, '', 'two words@relay.example'],
    [65, 'To: a@relay.example\0@x\n\n', '-t'],
    [65, 'To: a+"b"@relay.example\n\n', '-t'],
    [65, 'Subject: x\n\nbody\0\n', TO],
    [65, 'Subject: \0\n\nbody\n', TO],
    [65, `Subject: x\n\n${'long line\n'.repeat(200_000)}\0`, TO],
    [64, 'Subject: nobody\n\n', '-t'],
    [64, 'To: undisclosed:;\n\n', '-t'],
    [64, 'S: x\n\n'],
  ]
  for (const [code, input, ...argv] of wrong) {
    const result = await send(input, ...argv)
    assert.equal(result.code, code, `${argv.join(' ')}: ${result.err}`)
    assert.equal(result.err.split('\n').length, 2, result.err)
    assert.equal(result.out, '')
  }
  assert.equal(sink.mails.length, before)
})

test('-F and NAME make the From that is missing: by the server', {
  timeout,
}, async () => {
  const named = async (env: Record<string, string>, ...argv: string[]) => {
    const before = sink.mails.length
    const words = ['--socket', posthorn.paths.submit, ...argv, TO]
    assert.deepEqual(await sendmail(words, { input: 'S: x\n\n', env }), OK)
    return (await sink.received(before + 1)).at(-1)?.content.toString() ?? ''
  }
  const mine = await named({}, '-F', 'Ann "A" Böb')
  assert.match(mine, /^From: =\?utf-8\?[^ ]+ <[^@>]+@relay\.example>\r$/im)
  assert.doesNotMatch(mine, /^Sender:/m)
  const theirs = await named({ NAME: 'Env Name' }, '-f', 'bob@far.example')
  assert.match(theirs, /^From: Env Name <bob@far\.example>\r$/m)
  assert.match(await named({ NAME: 'Env Name' }, '-F', 'Arg Name'), /^From: Arg Name </m)
  const long = 'x'.repeat(300)
  assert.match(await named({}, '-F', long), new RegExp(`^From: ${long} <`, 'm'), 'too long to be told')
})

test('rmail: sender and path from the From line, dots are text', { timeout }, async () => {
  const before = sink.mails.length
  const input = 'From ann Thu Jan  1 00:00:00 1998 remote from uu.example\nTo: x\n\n.\nmore\n'
  const call = { input, name: 'rmail' }
  assert.deepEqual(await sendmail(['--socket', posthorn.paths.submit, TO], call), OK)
  const mail = (await sink.received(before + 1))[before]
  assert.equal(mail?.from, 'ann@uu.example')
  assert.match(mail.content.toString(), /\r\n\r\n\.\r\nmore\r\n$/)
})
