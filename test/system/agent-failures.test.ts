/**
 * Mail in the outbox that does not go: accounts do not wait for each other, one that is away is not hammered, and what
 * fails for good is told to its user, by the mail server where there is one and at a terminal everywhere.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { userInfo } from 'node:os'
import { resolve } from 'node:path'
import { after, afterEach, before, type TestContext, test } from 'node:test'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const timeout = 120_000
const MESSAGE = 'From: ann@work.example\nSubject: hello there\n\nbody\n'
const ME = userInfo().username
let user: User
let provider: Provider
let said = new Map<string, string>()

before(async () => {
  user = newUser()
  provider = await openProvider({ secure: true }, (to) => said.get(to) ?? '')
})
after(async () => {
  await user.close()
  await provider.close()
})
afterEach(async () => {
  said = new Map()
  for (const name of user.outbox()) {
    if (name.endsWith('.json')) await user.posthorn('outbox', 'remove', name.slice(0, -5))
  }
  await user.stopAgent()
})

const TERMS = 'outbox yes; sender "ann@work.example";'

/** Takes connections and says nothing, or refuses each. */
async function openDoor(t: TestContext, greeting: string): Promise<{ port: number; count: () => number }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    sockets.push(socket)
    if (greeting !== '') socket.end(greeting)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, count: () => sockets.length }
}

test('an account that is away is asked by few, and all of its mail goes when it is back', {
  timeout,
}, async (t) => {
  const door = await openDoor(t, '421 not today\r\n')
  const write = (port: number, tls: string) =>
    user.accounts(`${accountText('work', port, `${tls} default; ${TERMS}`)}agent { retry 2s 1h; };`)
  write(door.port, 'tls starttls;')
  const to = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}@x.example`)
  for (const address of to) assert.equal((await user.sendmail([address], MESSAGE)).code, 0)
  assert.equal(door.count(), to.length, 'each was tried while its caller waited')
  // all are due soon, and the first that are tried find nobody
  await until('a round', () => door.count() > to.length)
  const asked = door.count() - to.length
  assert.ok(asked <= 2, `${asked} of ${to.length} asked`)
  write(provider.port, 'tls implicit;')
  assert.equal((await user.posthorn('outbox', 'flush')).stdout, `${to.length} tried now\n`)
  await until('an empty outbox', () => user.outbox().length === 0)
  const got = provider.received.flatMap(({ recipients }) => recipients)
  assert.deepEqual(got.toSorted(), to)
})

test('mail of one account does not wait for a provider that says nothing', { timeout }, async (t) => {
  const silent = await openDoor(t, '')
  const both = (port: number) =>
    user.accounts(`${accountText('slow', silent.port, `tls starttls; timeout 1h; ${TERMS}`)}
${accountText('quick', port, `tls implicit; ${TERMS}`)} agent { retry 1s; };`)
  const gone = await openProvider({ secure: true })
  await gone.close()
  // into the outbox while nobody is there, then the slow one is first in line
  user.accounts(`${accountText('slow', gone.port, `tls starttls; ${TERMS}`)}
${accountText('quick', gone.port, `tls implicit; ${TERMS}`)} agent { retry 1s; };`)
  const count = provider.received.length
  for (const name of ['slow', 'quick'])
    assert.equal((await user.sendmail(['-a', name, `${name}@x.example`], MESSAGE)).code, 0)
  both(provider.port)
  await until('the slow one to be asked', () => silent.count() > 0)
  await until('the other to have got its mail', () => provider.received.length > count)
  assert.deepEqual(provider.received.at(-1)?.recipients, ['quick@x.example'])
  const pid = user.agentPid()
  assert.ok(pid)
  process.kill(pid, 'SIGKILL') // it would wait for the silent one
  user.accounts(accountText('quick', provider.port, 'tls implicit;'))
})

test('what fails for good is reported by the mail server', { timeout }, async (t) => {
  const posthorn: Posthorn = await startPosthorn({
    config: (paths) => testConfig(paths, { options: 'qualify-domain "local.example";' }),
    users: [ME],
  })
  t.after(() => posthorn.stop())
  said.set('late@x.example', '451 not yet')
  user.accounts(`${accountText('work', provider.port, `tls implicit; ${TERMS}`)}agent { retry 1s; };`)
  const told = await user.startAgent({ POSTHORN_SOCKET: posthorn.paths.submit })
  assert.equal((await user.sendmail(['-a', 'work', 'late@x.example'], MESSAGE)).code, 0)
  said.set('late@x.example', '550 gone away')
  await until('the agent to have told', () => /failed: .* was told by mail/.test(told())).catch(
    (error: unknown) => assert.fail(`${String(error)}\n${told()}`),
  )
  const [mail] = await mailsIn(posthorn.maildir(ME), 1)
  const text = mail?.content.toString() ?? ''
  assert.match(text, /^Return-Path: <>\r?$/m)
  assert.match(text, /^Subject: Not delivered: hello there\r?$/m)
  assert.match(text, /^Final-Recipient: rfc822; late@x\.example\r?\nAction: failed\r?$/m)
  assert.match(text, /^Diagnostic-Code: smtp; 550 .*gone away\r?$/m)
  assert.match(await user.mailq(), /failed .*<late@x\.example>/)
})

const python = ['/usr/bin/python3', '/usr/local/bin/python3'].find(existsSync)

test('without a mail server the next one at a terminal is told, and programs are not', {
  timeout,
  skip: !python && 'no python3 here, and no pseudo terminal without it',
}, async () => {
  said.set('late@x.example', '451 not yet')
  user.accounts(`${accountText('work', provider.port, `tls implicit; ${TERMS}`)}agent { retry 1s; };`)
  const told = await user.startAgent({ POSTHORN_SOCKET: '/nonexistent/submit.sock' })
  assert.equal((await user.sendmail(['-a', 'work', 'late@x.example'], MESSAGE)).code, 0)
  said.set('late@x.example', '550 gone away')
  await until('it to fail', async () => /failed .*<late@x\.example>/.test(await user.mailq()))
  await until('the agent to have given up to tell', () => /nobody was told/.test(told()))
  const silent = await user.sendmail(['-a', 'work', 'bob@x.example'], MESSAGE)
  assert.deepEqual([silent.code, silent.stderr], [0, ''])
  const screen = await atTerminal(['-a', 'work', 'bob@x.example'], 'Subject: x\n\nbody\n.\n')
  assert.match(
    screen,
    /^sendmail: 1 earlier message was not delivered to everybody; see "posthorn outbox list"\r$/m,
  )
  assert.match(screen, /left with 0/)
})

/** What the screen shows of a sendmail on a pseudo terminal. */
async function atTerminal(argv: readonly string[], keys: string): Promise<string> {
  const script =
    'import os, pty, sys; print("left with", os.WEXITSTATUS(pty.spawn(sys.argv[1:])), flush=True)'
  const program = [process.execPath, resolve('dist/commands/sendmail.js'), ...argv]
  const child = spawn(python ?? '', ['-c', script, ...program], { env: { ...user.env, TERM: 'dumb' } })
  let screen = ''
  child.stdout.on('data', (octets: Buffer) => {
    screen += String(octets)
  })
  child.stdin.write(keys)
  await until('sendmail to leave', () => screen.includes('left with'))
  child.stdin.end()
  return screen
}
