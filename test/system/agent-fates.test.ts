/**
 * Each recipient has a fate of its own with a provider that speaks LMTP, and what was delivered is never sent again:
 * neither by the outbox nor because the exit code invites to it. Real commands, a real agent.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { until } from '../support/wait.ts'
import { accountText, newUser, openProvider, type Provider, type User } from './agent-stage.ts'

const PLENTY = { timeout: 120_000 }
const MESSAGE = 'From: ann@work.example\nSubject: hello there\n\nbody\n'
const waiting = new Set<string>()
let user: User
let provider: Provider

before(async () => {
  user = newUser()
  const atDot = (to: string) => {
    if (waiting.has(to)) return '451 not yet'
    return to.startsWith('no@') ? '550 nobody here' : ''
  }
  provider = await openProvider({ lmtp: true }, () => '', atDot)
})
after(async () => {
  await user.close()
  await provider.close()
})

function write(more: string, agent = ''): void {
  const account = `tls starttls; protocol lmtp; default; sender "ann@work.example"; ${more}`
  user.accounts(`${accountText('work', provider.port, account)}${agent}`)
}

const copies = (address: string) =>
  provider.received.filter(({ recipients }) => recipients.includes(address)).length

test(
  'no outbox: who is put off is named, and 75 does not invite to send all of it again',
  PLENTY,
  async () => {
    write('')
    waiting.add('slow@x.example')
    const { code, stderr } = await user.sendmail(
      ['bob@x.example', 'slow@x.example', 'cyd@x.example'],
      MESSAGE,
    )
    assert.equal(code, 69)
    assert.match(
      stderr,
      /^sendmail: <slow@x\.example>: 451 .*not yet\nsendmail: the others have the message: send it again to those named here only\n$/,
    )
    waiting.clear()
    assert.equal((await user.sendmail(['slow@x.example'], MESSAGE)).code, 0)
    assert.deepEqual(['bob@x.example', 'slow@x.example', 'cyd@x.example'].map(copies), [1, 1, 1])
    assert.deepEqual(user.outbox(), [])
  },
)

test('nobody has it: 75', PLENTY, async () => {
  write('')
  waiting.add('slow@x.example')
  const { code, stderr } = await user.sendmail(['slow@x.example', 'no@x.example'], MESSAGE)
  assert.equal(code, 75)
  assert.match(stderr, /<no@x\.example>: 550/)
  waiting.clear()
})

test('with an outbox it alone sends to the rest, and to nobody else', PLENTY, async () => {
  write('outbox yes;', 'agent { retry 1s; };')
  waiting.add('late@x.example')
  const to = ['late@x.example', 'dan@x.example', 'no@x.example']
  const { code, stderr } = await user.sendmail(to, MESSAGE)
  assert.notEqual(code, 0)
  assert.match(stderr, /^sendmail: <no@x\.example>: 550 .*nobody here\n$/)
  assert.match(await user.mailq(), /waiting .*<late@x\.example>/)
  waiting.clear()
  await until('the rest to have it', () => copies('late@x.example') === 1)
  await until('an empty outbox', () => user.outbox().length === 0)
  assert.deepEqual(to.map(copies), [1, 1, 0])
})

test('a caller of one reply for all: the rest is kept, outbox or not', PLENTY, async () => {
  write('', 'agent { retry 1s; };')
  waiting.add('then@x.example')
  await user.stopAgent()
  await user.startAgent()
  const reply = await speakSmtp(['eve@x.example', 'then@x.example'])
  assert.match(reply, /^250.*\b(U[0-9A-Z]+|ok)/m)
  assert.match(await user.mailq(), /waiting .*<then@x\.example>/)
  waiting.clear()
  await until('the rest to have it', () => copies('then@x.example') === 1)
  assert.equal(copies('eve@x.example'), 1)
})

/** The reply to the final dot, of a session in SMTP on the agent's socket. */
async function speakSmtp(recipients: readonly string[]): Promise<string> {
  const socket = connect(join(user.home, 'run/posthorn/agent.sock'))
  let heard = ''
  socket.on('data', (octets) => {
    heard += String(octets)
  })
  const say = async (text: string, answer: RegExp) => {
    heard = ''
    socket.write(text)
    await until(`an answer to ${text.slice(0, 4)}`, () => answer.test(heard))
  }
  await until('a greeting', () => /^220/.test(heard))
  await say('EHLO me\r\n', /^250 /m)
  for (const path of ['MAIL FROM:<ann@work.example>', ...recipients.map((to) => `RCPT TO:<${to}>`)])
    await say(`${path}\r\n`, /^250 /m)
  await say('DATA\r\n', /^354 /m)
  await say('Subject: x\r\n\r\nbody\r\n.\r\n', /^\d{3} /m)
  const closed = once(socket, 'close')
  socket.end('QUIT\r\n')
  await closed
  return heard
}
