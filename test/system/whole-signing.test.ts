/**
 * What users send is signed (DKIM) and nothing changes it after that: through the whole of Posthorn to a sink, by DATA
 * and BDAT, small and large, whatever the octets; then verified by Debian's dkimpy and opendkim.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openSession, sendMail } from '../support/client.ts'
import { debianPrograms } from '../support/debian.ts'
import { dkimpy } from '../support/dkimpy.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { type SigningKey, signingKey } from '../support/signing-key.ts'
import { openSink, type Sink, type SunkMail } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 240_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-signing-'))
const keys = {
  rsa: signingKey('rsa'),
  simple: signingKey('rsa'),
  ed: signingKey('ed25519'),
  news: signingKey('ed25519'),
  lost: signingKey('ed25519'),
  own: signingKey('rsa'),
}
const published: Record<string, string> = {
  'rsa._domainkey.example.org': keys.rsa.record,
  'ed._domainkey.example.org': keys.ed.record,
  'simple._domainkey.simple.example': keys.simple.record,
  'own._domainkey.posthorn.example': keys.own.record,
  'news._domainkey.news.example': keys.news.record,
  'lost._domainkey.lost.example': keys.lost.record,
}
let names: NameServer
let sink: Sink
let posthorn: Posthorn

const keyFile = (name: string) => join(directory, `${name}.pem`)

function keep(name: string, { pem }: SigningKey): void {
  rmSync(keyFile(name), { force: true })
  writeFileSync(keyFile(name), pem, { mode: 0o400 })
}

function section(name: string, more: string): string {
  return `dkim "${name}" { selector "${name}"; key "${keyFile(name)}"; ${more} };\n`
}

before(
  async () => {
    for (const [name, key] of Object.entries(keys)) if (name !== 'lost') keep(name, key)
    const answers = Object.entries(published).map(([name, text]) => [
      `TXT ${name}`,
      { answers: [record.txt(name, name.startsWith('news') ? keys.ed.record : text)] },
    ])
    names = await startNameServer(Object.fromEntries(answers))
    const offers = '250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE'
    sink = await openSink((stage, word) => {
      if (stage === 'rcpt' && word.startsWith('refused@')) return '550 5.1.1 nobody here'
      return stage === 'ehlo' ? offers : null
    })
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          mx: 'sign yes; relay { 127.0.0.0/8; };',
          more: `
${section('rsa', 'domains { "example.org"; };')}
${section('ed', 'lifetime 7d; domains { "example.org"; };')}
${section('simple', 'domains { "simple.example"; }; canonicalization simple/simple;')}
${section('news', 'domains { "news.example"; }; senders { "news@*"; };')}
${section('own', 'domains { "posthorn.example"; };')}
${section('lost', 'domains { "lost.example"; };')}
listener "unsigned" { type submission; sign no; address 127.0.0.1; port 0; relay { localhost; }; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; timeout 3s; attempts 1; };`,
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
    names.close()
    rmSync(directory, { recursive: true })
  },
  { timeout },
)

interface Sending {
  listener?: string
  chunked?: boolean
}

async function send(
  content: Buffer,
  { listener = 'submission', chunked = false }: Sending = {},
): Promise<SunkMail> {
  const before = sink.mails.length
  const client = await openSession(posthorn.ports[listener] ?? 0)
  const utf8 = /^.*[\x80-\xff].*:|^Subject: \xc3/m.test(content.toString('latin1', 0, 300))
  await client.say(`MAIL FROM:<ann@example.org> BODY=8BITMIME${utf8 ? ' SMTPUTF8' : ''}`)
  await client.say('RCPT TO:<b@relay.example>')
  const reply = chunked ? await inChunks(client, content) : await byData(client, content)
  assert.equal(reply.code, 250, reply.text)
  await client.quit()
  const mails = await sink.received(before + 1)
  return mails[before] ?? assert.fail()
}

type Client = Awaited<ReturnType<typeof openSession>>

async function byData(client: Client, content: Buffer) {
  await client.say('DATA')
  const dotted = Buffer.from(content.toString('latin1').replace(/^\./gm, '..'), 'latin1')
  client.socket.write(Buffer.concat([dotted, Buffer.from('.\r\n')]))
  return client.reply()
}

async function inChunks(client: Client, content: Buffer) {
  const cut = Math.floor(content.length / 3)
  for (const piece of [content.subarray(0, cut), content.subarray(cut)]) {
    const last = piece.length === content.length - cut
    client.socket.write(Buffer.concat([Buffer.from(`BDAT ${piece.length}${last ? ' LAST' : ''}\r\n`), piece]))
    if (!last) assert.equal((await client.reply()).code, 250)
  }
  return client.reply()
}

function header(domain: string, more = ''): string {
  return `From: Ann  <ann@${domain}>\r\nTo: b@relay.example\r\nSubject:   folded\r\n\there \t \r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@${domain}>\r\n${more}`
}

const BODIES: Readonly<Record<string, string>> = {
  empty: '',
  'empty lines only': '\r\n\r\n',
  'white space and lines at the end': ' a  b \t\r\n\r\nc\r\n\r\n\r\n',
  'dots in front': '.\r\n..dots\r\n.\r\n',
  'long lines of 8 bits': `${'long '.repeat(300)}\r\n${'\xff\xe4 '.repeat(3000)}\r\n`,
  'streamed into a file': `${'some words, or more of them\t \r\n'.repeat(33_000)}\r\n\r\n`,
}

function messagesOf(domain: string): Buffer[] {
  const plain = Object.values(BODIES).map((body) => Buffer.from(`${header(domain)}\r\n${body}`, 'latin1'))
  const utf8 = Buffer.from(
    `Subject: ÄÖ\r\nFrom: Jürgen <ann@${domain}>\r\nTo: <b@relay.example>\r\n\r\nÜ\r\n`,
  )
  const twice = Buffer.from(`${header(domain, 'Subject: another\r\nCc: x@y.example\r\n')}\r\nx\r\n`)
  return [...plain, utf8, twice]
}

for (const [domain, signatures] of [
  ['example.org', 'good good'],
  ['mail.example.org', 'good good'],
  ['simple.example', 'good'],
] as const)
  test(`${domain}: dkimpy verifies each message, however it came`, { timeout }, async (t) => {
    const peer = dkimpy()
    if (!peer) return t.skip('no python3-dkim here')
    const got: Buffer[] = []
    for (const message of messagesOf(domain))
      for (const chunked of [false, true]) got.push((await send(message, { chunked })).content)
    assert.deepEqual(
      peer.signatures(got, published),
      got.map(() => signatures),
    )
    const changed = got.map((one) =>
      Buffer.from(one.toString('latin1').replace(/^From: \S+/m, 'From: Eve'), 'latin1'),
    )
    assert.ok(!peer.signatures(changed, published).some((found) => found.includes('good')))
    const d = domain.replace(/^mail\./, '')
    assert.match(got[0]?.toString() ?? '', new RegExp(`^DKIM-Signature: v=1; a=rsa-sha256; .*d=${d};`, 's'))
  })

test('random content stays what was signed', { timeout }, async (t) => {
  const peer = dkimpy()
  if (!peer) return t.skip('no python3-dkim here')
  const got: Buffer[] = []
  for (let n = 0; n < 30; n++) {
    const octets = randomBytes(1 + n * 300).map((octet) => (octet === 0 ? 1 : octet))
    const body = Buffer.from(octets)
      .toString('latin1')
      .replace(/[\r\n]+/g, '\r\n')
    const message = Buffer.from(`${header('example.org')}\r\n${body}\r\n`, 'latin1')
    got.push((await send(message, { chunked: n % 2 === 0 })).content)
  }
  assert.deepEqual(
    peer.signatures(got, published),
    got.map(() => 'good good'),
  )
})

test('opendkim verifies it too', { timeout }, async (t) => {
  const program = debianPrograms('opendkim')
  const path = program?.find('opendkim')
  if (!program || !path) return t.skip('no opendkim here')
  writeFileSync(
    join(directory, 'keys'),
    Object.entries(published)
      .map(([name, text]) => `${name} ${text}\n`)
      .join(''),
  )
  writeFileSync(join(directory, 'conf'), `Mode v\nTestPublicKeys ${join(directory, 'keys')}\nSyslog no\n`)
  const judged = async (message: Buffer, change = (text: string) => text) => {
    const text = change((await send(message)).content.toString('latin1'))
    writeFileSync(join(directory, 'message'), Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1'))
    const words = ['-x', join(directory, 'conf'), '-t', join(directory, 'message'), '-v', '-v']
    const { stdout, stderr } = spawnSync(path, words, { env: program.env, encoding: 'utf8', timeout: 30_000 })
    return `${stdout}${stderr}`
  }
  for (const message of messagesOf('example.org'))
    assert.match(await judged(message), /dkim=pass .*a=rsa-sha256/)
  const [first = Buffer.alloc(0)] = messagesOf('example.org')
  assert.match(await judged(first, (text) => text.replace('Ann', 'Eve')), /dkim=fail/)
})

test('what is not ours to sign is left alone', { timeout }, async () => {
  const plain = (domain: string) => Buffer.from(`${header(domain)}\r\nx\r\n`)
  const isSigned = async (message: Buffer, listener = 'submission') =>
    /^DKIM-Signature:/m.test((await send(message, { listener })).content.toString())
  assert.equal(await isSigned(plain('elsewhere.example')), false, 'nobody has its key')
  assert.equal(await isSigned(plain('news.example')), false, 'another author')
  assert.equal(await isSigned(Buffer.from(plain('news.example').toString().replace('ann@', 'News@'))), true)
  assert.equal(await isSigned(plain('example.org'), 'unsigned'), false, 'sign no')
  const twice = Buffer.from(`From: a@elsewhere.example\r\n${plain('example.org')}`)
  assert.equal(await isSigned(twice), false, 'two authors')
})

test('the smtpd for strangers has it signed for whom it relays, and qmgr its reports', {
  timeout,
}, async (t) => {
  const peer = dkimpy()
  if (!peer) return t.skip('no python3-dkim here')
  const relayed = [
    Buffer.from(`${header('example.org')}\r\nx\r\n`),
    ...messagesOf('simple.example').slice(5, 6),
  ]
  const got = [
    await send(relayed[0] ?? assert.fail(), { listener: 'mx' }),
    await send(relayed[1] ?? assert.fail(), { listener: 'mx' }),
  ]
  assert.deepEqual(
    peer.signatures(
      got.map(({ content }) => content),
      published,
    ),
    ['good good', 'good'],
  )
  const foreign = await send(Buffer.from(`${header('elsewhere.example')}\r\nx\r\n`), { listener: 'mx' })
  assert.doesNotMatch(foreign.content.toString(), /^DKIM-Signature:/m)
  const before = sink.mails.length
  const lost = {
    from: 'ann@relay.example',
    to: ['refused@relay.example'],
    content: `${header('elsewhere.example')}\r\nx\r\n`,
  }
  assert.equal((await sendMail(posthorn.ports['submission'] ?? 0, lost)).code, 250)
  const report = (await sink.received(before + 1))[before]?.content ?? assert.fail()
  assert.match(report.toString(), /^From: Mail Delivery System <MAILER-DAEMON@mx\.posthorn\.example>/m)
  assert.deepEqual(peer.signatures([report], published), ['good'])
})

test('a key that is not there puts mail off; it may come, and change', { timeout }, async () => {
  const mail = {
    from: 'ann@lost.example',
    to: ['b@relay.example'],
    content: `${header('lost.example')}\r\nx\r\n`,
  }
  const submission = posthorn.ports['submission'] ?? 0
  const first = await sendMail(submission, mail)
  assert.deepEqual([first.code, first.enhanced], [451, '4.3.5'])
  await posthorn.logged(/no DKIM key/)
  keep('lost', keys.lost)
  await until('the key is found', async () => (await sendMail(submission, mail)).code === 250)
  const other = signingKey('rsa')
  keep('lost', other)
  chmodSync(keyFile('lost'), 0o400)
  utimesSync(keyFile('lost'), 1, 1)
  const before = sink.mails.length
  await until('the other key signs', async () => {
    assert.equal((await sendMail(submission, mail)).code, 250)
    return (await sink.received(sink.mails.length > before ? sink.mails.length : before + 1)).some(
      ({ content }, n) =>
        n >= before && content.includes('a=rsa-sha256') && content.includes('d=lost.example'),
    )
  })
})

test('a key that is not the one in DNS is a warning', { timeout }, async () => {
  await posthorn.logged(/news\._domainkey\.news\.example.*DKIM key is not the one in DNS/)
  assert.doesNotMatch(posthorn.log(), /simple\._domainkey.*not/)
})
