/**
 * The moments at which TLS changes, on a real smtpd: what a man in between puts behind STARTTLS, cut at every octet,
 * and certificates that are renewed as certbot does it, by links, for each name, while sessions live.
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type Authority, makeAuthority, type Pair } from '../support/certificates.ts'
import { connectTo, SmtpClient, transact } from '../support/client.ts'
import { openSecure } from '../support/login.ts'
import { until } from '../support/wait.ts'
import { tlsSection } from './smtpd-certificate.ts'
import { openStage, type Stage } from './smtpd-stage.ts'

const timeout = 120_000
const NAMES = ['mx.one.example', 'mx.two.example'] as const
const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-'))
const mail = { from: 'a@client.example', to: ['b@example.org'], content: 'A: b\r\n\r\nx\r\n' }
let authority: Authority
let stage: Stage

before(
  async () => {
    authority = makeAuthority(directory)
    const [one, two] = NAMES.map((name) => {
      issue(name, 1)
      return tlsSection({ name, ...live(name) })
    })
    assert.ok(one && two)
    stage = await openStage({ tls: { mode: 'starttls', context: one, sni: [two] } })
  },
  { timeout },
)

after(
  async () => {
    await stage?.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

function live(name: string): Pair {
  const path = (part: string) => join(directory, 'live', name, `${part}.pem`)
  return { certificate: path('fullchain'), key: path('privkey') }
}

/** A new pair in `archive`, and the links in `live` turned to it, as certbot does: another link, renamed over it. */
function issue(name: string, serial: number): void {
  const folder = join(directory, 'archive', name)
  for (const path of [folder, join(directory, 'live', name)]) mkdirSync(path, { recursive: true })
  const made = authority.sign(name, `DNS:${name}`)
  for (const part of ['certificate', 'key'] as const) {
    const file = `${part}${serial}.pem`
    renameSync(made[part], join(folder, file))
    const link = live(name)[part]
    symlinkSync(join('../../archive', name, file), `${link}.new`)
    renameSync(`${link}.new`, link)
  }
}

async function serialOf(servername: string): Promise<string> {
  const client = await openSecure(stage.port, { servername })
  const { serialNumber } = (client.socket as TLSSocket).getPeerCertificate()
  await client.quit()
  return serialNumber
}

test('certificates renewed by links, for each name; sessions that live go on', { timeout }, async () => {
  const old = await Promise.all(NAMES.map(serialOf))
  const open = await Promise.all(NAMES.map((servername) => openSecure(stage.port, { servername })))
  for (const [n, name] of NAMES.entries()) {
    issue(name, 2)
    await until(`the new one of ${name}`, async () => (await serialOf(name)) !== old[n])
    const [one, two] = await Promise.all(NAMES.map(serialOf))
    assert.notEqual(one, old[0])
    if (n === 0) assert.equal(two, old[1], 'the other is as it was')
  }
  for (const [n, client] of open.entries()) {
    assert.equal((client.socket as TLSSocket).getPeerCertificate().serialNumber, old[n])
    assert.equal((await transact(client, mail)).code, 250)
    await client.quit()
  }
})

const INJECTED = 'STARTTLS\r\nEHLO injected.example\r\nMAIL FROM:<injected@client.example>\r\n'

/** So many octets of it have been read by the server when this returns: they come in one piece with a NOOP. */
async function sendHead(octets: number): Promise<SmtpClient> {
  const client = await connectTo(stage.port)
  await client.reply()
  await client.say('EHLO client.example')
  client.write(`NOOP\r\n${INJECTED.slice(0, octets)}`)
  assert.equal((await client.reply()).code, 250)
  return client
}

test('what follows STARTTLS in clear is nothing, wherever it is cut', { timeout }, async () => {
  for (let cut = 0; cut <= INJECTED.length; cut++) {
    const plain = await sendHead(cut)
    const started = cut >= 'STARTTLS\r\n'.length
    if (!started) plain.write(INJECTED.slice(cut))
    assert.deepEqual([(await plain.reply()).code, cut], [220, cut])
    plain.socket.removeAllListeners('data')
    plain.socket.setEncoding()
    const socket = await new Promise<TLSSocket>((done, fail) => {
      const tls = connectTls({ socket: plain.socket, rejectUnauthorized: false }, () => done(tls))
      tls.once('error', fail)
    })
    const client = new SmtpClient(socket)
    // neither the EHLO in clear before it nor the one behind it counts
    assert.deepEqual([(await client.say('RCPT TO:<b@example.org>')).text, cut], ['5.5.1 EHLO first', cut])
    client.destroy()
  }
})

test('what comes in clear where a handshake should gets no reply but the end', { timeout }, async () => {
  for (let cut = 'STARTTLS\r\n'.length; cut < INJECTED.length; cut += 5) {
    const client = await sendHead(cut)
    assert.equal((await client.reply()).code, 220)
    const heard: string[] = []
    client.socket.on('data', (text) => heard.push(String(text)))
    client.write(INJECTED.slice(cut))
    await client.closed
    // an alert of TLS may come, no line of SMTP
    assert.doesNotMatch(heard.join(''), /\r\n|^\d{3}/, `cut at ${cut}`)
  }
  assert.deepEqual(
    stage.taken.map(({ envelope }) => envelope.sender),
    NAMES.map(() => mail.from),
  )
})
