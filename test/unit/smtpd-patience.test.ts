/**
 * Deadlines of a session without a clock of its own, and waits for those who make mistakes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Output, Tarpit } from '../../services/smtpd/output.ts'
import { Patience } from '../../services/smtpd/patience.ts'
import { replies } from '../../services/smtpd/replies.ts'
import type { Phase } from '../../services/smtpd/state.ts'
import { Player } from '../dialogue/player.ts'

const slice = {
  handshake: 10,
  hello: 100,
  login: 50,
  envelope: 200,
  content: 1000,
  contentRate: 100,
  session: 100_000,
}
const hello = { name: 'x', extended: true }
const at = (name: string): Phase => ({ at: name, hello }) as unknown as Phase
const idle = { waitsForUs: false, receiving: false, octets: 0 }

test('each part has its deadline, and what is busy in between does not move it', () => {
  const patience = new Patience(slice, 1_000_000, 0)
  patience.entered(at('start'), 0)
  patience.answered(90)
  assert.equal(patience.overdue(idle, 100), null)
  assert.equal(patience.overdue(idle, 101), 'hello')
  patience.entered(at('ready'), 101)
  assert.equal(patience.overdue(idle, 5000), null)
  patience.entered(at('mail'), 5000)
  patience.entered({ at: 'inquiry', back: at('mail') } as unknown as Phase, 5100)
  patience.entered(at('mail'), 5150)
  assert.equal(patience.overdue(idle, 5200), null)
  assert.equal(patience.overdue(idle, 5201), 'envelope')
  patience.entered(at('auth'), 6000)
  patience.entered(at('verifying'), 6040)
  patience.entered(at('auth'), 6045)
  assert.equal(patience.overdue(idle, 6051), 'login')
  patience.entered(at('securing'), 7000)
  assert.equal(patience.overdue(idle, 7011), 'handshake')
})

test('time in which we are waited for does not count', () => {
  const patience = new Patience(slice, 150, 0)
  patience.entered(at('mail'), 0)
  patience.answered(0)
  assert.equal(patience.overdue(idle, 100), null)
  assert.equal(patience.overdue({ ...idle, waitsForUs: true }, 10_000), null)
  assert.equal(patience.overdue(idle, 10_049), null)
  assert.equal(patience.overdue(idle, 10_051), 'command')
  patience.answered(10_051)
  assert.equal(patience.overdue(idle, 10_101), 'envelope')
})

test('content earns time by its octets, in one piece or in chunks', () => {
  const patience = new Patience(slice, 150, 0)
  patience.entered(at('data'), 0)
  const receiving = (octets: number) => ({ ...idle, receiving: true, octets })
  assert.equal(patience.overdue(receiving(0), 1000), null)
  assert.equal(patience.overdue(receiving(99), 2000), 'content')
  assert.equal(patience.overdue(receiving(100), 2000), null)
  const chunked = new Patience(slice, 150, 0)
  chunked.entered(at('chunk'), 0)
  chunked.entered(at('chunks'), 500)
  chunked.answered(500)
  assert.equal(chunked.overdue({ ...idle, octets: 100 }, 651), 'command', 'the next chunk is awaited')
  chunked.entered(at('chunk'), 651)
  assert.equal(chunked.overdue(receiving(100), 2001), 'content')
})

test('octets that nobody wants have as much time as content', () => {
  const patience = new Patience(slice, 150, 0)
  patience.entered(at('ready'), 0)
  patience.skips(100, 0)
  const receiving = { ...idle, receiving: true }
  assert.equal(patience.overdue(receiving, 2000), null)
  assert.equal(patience.overdue(receiving, 2001), 'command')
})

test('the session as a whole is told once', () => {
  const patience = new Patience(slice, 1_000_000, 0)
  patience.entered(at('ready'), 0)
  assert.equal(patience.overdue(idle, 100_000), null)
  assert.equal(patience.overdue(idle, 100_001), 'session')
  assert.equal(patience.overdue(idle, 100_002), null)
})

test('replies are held, together with all behind them; a tarpit has so many places', async () => {
  const tarpit = new Tarpit(() => 1)
  const [one, other] = [new Output(tarpit), new Output(tarpit)]
  one.add(replies.unknownCommand)
  const over = new Promise<void>((resolve) => one.hold(1, resolve))
  one.add(replies.ok)
  assert.equal(one.take(), '')
  other.add(replies.unknownCommand)
  other.hold(1, () => assert.fail('it was not held'))
  assert.equal(other.held, false, 'no place is left')
  assert.match(other.take(), /^500/)
  await over
  assert.equal(one.take(), '500 5.5.2 Command not recognized\r\n250 2.0.0 Ok\r\n')
  other.hold(60_000, () => assert.fail('it was released'))
  assert.equal(other.held, true)
  other.release()
  assert.equal(other.held, false)
  one.hold(60_000, () => undefined)
  assert.equal(one.held, true, 'the place is free again')
  one.release()
})

test('a message that outlasts its session is taken, and then the session ends', async () => {
  const player = new Player()
  await player.write(Buffer.from('EHLO pc\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@example.org>\r\n'))
  await player.write(Buffer.from('DATA\r\nSubject: slow\r\n\r\nfirst\r\n'))
  player.takeOutput()
  player.feed({ kind: 'timeout', limit: 'session' })
  await player.write(Buffer.from('last\r\n'))
  assert.deepEqual([player.takeOutput(), player.closed], ['', false])
  await player.write(Buffer.from('.\r\nMAIL FROM:<a@client.example>\r\n'))
  await player.settle()
  assert.match(player.takeOutput(), /^250 2\.0\.0 .*\r\n421 4\.4\.2 .*\r\n$/)
  assert.ok(player.closed)
  assert.ok(player.messages[0]?.content.toString().endsWith('first\r\nlast\r\n'))
})
