/** posthorn, mailq, newaliases and sendmail's other modes against a whole running server, and against none. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Posthorn, runProgram, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { makeRig, root } from '../support/worker.ts'

const timeout = 120_000
const program = (name: string) => join(root, `dist/commands/${name}.js`)
let posthorn: Posthorn

before(
  async () => {
    posthorn = await startPosthorn({
      users: ['anna'],
      config: (paths) =>
        testConfig(paths, {
          relayPort: 1, // nobody listens: mail for relay.example waits
          qmgr: 'retry 1h;',
          more: `zone "aliased.example" { type local; mailboxes "${paths.users}"; aliases "${paths.directory}/aliases"; };`,
        }),
    })
  },
  { timeout },
)
after(() => posthorn.stop(), { timeout })

async function waiting(to: string): Promise<string> {
  const sent = await posthorn.sendmail('Subject: waits\n\nbody\n', to)
  assert.equal(sent.code, 0, sent.stderr)
  for (;;) {
    const found = (await posthorn.queue()).find(
      ({ recipient, state }) => recipient === to && state !== 'active',
    )
    if (found) return found.id
  }
}

test('a message from sendmail reaches the Maildir', { timeout }, async () => {
  const sent = await posthorn.sendmail('Subject: x\n\nbody\n', 'anna@local.example')
  assert.deepEqual(sent, { code: 0, stdout: '', stderr: '' })
  const wait = await posthorn.command('queue', 'wait', '--recipient', 'anna@*', '--timeout', '60')
  assert.equal(wait.code, 0, wait.stderr)
})

test('an unknown local user is 67, a foreign domain 77', { timeout }, async () => {
  assert.equal((await posthorn.sendmail('x\n', 'nobody@local.example')).code, 67)
  const foreign = await posthorn.sendmail('x\n', 'x@elsewhere.example')
  assert.equal(foreign.code, 77, foreign.stderr)
})

test('sendmail -bs speaks to the real server', { timeout }, async () => {
  const { stdout, code } = await posthorn.sendmail('EHLO me\r\nNOOP\r\nQUIT\r\n', '-bs')
  assert.equal(code, 0)
  assert.match(stdout, /^220 [\s\S]*\r\n250 2\.0\.0 .*\r\n221 2\.0\.0 /)
})

test('waiting mail is listed, shown, held, released, removed', { timeout }, async () => {
  const id = await waiting('one@relay.example')
  const other = await waiting('two@relay.example')
  const list = await posthorn.command('queue', 'list')
  assert.match(list.stdout, /^ID +SIZE .*\n/)
  assert.match(list.stdout, /2 messages to 2 recipients/)
  const mailq = await runProgram(program('mailq'), ['-c', posthorn.configFile, '--recipient', 'one@*'], '')
  assert.match(mailq.stdout, new RegExp(`${id} .*<one@relay.example>`))
  assert.doesNotMatch(mailq.stdout, /two@/)
  const asMode = await runProgram(program('sendmail'), ['-bp', '--config', posthorn.configFile], '')
  assert.match(asMode.stdout, /two@relay.example/)
  assert.match((await posthorn.command('queue', 'show', id)).stdout, /Subject: waits/)
  assert.equal((await posthorn.command('queue', 'hold', id)).stdout, 'held: 1 recipient\n')
  const held = await posthorn.command('queue', 'list', '--state', 'held', '--json')
  assert.equal((JSON.parse(held.stdout) as { id: string }).id, id)
  assert.equal(
    (await posthorn.command('queue', 'release', '--state', 'held')).stdout,
    'released: 1 recipient\n',
  )
  assert.equal((await posthorn.command('queue', 'remove', id, '--quiet')).stdout, '')
  assert.match(
    (await posthorn.command('queue', 'show', id)).stdout,
    / removed .*\n(.*\n)* +removed \d+s ago\n/,
  )
  assert.equal((await posthorn.command('queue', 'remove', id)).code, 66)
  assert.equal(
    (await posthorn.command('queue', 'remove', '--for-good', '--state', 'removed')).stdout,
    'removed for good: 1 recipient\n',
  )
  assert.equal((await posthorn.command('queue', 'show', id)).code, 66)
  assert.equal((await posthorn.command('queue', 'remove')).code, 64, 'nothing is removed without a selection')
  assert.equal((await posthorn.command('queue', 'wait', '--timeout', '0.1')).code, 75)
  assert.equal((await posthorn.command('queue', 'remove', other)).code, 0)
  assert.equal((await posthorn.command('queue', 'list', '--exit-code')).code, 3)
})

test('words out of place are 64', { timeout }, async () => {
  for (const words of [
    ['queue', 'show', 'X1'],
    ['queue', 'list', '--state', 'lost'],
    ['queue', 'hold', '!'],
    ['fly'],
  ])
    assert.equal((await posthorn.command(...words)).code, 64, words.join(' '))
})

test('newaliases reads the alias files', { timeout }, async () => {
  const aliases = join(posthorn.paths.directory, 'aliases')
  writeFileSync(aliases, 'info: anna\n')
  const good = await runProgram(program('newaliases'), ['-c', posthorn.configFile], '')
  assert.deepEqual([good.code, good.stderr], [0, ''])
  assert.match(good.stdout, /1 alias, 1 target, most in info \(1\); in use as it is/)
  writeFileSync(aliases, 'info: anna\nwhat is this\n')
  const bad = await runProgram(program('sendmail'), ['-bi', '--config', posthorn.configFile], '')
  assert.equal(bad.code, 1)
  assert.match(bad.stderr, /aliases:2: /)
})

test('options, version and help need no server', { timeout }, async () => {
  assert.match((await posthorn.command('options')).stdout, /^# posthorn\.conf: every option/)
  assert.match((await posthorn.command('version')).stdout, /^Posthorn \d+\.\d+\.\d+, Node\.js v\d+/)
  assert.match((await posthorn.command()).stdout, /^usage: posthorn/)
})

test('without a server: 69 and where it was looked for; stop comes back when all is over', {
  timeout,
}, async (t) => {
  const rig = makeRig()
  t.after(rig.close)
  const server = await startPosthorn({ config: (paths) => testConfig(paths) })
  assert.equal((await server.command('status')).code, 0)
  const stopped = await server.command('stop')
  assert.deepEqual([stopped.code, stopped.stdout], [0, 'stopped\n'])
  for (const words of [['status'], ['stop'], ['reload'], ['queue', 'list']]) {
    const { code, stderr } = await server.command(...words)
    assert.equal(code, 69, words.join(' '))
    assert.match(stderr, /Posthorn does not run: nobody answers at .*\.sock/)
  }
  await server.stop()
})
