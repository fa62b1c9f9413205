/**
 * The question on a terminal: a real agent on a pseudo terminal of Python's, a real `sendmail` that waits for the
 * answer. Whatever is answered, or is not, the message is sent, refused or held: never lost, never sent silently.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const PLENTY = { timeout: 120_000 }
const MESSAGE = 'From: ann@work.example\nSubject: hello there\n\nbody\n'
const PROMPT = /\[a\]lways to these: /
const python = ['/usr/bin/python3', '/usr/local/bin/python3'].find(existsSync)
const options = { ...PLENTY, skip: !python && 'no python3 here, and no pseudo terminal without it' }
const SPAWN = 'import os, pty, sys; sys.exit(os.WEXITSTATUS(pty.spawn(sys.argv[1:])))'

interface Terminal {
  /** Waits for a question that was not answered yet. */
  asked: () => Promise<string>
  type: (keys: string) => void
  /** All of it, so far. */
  screen: () => string
  child: ChildProcess
}

let user: User
let provider: Provider
let terminal: Terminal

before(async () => {
  user = newUser()
  provider = await openProvider({ secure: true })
})
after(async () => {
  await user.close()
  await provider.close()
})
afterEach(async () => {
  await user.stopAgent()
  for (const name of user.outbox()) {
    if (name.endsWith('.json')) await user.posthorn('outbox', 'remove', name.slice(0, -5))
  }
  await user.stopAgent()
})

async function open(confirm: string): Promise<Terminal> {
  const account = `tls implicit; default; sender "ann@work.example"; ${confirm}`
  user.accounts(accountText('work', provider.port, account))
  const argv = ['-c', SPAWN, process.execPath, resolve('dist/commands/posthorn.js'), 'agent']
  const child = spawn(python ?? '', argv, { env: { ...user.env, TERM: 'dumb' }, stdio: 'pipe' })
  let screen = ''
  let read = 0
  const take = (octets: Buffer) => {
    screen += String(octets)
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  child.stdin.on('error', () => undefined)
  await until('the agent to be ready', () => screen.includes('ready'))
  return {
    child,
    screen: () => screen,
    type: (keys) => void child.stdin.write(keys),
    asked: async () => {
      await until('a question', () => PROMPT.test(screen.slice(read)))
      const question = screen.slice(read)
      read = screen.length
      return question
    },
  }
}

const send = (...to: string[]) => user.sendmail(['-i', ...to], MESSAGE)
const arrived = () => provider.received.length

async function assertHeld(): Promise<void> {
  assert.match(await user.mailq(), /held .*\n +held: awaiting you/)
}

test('yes sends, no is 77, and what is neither is asked again', options, async () => {
  terminal = await open('confirm always;')
  const count = arrived()
  const first = send('bob@x.example')
  const question = await terminal.asked()
  assert.match(question, /From: ann@work\.example\r\nTo: bob@x\.example\r\nSubject: hello there\r\n/)
  assert.equal(arrived(), count)
  terminal.type('what\r')
  assert.match(await terminal.asked(), /y, n, d or a/)
  terminal.type('y\r')
  assert.equal((await first).code, 0)
  assert.equal(arrived(), count + 1)
  const second = send('bob@x.example')
  await terminal.asked()
  terminal.type('n\r')
  const { code, stderr } = await second
  assert.deepEqual([code, arrived()], [77, count + 1])
  assert.match(stderr, /you said no/)
  assert.deepEqual(user.outbox(), [])
})

test('always is not asked again until it is revoked', options, async () => {
  terminal = await open('confirm first; confirm-recipients { !"*@own.example"; any; };')
  const count = arrived()
  assert.equal((await send('ann@own.example')).code, 0, 'who is not asked about')
  const first = send('bob@a.x.example', 'ann@own.example')
  await terminal.asked()
  terminal.type('a *@*.x.example\r')
  assert.equal((await first).code, 0)
  assert.equal((await send('cyd+list@b.x.example')).code, 0, 'covered by the pattern')
  assert.equal(arrived(), count + 3)
  const listed = (await user.posthorn('agent', 'grants')).stdout
  const [, id = ''] = /^(G[0-9A-F]{10}) +revoked +work +.* \*@\*\.x\.example$/m.exec(listed) ?? []
  assert.notEqual(id, '', listed)
  const revoked = await user.posthorn('agent', 'grants', 'revoke', id)
  assert.deepEqual([revoked.code, revoked.stdout], [0, `${id} revoked\n`])
  assert.equal((await user.posthorn('agent', 'grants', 'revoke', id)).code, 66)
  const again = send('bob@a.x.example')
  await terminal.asked()
  terminal.type('n\r')
  assert.equal((await again).code, 77)
})

test('the end of input is no answer: held, and the next one is asked about', options, async () => {
  terminal = await open('confirm always;')
  const count = arrived()
  const first = send('bob@x.example')
  await terminal.asked()
  terminal.type('\x04')
  assert.equal((await first).code, 0)
  assert.equal(arrived(), count)
  await assertHeld()
  const second = send('cyd@x.example')
  await terminal.asked()
  terminal.type('y\r')
  assert.equal((await second).code, 0)
  assert.equal(arrived(), count + 1)
})

test('^C is no answer and ends the agent: held, and another agent lets it go', options, async () => {
  terminal = await open('confirm always;')
  const count = arrived()
  const first = send('bob@x.example')
  await terminal.asked()
  const exited = once(terminal.child, 'exit')
  terminal.type('\x03')
  assert.equal((await first).code, 0)
  await exited
  await assertHeld()
  assert.equal(arrived(), count)
  const [id = ''] = /U[0-9A-Z]{10,20}/.exec(await user.mailq()) ?? []
  assert.equal((await user.posthorn('outbox', 'release', id)).stdout, 'sent\n')
  assert.equal(arrived(), count + 1)
})

test('a terminal that goes away is no answer: held', options, async () => {
  terminal = await open('confirm always;')
  const count = arrived()
  const first = send('bob@x.example')
  await terminal.asked()
  terminal.child.kill('SIGKILL') // the other end of the pseudo terminal
  assert.equal((await first).code, 0)
  await assertHeld()
  assert.equal(arrived(), count)
})
