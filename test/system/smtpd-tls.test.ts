/**
 * TLS on a real smtpd: STARTTLS and implicit, what is demanded, what is thrown away, handshakes that fail.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { connectTo, openSession, SmtpClient, transact } from '../support/client.ts'
import { until } from '../support/wait.ts'
import { writeCertificate } from './smtpd-certificate.ts'
import { openStage, type Stage } from './smtpd-stage.ts'

const options = { timeout: 120_000 }
const mail = { from: 'a@client.example', to: ['b@example.org'], content: 'A: b\r\n\r\nx\r\n' }

interface After {
  after: (work: () => void | Promise<void>) => void
}

async function openTlsStage(t: After, mode: 'starttls' | 'required' | 'implicit'): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-'))
  const stage = await openStage({ tls: { mode, context: writeCertificate(directory) } })
  t.after(async () => {
    await stage.close()
    rmSync(directory, { recursive: true })
  })
  return stage
}

function secure(client: SmtpClient): Promise<TLSSocket> {
  client.socket.removeAllListeners('data')
  client.socket.setEncoding()
  return new Promise((done, fail) => {
    const tls = connectTls({ socket: client.socket, rejectUnauthorized: false }, () => done(tls))
    tls.once('error', fail)
  })
}

test('STARTTLS, then a message; Received says so', options, async (t) => {
  const stage = await openTlsStage(t, 'starttls')
  const plain = await connectTo(stage.port)
  await plain.reply()
  const offered = (await plain.say('EHLO client.example')).lines
  assert.ok(offered.some((line) => line.endsWith('STARTTLS')))
  assert.equal((await plain.say('STARTTLS')).code, 220)
  const client = new SmtpClient(await secure(plain))
  assert.equal((await client.say('MAIL FROM:<>')).enhanced, '5.5.1')
  const again = (await client.say('EHLO client.example')).lines
  assert.equal(
    again.some((line) => line.endsWith('STARTTLS')),
    false,
  )
  assert.equal((await transact(client, mail)).code, 250)
  assert.match(String(stage.taken[0]?.content), /with ESMTPS id/)
  const large = { ...mail, content: `A: b\r\n\r\n${`${'y'.repeat(70)}\r\n`.repeat(40_000)}` }
  assert.equal((await transact(client, large)).code, 250)
  assert.ok(String(stage.taken[1]?.content).endsWith(large.content))
  await client.quit()
})

test('what follows STARTTLS in plain text is thrown away', options, async (t) => {
  const stage = await openTlsStage(t, 'starttls')
  const plain = await openSession(stage.port)
  plain.write('STARTTLS\r\nEHLO injected.example\r\nMAIL FROM:<injected@client.example>\r\n')
  assert.equal((await plain.reply()).code, 220)
  const client = new SmtpClient(await secure(plain))
  assert.equal((await client.say('RCPT TO:<b@example.org>')).text, '5.5.1 EHLO first')
  await client.quit()
})

test('where TLS is demanded, no mail without', options, async (t) => {
  const stage = await openTlsStage(t, 'required')
  const plain = await openSession(stage.port)
  assert.equal((await plain.say('MAIL FROM:<>')).enhanced, '5.7.0')
  assert.equal((await plain.say('STARTTLS')).code, 220)
  const client = new SmtpClient(await secure(plain))
  await client.say('EHLO client.example')
  assert.equal((await transact(client, mail)).code, 250)
  await client.quit()
})

test('implicit TLS', options, async (t) => {
  const stage = await openTlsStage(t, 'implicit')
  const socket = connectTls({ host: '127.0.0.1', port: stage.port, rejectUnauthorized: false })
  const client = new SmtpClient(socket)
  assert.equal((await client.reply()).code, 220)
  assert.equal(socket.getPeerCertificate().subject.CN, 'mx.example.org')
  await client.say('EHLO client.example')
  assert.equal((await transact(client, mail)).code, 250)
  assert.match(String(stage.taken[0]?.content), /with ESMTPS id/)
  await client.quit()
})

test('a handshake that is garbage, or never ends, harms nobody', options, async (t) => {
  const stage = await openTlsStage(t, 'starttls')
  const garbage = await openSession(stage.port)
  await garbage.say('STARTTLS')
  garbage.write('this is no handshake\r\n'.repeat(100))
  await garbage.closed
  const vanishing = await openSession(stage.port)
  await vanishing.say('STARTTLS')
  vanishing.write(Buffer.from([22, 3, 1]))
  vanishing.destroy()
  await until('both sessions closed', () => stage.closedSessions.length === 2)
  const stuck = await openSession(stage.port)
  await stuck.say('STARTTLS')
  const honest = await openSession(stage.port)
  assert.equal((await transact(honest, mail)).code, 250)
  await honest.quit()
  // drain does not wait for it
  assert.equal(await stage.worker.drain(), 0)
  await stuck.closed
})

test('implicit TLS: who never says anything of TLS is let go', options, async (t) => {
  const stage = await openTlsStage(t, 'implicit')
  const plain = await connectTo(stage.port)
  plain.write('EHLO client.example\r\n')
  await plain.closed
  const silent = await connectTo(stage.port)
  silent.socket.end()
  await silent.closed
  assert.deepEqual(stage.taken, [])
})

test('without a usable key there is no TLS, and where it is demanded no mail', options, async (t) => {
  const missing = { name: 'public', certificate: '/nonexistent/c.pem', key: '/nonexistent/k.pem' }
  for (const [mode, code] of [
    ['starttls', 250],
    ['required', 530],
  ] as const) {
    const stage = await openStage({ tls: { mode, context: missing } })
    t.after(stage.close)
    const client = await connectTo(stage.port)
    await client.reply()
    const offered = (await client.say('EHLO client.example')).lines
    assert.equal(
      offered.some((line) => line.endsWith('STARTTLS')),
      false,
    )
    assert.equal((await client.say('MAIL FROM:<>')).code, code)
    assert.match(stage.worker.output(), /certificate or key cannot be used/)
    await client.quit()
  }
})
