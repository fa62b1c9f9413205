/**
 * Large messages are streamed: they arrive whole, and no process ever holds one.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { openSession, type SmtpClient } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { memoryOf } from '../support/processes.ts'
import { openSink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const MIB = 1 << 20
const LARGE = 45 * MIB
/** Beyond what a process held before: buffers, windows and the collector's slack, far from a whole message. */
const MOST_GROWTH = 40 * MIB
const SMALLER = 5 * MIB
const timeout = 180_000

const BLOCK = Buffer.from(`${'.stuffed '.padEnd(70, 'x')}\r\n`.repeat(910))

/** Sends `octets` or a little more, in blocks of lines that need dots; the hash of what was meant. */
async function sendLarge(session: SmtpClient, to: string, octets: number): Promise<string> {
  await session.say('MAIL FROM:<x@client.example>')
  assert.equal((await session.say(`RCPT TO:<${to}>`)).code, 250)
  assert.equal((await session.say('DATA')).code, 354)
  const stuffed = Buffer.from(BLOCK.toString('latin1').replace(/^\./gm, '..'), 'latin1')
  const hash = createHash('sha256')
  session.write('Subject: large\r\n\r\n')
  for (let sent = 0; sent < octets; sent += BLOCK.length) {
    session.write(stuffed)
    hash.update(BLOCK)
    await session.drained()
  }
  session.write('.\r\n')
  const reply = await session.reply(timeout)
  assert.equal(reply.code, 250, reply.text)
  return hash.digest('hex')
}

function bodyHash(content: Buffer): string {
  const text = content.toString('latin1')
  const body = text.slice(text.search(/\r?\n\r?\n/)).replace(/^\r?\n\r?\n/, '')
  return createHash('sha256').update(body.replace(/\r?\n/g, '\r\n'), 'latin1').digest('hex')
}

function peaks(posthorn: Posthorn): Map<string, number> {
  return new Map(posthorn.workers().map(({ pid, name }) => [name, memoryOf(pid).peak]))
}

test('45 MiB to a Maildir and to the next hop, in bounded memory', { timeout }, async (t) => {
  const sink = await openSink()
  const posthorn = await startPosthorn({
    config: (paths) => testConfig(paths, { relayPort: sink.port, options: 'message-size-limit 50M;' }),
    users: ['anna'],
  })
  try {
    const session = await openSession(posthorn.ports['mx'] ?? 0)
    // a first one fills pools and compiles code, so that the second shows what a message costs
    await sendLarge(session, 'anna@local.example', SMALLER)
    await sendLarge(session, 'far@relay.example', SMALLER)
    await sink.received(1)
    await mailsIn(posthorn.maildir('anna'), 1)
    await posthorn.queueEmpty()
    const before = peaks(posthorn)

    const local = await sendLarge(session, 'anna@local.example', LARGE)
    const far = await sendLarge(session, 'far@relay.example', LARGE)
    await session.quit()
    const stored = await mailsIn(posthorn.maildir('anna'), 2)
    assert.ok(
      stored.some((mail) => bodyHash(mail.content) === local),
      'the Maildir has it whole',
    )
    const mail = (await sink.received(2))[1]
    assert.ok(mail && mail.octets > LARGE)
    assert.equal(mail.bodySha256, far, 'and so does the next hop')
    await posthorn.queueEmpty()

    for (const [name, peak] of peaks(posthorn)) {
      const growth = peak - (before.get(name) ?? peak)
      t.diagnostic(`${name}: ${Math.round(growth / MIB)} MiB more at the peak`)
      assert.ok(growth < MOST_GROWTH, `${name} grew by ${Math.round(growth / MIB)} MiB`)
    }
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})
