/**
 * Clients behind others: PROXY headers from a balancer (by hand, and from a real HAProxy), XCLIENT from a mail proxy,
 * XFORWARD from a real Postfix; and ETRN, VRFY and EXPN for those who may. From anywhere else all that is refused.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connectTo, dotted, openSession, type SmtpClient, sendMail } from '../support/client.ts'
import { debianPrograms } from '../support/debian.ts'
import { mailsIn } from '../support/maildir.ts'
import { freePort, startPostfix } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 300_000
let posthorn: Posthorn
let sink: Sink

before(
  async () => {
    sink = await openSink(() => '450 4.2.1 not yet')
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          qmgr: 'retry 1h;',
          more: `
            zone "." { type relay; hosts { "127.0.0.1" port ${sink.port}; }; };
            listener "balanced" { type mx; address 127.0.0.1; port 0; proxy { 127.0.0.1; }; allow { 192.0.2.0/24; 2001:db8::/32; }; };
            listener "front" {
              type mx; address 127.0.0.1; port 0; relay { 192.0.2.0/24; };
              xclient { 127.0.0.1; }; xforward { 127.0.0.1; };
            };
            listener "friends" { type mx; address 127.0.0.1; port 0; relay { localhost; }; etrn { localhost; }; vrfy { localhost; }; expn { localhost; }; };`,
        }),
      users: ['anna', 'ben'],
      silent: 'balanced',
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
  },
  { timeout },
)

const port = (listener: string) => posthorn.ports[listener] ?? 0

async function behind(header: string | Buffer): Promise<SmtpClient> {
  const client = await connectTo(port('balanced'))
  client.write(header)
  return client
}

/** Mail to anna; what stands on top of it in the end. */
async function deliverTo(user: string, client: SmtpClient): Promise<string> {
  const before = (await mailsIn(posthorn.maildir(user), 0)).length
  assert.equal((await client.say('MAIL FROM:<x@client.example>')).code, 250)
  assert.equal((await client.say(`RCPT TO:<${user}@local.example>`)).code, 250)
  assert.equal((await client.say('DATA')).code, 354)
  client.write(dotted('Subject: proxied\r\n\r\nbody\r\n'))
  assert.equal((await client.reply()).code, 250)
  await client.quit()
  return (await mailsIn(posthorn.maildir(user), before + 1)).map(({ content }) => content.toString()).join('')
}

test('a balancer says for whom it speaks, in either version', { timeout }, async () => {
  const first = await behind('PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\r\nEHLO client.example\r\n')
  assert.equal((await first.reply()).code, 220)
  assert.equal((await first.reply()).code, 250)
  assert.match(await deliverTo('anna', first), /from client\.example \(\[192\.0\.2\.7\]\)/)
  const addresses = '20010db8000000000000000000000007' + '20010db8000000000000000000000001'
  const header = Buffer.from(`0d0a0d0a000d0a515549540a21210024${addresses}30390019`, 'hex')
  const second = await connectTo(port('balanced'))
  for (const octet of header) second.write(Buffer.from([octet]))
  assert.equal((await second.reply()).code, 220)
  assert.equal((await second.say('EHLO client.example')).code, 250)
  assert.match(await deliverTo('anna', second), /from client\.example \(\[IPv6:2001:db8::7\]\)/)
})

test('who is not allowed is turned away by the address that counts; no header, no word', {
  timeout,
}, async () => {
  const stranger = await behind('PROXY TCP4 198.51.100.1 192.0.2.1 12345 25\r\n')
  assert.equal((await stranger.reply()).code, 554)
  await stranger.closed
  const itself = await behind('PROXY UNKNOWN\r\n')
  assert.equal((await itself.reply()).code, 554, 'the balancer itself is not allowed')
  const none = await behind('EHLO client.example\r\n')
  await assert.rejects(none.reply(), /closed/)
  // where no header is expected it is a command like any other
  const direct = await connectTo(port('mx'))
  assert.equal((await direct.reply()).code, 220)
  assert.equal((await direct.say('PROXY TCP4 192.0.2.7 192.0.2.1 12345 25')).code, 500)
  await direct.quit()
})

test('HAProxy in front, with both versions', { timeout }, async (t) => {
  const programs = debianPrograms('haproxy')
  const haproxy = programs?.find('haproxy')
  if (!programs || !haproxy) return t.skip('no HAProxy can run here')
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-haproxy-'))
  const [one, two] = [await freePort(), await freePort()]
  const section = (name: string, at: number, way: string) =>
    `listen ${name}\n  mode tcp\n  bind 127.0.0.1:${at}\n  server posthorn 127.0.0.1:${port('balanced')} ${way}\n`
  const limits = 'defaults\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n'
  writeFileSync(
    join(directory, 'haproxy.cfg'),
    `${limits}${section('one', one, 'send-proxy')}${section('two', two, 'send-proxy-v2')}`,
  )
  const child: ChildProcess = spawn(haproxy, ['-db', '-f', join(directory, 'haproxy.cfg')], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: programs.env,
  })
  t.after(() => {
    child.kill()
    rmSync(directory, { recursive: true, force: true })
  })
  for (const at of [one, two]) {
    // loopback is not allowed there, so the refusal proves whom HAProxy spoke for
    const client = await until('HAProxy to listen', () => connectTo(at))
    assert.equal((await client.reply()).code, 554)
    await client.closed
  }
})

test('XCLIENT: rights, trace and log go by the client that is named', { timeout }, async () => {
  const client = await openSession(port('front'), 'proxy.example')
  assert.equal((await client.say('MAIL FROM:<x@client.example>')).code, 250)
  assert.equal((await client.say('RCPT TO:<far@elsewhere.example>')).code, 550)
  await client.say('RSET')
  assert.equal((await client.say('XCLIENT NAME=far.example ADDR=192.0.2.9 HELO=far.example')).code, 220)
  assert.equal((await client.say('EHLO proxy.example')).code, 250)
  assert.equal((await client.say('MAIL FROM:<x@client.example>')).code, 250)
  assert.equal((await client.say('RCPT TO:<far@elsewhere.example>')).code, 250, 'it may relay')
  await client.say('RSET')
  assert.match(await deliverTo('ben', client), /from far\.example \(far\.example \[192\.0\.2\.9\]\)/)
  await posthorn.logged(/speaks for another/)
  const other = await openSession(port('mx'))
  assert.equal((await other.say('XCLIENT ADDR=192.0.2.9')).code, 550)
  await other.quit()
})

test('XCLIENT, XFORWARD and PROXY from an address that is not configured, where another is', {
  timeout,
}, async () => {
  const from = { localAddress: '127.0.0.2' }
  const client = await connectTo(port('front'), from)
  assert.equal((await client.reply()).code, 220)
  assert.doesNotMatch((await client.say('EHLO client.example')).text, /XCLIENT|XFORWARD/)
  assert.equal((await client.say('XCLIENT ADDR=192.0.2.9 LOGIN=anna')).code, 550)
  assert.equal((await client.say('XFORWARD ADDR=192.0.2.9')).code, 550)
  assert.equal((await client.say('MAIL FROM:<x@client.example>')).code, 250)
  assert.equal((await client.say('RCPT TO:<far@elsewhere.example>')).code, 550, 'no right that it has not')
  await client.say('RSET')
  assert.match(await deliverTo('ben', client), /from client\.example \(\[127\.0\.0\.2\]\)/)
  // no header is waited for: what it is itself is not allowed there, whomever it names
  const header = await connectTo(port('balanced'), from)
  header.write('PROXY TCP4 192.0.2.7 192.0.2.1 12345 25\r\nEHLO client.example\r\n')
  assert.equal((await header.reply()).code, 554)
  await header.closed
})

test('Postfix forwards by XFORWARD where a message came from', { timeout }, async (t) => {
  const at = await freePort()
  const postfix = await startPostfix({
    port: at,
    nextHop: port('front'),
    alias: { there: 'x', here: 'x@local.example' },
    main: { smtp_send_xforward_command: 'yes' },
  })
  if (!postfix) return t.skip('no Postfix can run here')
  t.after(postfix.stop)
  const content = 'Subject: forwarded\r\n\r\nbody\r\n'
  assert.equal(
    (await sendMail(at, { from: 'x@client.example', to: ['ben@local.example'], content })).code,
    250,
  )
  const line = await posthorn.logged(/^.*"forwarded":\{.*accepted.*$/m)
  assert.match(line, /"HELO":"client\.example"/)
})

test('ETRN has the mail for one domain tried, VRFY and EXPN tell who is there', { timeout }, async () => {
  const friend = await openSession(port('friends'))
  assert.equal((await friend.say('ETRN relay.example')).code, 251)
  const reply = await sendMail(port('friends'), {
    from: 'anna@local.example',
    to: ['far@relay.example'],
    content: 'Subject: waits\r\n\r\nbody\r\n',
  })
  assert.equal(reply.code, 250)
  await until('a first attempt', async () => (await posthorn.queue()).some((row) => row.attempts > 0))
  sink.setAnswer(() => null)
  assert.equal((await friend.say('ETRN relay.example')).code, 250)
  await sink.received(1)
  assert.match((await friend.say('VRFY anna@local.example')).text, /<anna@local\.example>/)
  assert.equal((await friend.say('VRFY nobody-here@local.example')).code, 550)
  assert.match((await friend.say('EXPN anna@local.example')).text, /<anna@local\.example>/)
  await friend.quit()
  const stranger = await openSession(port('mx'))
  assert.equal((await stranger.say('ETRN relay.example')).code, 459)
  assert.equal((await stranger.say('VRFY nobody-here@local.example')).code, 252)
  await stranger.quit()
})
