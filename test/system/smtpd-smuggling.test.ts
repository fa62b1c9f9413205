/**
 * Smuggling over real connections, plain and TLS: each false end of data after DATA and BDAT, in packets that end at
 * every octet of it. And the way out: whatever came in, no next host is ever sent a bare CR or LF.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { openSession, SmtpClient } from '../support/client.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { BARE, FIRST, framed, IMPOSTORS, smuggling } from '../support/smuggling.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'
import { goodAnswer, openFarmHost } from './smtpc-farm.ts'
import { writeCertificate } from './smtpd-certificate.ts'
import { openStage } from './smtpd-stage.ts'

const timeout = 180_000

/** A packet of its own, as far as a client can see to that. */
async function packet(client: SmtpClient, octets: string): Promise<void> {
  await new Promise((done) => client.socket.write(Buffer.from(octets, 'latin1'), done))
  await new Promise((done) => setImmediate(done))
}

async function begin(
  client: SmtpClient,
  framing: 'DATA' | 'BDAT',
  from = 'a@client.example',
  to = 'b@example.org',
) {
  assert.equal((await client.say(`MAIL FROM:<${from}>`)).code, 250)
  assert.equal((await client.say(`RCPT TO:<${to}>`)).code, 250)
  if (framing === 'DATA') assert.equal((await client.say('DATA')).code, 354)
}

async function smuggle(client: SmtpClient, framing: 'DATA' | 'BDAT'): Promise<void> {
  for (const impostor of IMPOSTORS) {
    const whole = framed(framing, smuggling(impostor))
    const start = whole.indexOf(FIRST) + FIRST.length
    for (let at = start; at <= start + impostor.length; at++) {
      await begin(client, framing)
      await packet(client, whole.slice(0, at))
      await packet(client, whole.slice(at))
      const { code, enhanced } = await client.reply()
      assert.deepEqual([code, enhanced], [550, '5.6.11'], JSON.stringify(impostor))
      // one reply and no more: the next is that of RSET
      assert.equal((await client.say('RSET')).text, '2.0.0 Ok')
    }
  }
}

for (const [way, mode] of [
  ['plain', 'none'],
  ['TLS', 'implicit'],
] as const)
  test(`over ${way}: refused, and the session goes on`, { timeout }, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'posthorn-smuggling-'))
    const context = mode === 'none' ? null : writeCertificate(directory)
    const stage = await openStage({ tls: { mode, context, sni: [] } })
    t.after(async () => {
      await stage.close()
      rmSync(directory, { recursive: true })
    })
    const client = mode === 'none' ? await openSession(stage.port) : await openSecure(stage.port)
    await smuggle(client, 'DATA')
    await smuggle(client, 'BDAT')
    await client.quit()
    assert.deepEqual(stage.taken, [])
  })

async function openSecure(port: number): Promise<SmtpClient> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
  socket.setNoDelay(true)
  const client = new SmtpClient(socket)
  assert.equal((await client.reply()).code, 220)
  await client.say('EHLO client.example')
  return client
}

test('what is normalised goes out in lines, and a dot at their start is doubled', { timeout }, async (t) => {
  const host = await openFarmHost(goodAnswer(['PIPELINING', '8BITMIME']))
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, { relayPort: host.port, mx: 'relay { localhost; }; bare-newline normalise;' }),
    users: ['anna'],
  })
  t.after(async () => {
    await posthorn.stop()
    await host.close()
  })
  const client = await openSession(posthorn.ports['mx'] ?? 0)
  const sent = [...IMPOSTORS, '\r\n.\r\n..\r\n'].flatMap((impostor) =>
    (['DATA', 'BDAT'] as const).map((framing) => ({ impostor, framing })),
  )
  let expected = 0
  for (const { impostor, framing } of sent) {
    if (framing === 'DATA' && impostor.includes('\r\n.\r\n')) continue
    await begin(client, framing, 'a@client.example', 'b@relay.example')
    await packet(client, framed(framing, smuggling(impostor)))
    assert.equal((await client.reply()).code, 250)
    expected++
  }
  await client.quit()
  await until('all of them', () => host.bodies.length === expected)
  for (const body of host.bodies) {
    const text = body.toString('latin1')
    assert.doesNotMatch(text, BARE)
    assert.doesNotMatch(text, /^\.\r\n/m, 'no end of data inside')
    assert.match(text, /smuggled\r\n$/, 'one message')
  }
  assert.equal(host.lines.filter((line) => line.includes('smuggler')).length, 0)
})
