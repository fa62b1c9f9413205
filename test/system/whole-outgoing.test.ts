/**
 * The way to other servers: with a certificate of ours to one that lets in nobody without, and through Debian's
 * microsocks, a SOCKS5 proxy that asks for a password, and Debian's tinyproxy, one of HTTP that does the same.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { makeAuthority } from '../support/certificates.ts'
import { sendMail } from '../support/client.ts'
import { debianPrograms } from '../support/debian.ts'
import { mailsIn } from '../support/maildir.ts'
import { freePort } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 400_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-outgoing-'))
const authority = makeAuthority(directory)
const theirs = authority.sign('localhost', 'DNS:localhost')
const ours = authority.sign('client.example', 'DNS:client.example')
const nonsense = join(directory, 'nonsense')
let strict: Posthorn
let outer: Posthorn
let sink: Sink
let proxyPort = 0
let webPort = 0
let web: typeof proxy = null
let proxy: { child: ChildProcess; said: () => string } | null = null

before(
  async () => {
    sink = await openSink()
    writeFileSync(nonsense, 'nonsense')
    proxyPort = await freePort()
    proxy = startProxy(proxyPort)
    webPort = await freePort()
    web = startWebProxy(webPort)
    strict = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'tls "public" required;',
          more: `tls "public" { certificate "${theirs.certificate}"; key "${theirs.key}";
              client-ca "${authority.certificate}"; client-certificate required; };
            zone "named.example" { type local; mailboxes "${paths.users}"; };
            zone "unnamed.example" { type local; mailboxes "${paths.users}"; };`,
        }),
      users: ['anna', 'ben'],
    })
    outer = await startPosthorn({ config: outerConfig })
  },
  { timeout },
)

after(
  async () => {
    proxy?.child.kill()
    web?.child.kill()
    await outer.stop()
    await strict.stop()
    await sink.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

/** Null where the package cannot be had. */
function startProxy(port: number): typeof proxy {
  const programs = debianPrograms('microsocks')
  const program = programs?.find('microsocks')
  if (!programs || !program) return null
  const words = ['-i', '127.0.0.1', '-p', String(port), '-u', 'ann', '-P', 's3cret']
  return startProgram(program, words, programs.env)
}

function startWebProxy(port: number): typeof proxy {
  const programs = debianPrograms('tinyproxy-bin')
  const program = programs?.find('tinyproxy')
  if (!programs || !program) return null
  const file = join(directory, 'tinyproxy.conf')
  writeFileSync(file, `Port ${port}\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nBasicAuth ann s3cret\n`)
  return startProgram(program, ['-d', '-c', file], programs.env)
}

function startProgram(program: string, words: string[], env: NodeJS.ProcessEnv): typeof proxy {
  const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  return { child, said: () => said }
}

function outerConfig(paths: Parameters<Parameters<typeof startPosthorn>[0]['config']>[0]): string {
  const host = `hosts { "localhost" port ${strict.ports['mx']}; };`
  const webWay = `proxy "http://ann:s3cret@127.0.0.1:${webPort}";`
  const way = `proxy "socks5://ann:s3cret@127.0.0.1:${proxyPort}";`
  return testConfig(paths, {
    mx: 'relay { localhost; };',
    more: `
      zone "named.example" { type relay; ${host} tls-certificate "${ours.certificate}"; tls-key "${ours.key}"; };
      zone "unnamed.example" { type relay; ${host} };
      zone "far.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; ${way} };
      zone "wrong.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; ${way.replace('s3cret', 'guess')} };
      zone "web.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; ${webWay} };
      zone "shut.example" { type relay; hosts { "127.0.0.2" port ${sink.port}; }; ${webWay.replace('s3cret', 'guess')} };
      zone "near.example" { type relay; hosts { "localhost" port ${sink.port}; }; ${way} };
      zone "broken.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; };
        tls-certificate "${nonsense}"; tls-key "${nonsense}"; };
      server "localhost" { proxy none; };`,
  })
}

const send = async (to: string, body: string) => {
  const reply = await sendMail(outer.ports['mx'] ?? 0, {
    from: 'x@client.example',
    to: [to],
    content: `Subject: x\r\n\r\n${body}\r\n`,
  })
  assert.equal(reply.code, 250)
}

function needsProxy(t: TestContext): boolean {
  if (!proxy) t.skip('the package cannot be had here')
  return proxy !== null
}

test('a server that asks for a certificate gets ours, and takes the mail', { timeout }, async () => {
  await send('anna@named.example', 'known')
  const [mail] = await mailsIn(strict.maildir('anna'), 1)
  assert.match(mail?.content.toString() ?? '', /known/)
  await outer.logged(/"tls":"TLSv1\.[23] /)
})

test('without one it does not; nor over the connection that another zone has open', { timeout }, async () => {
  await send('ben@unnamed.example', 'unknown')
  await until('it to be put off', async () =>
    (await outer.queue()).some((row) => row.recipient === 'ben@unnamed.example' && row.attempts > 0),
  )
  await send('anna@named.example', 'again')
  await mailsIn(strict.maildir('anna'), 2)
  assert.ok((await outer.queue()).some((row) => row.recipient === 'ben@unnamed.example'))
})

test('a certificate that is none keeps mail waiting, never in clear', { timeout }, async () => {
  await send('anna@broken.example', 'waits')
  await outer.logged(/tls-certificate cannot be used/)
  assert.ok((await outer.queue()).some((row) => row.recipient === 'anna@broken.example'))
})

test('through a proxy with a password', { timeout }, async (t) => {
  if (!needsProxy(t)) return
  await until('the proxy to listen', () => reached(proxyPort), timeout)
  await send('far@far.example', 'by proxy')
  const [mail] = await sink.received(1)
  assert.match(mail?.content.toString() ?? '', /by proxy/)
  assert.match(proxy?.said() ?? '', new RegExp(`connected to 127\\.0\\.0\\.1:${sink.port}`))
})

// before that to another zone with the same hosts fails: a destination in trouble is left alone for a while
test('through a proxy of HTTP with a password, and not with a wrong one', { timeout }, async (t) => {
  if (!web) return t.skip('the package cannot be had here')
  await until('the proxy to listen', () => reached(webPort), timeout)
  const before = sink.mails.length
  await send('far@web.example', 'by http')
  const mails = await sink.received(before + 1)
  assert.match(mails.at(-1)?.content.toString() ?? '', /by http/)
  assert.match(web.said(), /CONNECT|Connect/)
  await send('far@shut.example', 'nothing')
  await outer.logged(new RegExp(`proxy 127\\.0\\.0\\.1:${webPort}: answers .*40[17]`))
  assert.ok((await outer.queue()).some((row) => row.recipient === 'far@shut.example'))
  assert.doesNotMatch(outer.log(), /s3cret|guess/)
})

test('with a wrong one mail waits and the log says why', { timeout }, async (t) => {
  if (!needsProxy(t)) return
  await send('far@wrong.example', 'nothing')
  await outer.logged(new RegExp(`proxy 127\\.0\\.0\\.1:${proxyPort}: .*uthentication`))
  assert.ok((await outer.queue()).some((row) => row.recipient === 'far@wrong.example'))
  assert.doesNotMatch(outer.log(), /s3cret|guess/)
})

test('a server section has the last word', { timeout }, async () => {
  const before = sink.mails.length
  await send('near@near.example', 'straight')
  await until('it to arrive', () =>
    sink.mails.slice(before).some((mail) => mail.content.toString().includes('straight')),
  )
  assert.equal((proxy?.said() ?? '').split('connected to').length <= 2, true, 'but for the one before')
})

function reached(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
