/** sendmail by its other names, and what it passes on to `posthorn`: the queue, the aliases, hints. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type Result, sendmail } from './sendmail-stage.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000

before(
  async () => {
    sink = await openSink((stage) => (stage === 'rcpt' ? '451 4.2.1 come again' : null))
    posthorn = await startPosthorn({
      config: (paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 1h;' }),
    })
    for (const who of ['ann', 'bob'])
      await send(['-odi', '-f', `${who}@from.example`, `${who}@relay.example`], 'sendmail')
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

function send(argv: string[], name: string): Promise<Result> {
  return sendmail(['--socket', posthorn.paths.submit, ...argv], { name })
}

/** With the config that says where the queue is asked. */
function ask(argv: string[], name = 'sendmail'): Promise<Result> {
  return sendmail(['--config', posthorn.configFile, ...argv], { name, input: '' })
}

test('mailq, sendmail -bp and hoststat list what waits, and why', { timeout }, async () => {
  for (const [name, argv] of [
    ['mailq', []],
    ['mailq', ['-v']],
    ['sendmail', ['-bp']],
    ['sendmail', ['-bh']],
    ['hoststat', []],
  ] as const) {
    const { code, out, err } = await ask([...argv], name)
    assert.deepEqual([code, err], [0, ''], `${name} ${argv}`)
    assert.match(out, /ann@relay\.example[\s\S]*come again/)
    assert.match(out, /bob@relay\.example/)
  }
})

test('part of the queue: -bp -qR, -bp -qS, -bp -qI', { timeout }, async () => {
  const [row] = (await posthorn.queue()).filter(({ recipient }) => recipient.startsWith('ann'))
  for (const words of [['-qRann@'], ['-qSann@from'], [`-qI${row?.id}`]]) {
    const { out } = await ask(['-bp', ...words])
    assert.match(out, /ann@relay\.example/, words.join(' '))
    assert.doesNotMatch(out, /bob@relay\.example/, words.join(' '))
  }
})

test('-qR tries part of the queue now, -q all of it', { timeout }, async () => {
  sink.setAnswer(() => null)
  assert.equal((await ask(['-qRbob@relay'])).code, 0)
  const [first] = await sink.received(1)
  assert.deepEqual(first?.to, ['bob@relay.example'])
  assert.deepEqual(await ask(['-q']), { code: 0, out: '', err: '' })
  await sink.received(2)
  await posthorn.queueEmpty()
})

test('newaliases and -bi look the aliases through', { timeout }, async () => {
  assert.equal((await ask([], 'newaliases')).code, 0)
  assert.equal((await ask(['-v'], 'newaliases')).code, 0)
  assert.equal((await ask(['-bi'])).code, 0)
  assert.equal((await ask(['-I'])).code, 0)
})

test('send-mail is sendmail', { timeout }, async () => {
  const before = sink.mails.length
  assert.deepEqual(await send(['-odi', 'cyd@relay.example'], 'send-mail'), { code: 0, out: '', err: '' })
  assert.equal(sink.mails.length, before + 1)
})

test('by any link, from anywhere, without PATH; every name in bin leads to one program', {
  timeout,
}, async () => {
  const { directory } = posthorn.paths
  symlinkSync(resolve('bin/mailq'), join(directory, 'mailq'))
  const call = spawnSync(join(directory, 'mailq'), ['--config', posthorn.configFile], { env: {}, cwd: '/' })
  assert.equal(call.status, 0, String(call.stderr))
  const names = ['hoststat', 'mailq', 'newaliases', 'rmail', 'send-mail', 'sendmail']
  assert.deepEqual(readdirSync('bin').sort(), names)
})

test('what Node reads from the environment does not reach it', { timeout }, async () => {
  const env = {
    NODE_OPTIONS: '--no-such-option',
    NODE_PATH: '/nowhere',
    POSTHORN_SOCKET: posthorn.paths.submit,
  }
  assert.deepEqual(await sendmail(['-bv', 'x@relay.example'], { env }), {
    code: 0,
    out: '<x@relay.example>: 250 2.1.5 Recipient ok\n',
    err: '',
  })
})

test('hints for what this command is not', { timeout }, async () => {
  const hints: [string[], string, RegExp][] = [
    [['-bd'], 'sendmail', /posthorn start/],
    [['-bD'], 'sendmail', /posthorn start/],
    [['-q30m'], 'sendmail', /posthorn start/],
    [['-bH'], 'sendmail', /posthorn queue retry/],
    [['-bz'], 'sendmail', /posthorn help/],
    [['-Z'], 'sendmail', /unknown option -Z/],
    [['--called-as=smtpd'], 'sendmail', /unknown option --called-as/],
  ]
  for (const [argv, name, hint] of hints) {
    const { code, err } = await sendmail(argv, { name, input: '' })
    assert.equal(code, 64, argv.join(' '))
    assert.match(err, hint)
  }
})

test('-d and other relics are swallowed with what belongs to them', { timeout }, async () => {
  const before = sink.mails.length
  const relics = [
    '-d0-99.1',
    '-C/no/file',
    '-X',
    '/no/file',
    '-oQ/no/folder',
    '-O',
    'Timeout.x=1h',
    '-m',
    '-n',
    '-s',
  ]
  const more = [
    '-h',
    '3',
    '-pSMTP:host',
    '-L',
    'tag',
    '-A',
    'c',
    '-M',
    'xy',
    '-U',
    '-G',
    '-T',
    '-odq',
    '-J',
    'x',
  ]
  assert.deepEqual(await send([...relics, ...more, '-oem', '-odi', '--', 'd@relay.example'], 'sendmail'), {
    code: 0,
    out: '',
    err: '',
  })
  assert.deepEqual(sink.mails[before]?.to, ['d@relay.example'])
})
