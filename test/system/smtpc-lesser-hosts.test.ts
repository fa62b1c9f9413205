/**
 * smtpc as a real process and hosts that do not take what a message has in it: what they get instead, in one piece and
 * streamed, and that python's mail parser reads the same text from it.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test, { after, before, type TestContext } from 'node:test'
import { CONTENT_CHUNK } from '../../shared/bus/messages.ts'
import type { Peer } from '../../shared/bus/peer.ts'
import { makeRig, playHub, startWorker } from '../support/worker.ts'
import { type Delivery, deliveryBy, print, SLICE } from './smtpc-client.ts'
import { goodAnswer, openFarmHost } from './smtpc-farm.ts'

const PATIENCE = { timeout: 60_000 }
const rig = makeRig()
let qmgr: Peer
let stop: () => Promise<void>

before(async () => {
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, {
    'deliver-dial': () => undefined,
    'content-credit': () => undefined,
  })
  const worker = await startWorker('smtpc', SLICE, rig)
  qmgr = await joined()
  stop = async () => {
    assert.equal(await worker.drain(), 0, worker.output())
    hub.close()
  }
})
after(async () => {
  await stop()
  rig.close()
})

async function hostWith(t: TestContext, ...extensions: string[]) {
  const host = await openFarmHost(goodAnswer(extensions))
  t.after(() => host.close())
  return host
}

/** Within the credit that there is from the beginning. */
async function deliver(port: number, content: Buffer, how: 'whole' | 'streamed', more: Partial<Delivery>) {
  const size = content.length
  const delivery = deliveryBy([port], ['a@x.example'], {
    size,
    ...more,
    content: how === 'whole' ? content : null,
  })
  const answered = qmgr.request('deliver', delivery)
  for (let at = 0; how === 'streamed' && at < size; at += CONTENT_CHUNK)
    qmgr.send('content-chunk', {
      stream: delivery.attempt,
      data: content.subarray(at, at + CONTENT_CHUNK),
      ...(at + CONTENT_CHUNK >= size ? { last: true } : {}),
    })
  return answered
}

const BODY = '.Grüße, ein langer Satz für alle = und jeden \r\n'.repeat(5000)
const MESSAGE = Buffer.from(
  `Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${BODY}`,
)
const SIGNED = Buffer.from(
  `Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${BODY}--s--\r\n`,
)

const READER = `
import email, email.policy, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.SMTP)
sys.stdout.buffer.write(message.get_content().encode())`

for (const how of ['whole', 'streamed'] as const) {
  test(`8-bit text for a host without 8BITMIME, ${how}`, PATIENCE, async (t) => {
    const host = await hostWith(t, 'PIPELINING')
    const answer = await deliver(host.port, MESSAGE, how, { body: '8bitmime' })
    assert.deepEqual(print(answer), ['sent 250'])
    const sent = host.bodies[0]?.toString('latin1').replace(/^\./gm, '') ?? ''
    assert.ok(/^[\t\r\n -~]*$/.test(sent) && !host.lines.join().includes('BODY='))
    const read = spawnSync('python3', ['-c', READER], { input: sent, maxBuffer: 1 << 24 })
    if (read.error) return t.skip(`python3 cannot be run: ${read.error.message}`)
    assert.equal(read.stdout.toString().replace(/\r?\n/g, '\r\n'), BODY, read.stderr.toString())
  })

  test(`what is signed is returned, and nobody gets half of it, ${how}`, PATIENCE, async (t) => {
    const host = await hostWith(t, 'PIPELINING')
    const answer = await deliver(host.port, SIGNED, how, { body: '8bitmime' })
    assert.deepEqual(print(answer), ['never 554'])
    assert.equal(answer.outcomes[0]?.outcome.reply.enhanced, '5.6.3')
    assert.equal(host.bodies.length, 0)
    const next = await deliver(host.port, MESSAGE, how, { body: '8bitmime' })
    assert.deepEqual(print(next), ['sent 250'])
  })

  test(`SMTPUTF8 for a host without it, ${how}`, PATIENCE, async (t) => {
    const host = await hostWith(t, 'PIPELINING', '8BITMIME')
    const utf8 = { smtputf8: true, body: '8bitmime', sender: 'me@bücher.example' } as const
    assert.deepEqual(print(await deliver(host.port, MESSAGE, how, utf8)), ['sent 250'])
    assert.ok(host.lines.some((line) => line.startsWith('MAIL FROM:<me@xn--bcher-kva.example>')))
    assert.ok(!host.lines.join().includes('SMTPUTF8'))
    assert.ok(host.bodies[0]?.includes('Grüße'))
    const header = Buffer.from('Subject: Grüße\r\n\r\nx\r\n')
    const answer = await deliver(host.port, header, how, utf8)
    assert.deepEqual(print(answer), ['never 550'])
    assert.equal(answer.outcomes[0]?.outcome.reply.enhanced, '5.6.7')
    assert.equal(host.bodies.length, 1)
  })
}
