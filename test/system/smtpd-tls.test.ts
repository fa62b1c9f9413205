/**
 * TLS on a real smtpd: STARTTLS and implicit, what is demanded, what is thrown away, handshakes that fail.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { ListenerSlice, TlsContextSlice } from '../../shared/config/slices.ts'
import { connectTo, openSession, SmtpClient, transact } from '../support/client.ts'
import { until } from '../support/wait.ts'
import { fingerprints, renewCertificate, tlsSection, writeCertificate } from './smtpd-certificate.ts'
import { listenerSlice, openStage, type Stage, stageSite } from './smtpd-stage.ts'

const options = { timeout: 120_000 }
const mail = { from: 'a@client.example', to: ['b@example.org'], content: 'A: b\r\n\r\nx\r\n' }

const [OLD, RENEWED] = fingerprints

interface After {
  after: (work: () => void | Promise<void>) => void
}

interface TlsStage extends Stage {
  context: TlsContextSlice
}

async function openTlsStage(
  t: After,
  mode: 'starttls' | 'required' | 'implicit',
  change: Partial<ListenerSlice> = {},
): Promise<TlsStage> {
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-'))
  const context = writeCertificate(directory)
  const stage = await openStage({ tls: { mode, context, sni: [] }, ...change })
  t.after(async () => {
    await stage.close()
    rmSync(directory, { recursive: true })
  })
  return { ...stage, context }
}

/** A session that is encrypted from the first octet, or after STARTTLS. */
async function enter({ port }: Stage, mode: 'starttls' | 'implicit') {
  const plain = await connectTo(port)
  if (mode === 'starttls') {
    await plain.reply()
    await plain.say('EHLO client.example')
    await plain.say('STARTTLS')
  }
  const tls = await secure(plain)
  const client = new SmtpClient(tls)
  if (mode === 'implicit') await client.reply()
  await client.say('EHLO client.example')
  return { client, certificate: tls.getPeerCertificate().fingerprint256 }
}

async function presented(stage: Stage, mode: 'starttls' | 'implicit'): Promise<string> {
  const { client, certificate } = await enter(stage, mode)
  await client.quit()
  return certificate
}

function secure(client: SmtpClient): Promise<TLSSocket> {
  client.socket.removeAllListeners('data')
  client.socket.setEncoding()
  return new Promise((done, fail) => {
    const tls = connectTls({ socket: client.socket, rejectUnauthorized: false }, () => done(tls))
    tls.once('error', fail)
  })
}

test('a PROXY header comes before the handshake, in clear, and names the client', options, async (t) => {
  const balancers = [{ negated: false, network: '127.0.0.0/8' }]
  const stage = await openTlsStage(t, 'implicit', { proxy: balancers })
  const plain = await connectTo(stage.port)
  plain.write('PROXY TCP4 192.0.2.7 192.0.2.1 12345 465\r\n')
  const client = new SmtpClient(await secure(plain))
  assert.equal((await client.reply()).code, 220)
  await client.say('EHLO client.example')
  assert.equal((await transact(client, mail)).code, 250)
  assert.equal(stage.taken[0]?.envelope.origin.client, '192.0.2.7')
  await client.quit()
  // without one there is no handshake
  await assert.rejects(secure(await connectTo(stage.port)))
})

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
  const missing = tlsSection({ certificate: '/nonexistent/c.pem', key: '/nonexistent/k.pem' })
  for (const [mode, code] of [
    ['starttls', 250],
    ['required', 530],
  ] as const) {
    const stage = await openStage({ tls: { mode, context: missing, sni: [] } })
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

for (const mode of ['starttls', 'implicit'] as const) {
  test(
    `${mode}: a renewed certificate is served to the next session, open ones go on`,
    options,
    async (t) => {
      const stage = await openTlsStage(t, mode)
      const open = await enter(stage, mode)
      assert.equal(open.certificate, OLD)
      renewCertificate(stage.context)
      await until('the renewed one', async () => (await presented(stage, mode)) === RENEWED)
      assert.equal((await transact(open.client, mail)).code, 250)
      // half a renewal is no reason to have none
      writeFileSync(stage.context.key, 'no key')
      await until('the trouble to be said', () => /key cannot be used/.test(stage.worker.output()))
      assert.equal(await presented(stage, mode), RENEWED)
      await open.client.quit()
    },
  )
}

test('a reload reads certificate and key again, changed or not', options, async (t) => {
  const stage = await openTlsStage(t, 'starttls')
  const open = await enter(stage, 'starttls')
  const reads = () => stage.worker.output().match(/certificate read/g)?.length ?? 0
  // log lines come late: the first reading is one of them, and must not pass for the second
  await until('the first reading to be told', () => reads() > 0)
  const before = reads()
  const tls: ListenerSlice['tls'] = { mode: 'starttls', context: stage.context, sni: [] }
  const slice = { ...stageSite, listeners: [listenerSlice({ tls })] }
  stage.worker.send('reconfigure', { epoch: 2, severity: 'info', slice })
  await until('it to be read again', () => reads() > before)
  assert.equal((await transact(open.client, mail)).code, 250)
  await open.client.quit()
})
