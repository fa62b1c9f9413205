/**
 * The answerer of HTTP beside the whole of Posthorn: asked by curl and read by strict readers of others, with TLS and
 * without, through a reload and a renewed certificate, and by those who mean harm.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Authority, makeAuthority, type Pair } from '../support/certificates.ts'
import { debianPrograms } from '../support/debian.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until, within } from '../support/wait.ts'

const timeout = 120_000
const programs = debianPrograms('curl')
const curl = programs?.find('curl') ?? null
const directory = mkdtempSync(join(tmpdir(), 'posthorn-web-'))
let authority: Authority
let pair: Pair
let posthorn: Posthorn
let socket: string
/** Settles when they are all cut off. */
let slow: Promise<unknown>

const NAMES = 'DNS:mta-sts.local.example,DNS:autoconfig.local.example,DNS:autodiscover.local.example'
const PATH = '/.well-known/mta-sts.txt'

before(
  async () => {
    authority = makeAuthority(directory)
    pair = authority.sign('mail', NAMES)
    posthorn = await startPosthorn({
      config: (paths) => {
        socket = join(paths.run, 'web.sock')
        return testConfig(paths, { more: more('testing') })
      },
      silent: /^web/,
    })
    slow = sendSlowly()
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

function more(mode: string): string {
  return `
tls "web" { certificate "${pair.certificate}"; key "${pair.key}"; };
web {
  port 0; address 127.0.0.1; socket "web.sock"; tls "web";
  mta-sts ${mode}; mx "mx1.local.example" "*.mx.example"; max-age 2w;
  imap "imap.local.example"; pop3 "pop.local.example"; submission "smtp.local.example" port 587;
};`
}

const port = () => posthorn.ports['web:1'] ?? 0

interface Got {
  status: number
  text: string
  head: string
}

function get(url: string, ...words: string[]): Got {
  const { hostname } = new URL(url)
  const secure = url.startsWith('https:')
  const way = secure
    ? ['--cacert', authority.certificate, '--connect-to', `${hostname}:443:127.0.0.1:${port()}`]
    : ['--unix-socket', socket]
  const { stdout, stderr, status } = spawnSync(
    curl ?? '',
    ['-sS', '-i', '--path-as-is', '--max-time', '60', ...way, ...words, url],
    { env: programs?.env, encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`curl left with ${status}: ${stderr}`)
  const end = stdout.indexOf('\r\n\r\n')
  const head = stdout.slice(0, end)
  return { status: Number(head.split(' ')[1]), head, text: stdout.slice(end + 4) }
}

/** Said by Python's own reader, or an exception. */
function python(script: string, input: string): string {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', script], { input, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return stdout.trim()
}

const XML = `
import sys, xml.etree.ElementTree as tree
for one in tree.fromstring(sys.stdin.read()).iter():
    print(one.tag.split('}')[-1], ' '.join(one.attrib.values()), (one.text or '').strip())`

test('the policy by TLS that is checked, and in the clear by the socket', { timeout }, (t) => {
  if (!curl) return t.skip('no curl here')
  const { status, head, text } = get(`https://mta-sts.local.example${PATH}`)
  assert.equal(status, 200)
  assert.match(head, /content-type: text\/plain/i)
  assert.equal(text, policyOf('testing'))
  assert.equal(get(`http://mta-sts.local.example${PATH}`).text, policyOf('testing'))
  assert.equal(get(`http://mta-sts.local.example${PATH}`, '--head').text, '')
  assert.equal(get(`http://mta-sts.else.example${PATH}`).status, 404)
  // nobody answers for a name that the certificate is not for
  assert.throws(() => get(`https://mta-sts.else.example${PATH}`), /curl left with 35/)
})

function policyOf(mode: string): string {
  const lines = ['version: STSv1', `mode: ${mode}`, 'mx: mx1.local.example', 'mx: *.mx.example']
  return [...lines, 'max_age: 1209600', ''].join('\r\n')
}

test('the reader that others use for Postfix takes the policy', { timeout }, (t) => {
  const reader = debianPrograms('postfix-mta-sts-resolver')
  if (!reader || !curl) return t.skip('no postfix-mta-sts-resolver here')
  const script = `
import sys
sys.path.append('${join(reader.folder, 'usr/lib/python3/dist-packages')}')
from postfix_mta_sts_resolver.utils import parse_mta_sts_policy
print(sorted(parse_mta_sts_policy(sys.stdin.buffer.read().decode()).items()))`
  const said = python(script, get(`https://mta-sts.local.example${PATH}`).text)
  assert.match(said, /\('max_age', '1209600'\)/)
  assert.match(said, /\('mode', 'testing'\)/)
  assert.match(said, /\('mx', \['mx1\.local\.example', '\*\.mx\.example'\]\)/)
})

test('mail programs are told where mail is, in good XML', { timeout }, (t) => {
  if (!curl) return t.skip('no curl here')
  const config = get('https://autoconfig.local.example/mail/config-v1.1.xml?emailaddress=a%40local.example')
  const said = python(XML, config.text)
  assert.match(said, /incomingServer imap \nhostname {2}imap\.local\.example\nport {2}993\nsocketType {2}SSL/)
  assert.match(
    said,
    /outgoingServer smtp \nhostname {2}smtp\.local\.example\nport {2}587\nsocketType {2}STARTTLS/,
  )
  const request = `<?xml version="1.0"?><Autodiscover xmlns="x"><Request><EMailAddress>ann@local.example</EMailAddress></Request></Autodiscover>`
  const found = get('https://autodiscover.local.example/autodiscover/autodiscover.xml', '--data', request)
  assert.match(
    python(XML, found.text),
    /Type {2}POP3\nServer {2}pop\.local\.example\nPort {2}995\nLoginName {2}ann@local/,
  )
  const profile = get('https://autoconfig.local.example/email.mobileconfig?email=ann%40local.example')
  assert.match(profile.head, /x-apple-aspen-config/)
  const read = 'import sys, plistlib; print(plistlib.loads(sys.stdin.buffer.read())["PayloadContent"][0])'
  const account = python(read, profile.text)
  assert.match(
    account,
    /'IncomingMailServerHostName': 'imap\.local\.example', 'IncomingMailServerPortNumber': 993/,
  )
})

test('those who mean harm get their answer or none, and others theirs', { timeout }, async (t) => {
  if (!curl) return t.skip('no curl here')
  for (const path of [
    '/../../etc/passwd',
    '/.well-known/%2e%2e/%2e%2e/etc/passwd',
    '//etc/passwd',
    `/${'x'.repeat(4000)}`,
  ])
    assert.equal(get(`http://mta-sts.local.example${path}`).status, 404, path)
  const say = (text: string) => answerTo(text)
  const host = 'Host: mta-sts.local.example\r\n'
  assert.match(await say(`GET ${PATH} HTTP/1.1\r\n${host}X: ${'x'.repeat(20_000)}\r\n\r\n`), / 431 /)
  assert.match(await say(`GET ${PATH} HTTP/1.1\r\n\r\n`), / 400 /)
  assert.match(await say('nonsense\r\n\r\n'), / 400 /)
  assert.match(await say(`DELETE ${PATH} HTTP/1.1\r\n${host}\r\n`), / 405 /)
  assert.match(
    await say(`GET ${PATH} HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`),
    / 400 /,
  )
  const post = `POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: local.example\r\n`
  assert.match(await say(`${post}Content-Length: 99999\r\n\r\n${'x'.repeat(99_999)}`), / 413 /)
  assert.equal(await say(`CONNECT x:25 HTTP/1.1\r\n${host}\r\n`), '')
  assert.equal(get(`http://mta-sts.local.example${PATH}`).status, 200)
  // by the time that all this has taken, or soon
  await within('the slow ones to be cut off', 60_000, slow)
})

/** A header without end, one that is never finished, a body that was promised. */
function sendSlowly(): Promise<unknown> {
  const begun = `GET ${PATH} HTTP/1.1\r\nHost: m`
  const promised =
    'POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: local.example\r\nContent-Length: 10\r\n\r\nx'
  const words = [...Array.from({ length: 30 }, () => begun), `${begun}\r\n`, promised, '']
  return Promise.all(
    words.map((word) => {
      const one = connect(socket).on('error', () => undefined)
      if (word !== '') one.write(word)
      return closed(one.resume())
    }),
  )
}

/** With an error or without: it may be closed while we still write. */
function closed(one: Socket): Promise<unknown> {
  return new Promise((resolve) => one.once('close', resolve))
}

/** Everything until the other side closes. */
async function answerTo(text: string): Promise<string> {
  const one: Socket = connect(socket)
  let said = ''
  one.setEncoding('latin1').on('data', (part: string) => {
    said += part
  })
  one.on('error', () => undefined)
  one.write(text)
  await within('an answer', 60_000, closed(one))
  return said
}

test('a reload and a renewed certificate count at once; its process comes back', { timeout }, async (t) => {
  if (!curl) return t.skip('no curl here')
  const before = readFileSync(posthorn.configFile, 'utf8')
  writeFileSync(posthorn.configFile, before.replace('mta-sts testing', 'mta-sts enforce'))
  assert.equal((await posthorn.command('reload')).code, 0)
  const url = `https://mta-sts.local.example${PATH}`
  await until('the new policy', () => get(url).text === policyOf('enforce'))
  const renewed = authority.sign('renewed', `${NAMES},DNS:mta-sts.new.example`)
  copyFileSync(renewed.key, pair.key)
  copyFileSync(renewed.certificate, pair.certificate)
  await until('the new certificate', () => get(`https://mta-sts.new.example${PATH}`).status === 404)
  process.kill(posthorn.worker('web'), 'SIGKILL')
  await until('it to be back', () => get(url).status === 200)
  const status = await posthorn.command('status')
  assert.match(status.stdout, /^web-1 +ready/m)
  writeFileSync(posthorn.configFile, before.replace(/\nweb \{[^}]*\};/, ''))
  assert.equal((await posthorn.command('reload')).code, 0)
  await until('it to be gone', () => posthorn.workers().every(({ name }) => !name.startsWith('web')))
})
