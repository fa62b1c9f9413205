/**
 * Reports about TLS through the whole of Posthorn: sessions with hosts whose domains have MTA-STS policies, or none, are
 * counted, listed, and sent by mail and by HTTPS to whom the domains say.
 * Policies and reports are taken at port 443 of an address of loopback, for which the test must be root.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { makeAuthority, type Pair, readPair } from '../support/certificates.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { freePort } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const WEB = '127.0.47.1'
const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-reports-'))
const authority = makeAuthority(directory)
const other = makeAuthority(directory, 'other')

interface Domain {
  /** Null: no TLS. */
  pair: Pair | null
  isEnforced: boolean
  rua: string | null
}

const good = authority.sign('mx.good.test', 'DNS:mx.good.test')
const domains: Readonly<Record<string, Domain>> = {
  good: { pair: good, isEnforced: true, rua: 'mailto:good@good.test' },
  bad: { pair: other, isEnforced: true, rua: 'mailto:good@good.test' },
  clear: { pair: null, isEnforced: false, rua: 'https://web.test/in?a=b' },
  silent: { pair: other, isEnforced: false, rua: null },
}
const all = Object.entries(domains)
const posted: { type: string; url: string; body: Buffer }[] = []

let web: Server | null = null
let names: NameServer
let inner: Posthorn
let outer: Posthorn

async function serve(): Promise<Server | null> {
  const pair = authority.sign(
    'web',
    ['web', ...all.map(([name]) => `mta-sts.${name}`)].map((name) => `DNS:${name}.test`).join(','),
  )
  const server = createServer(readPair(pair), (request, response) => {
    const name = /^mta-sts\.(\w+)\.test$/.exec(request.headers.host ?? '')?.[1] ?? ''
    if (request.method === 'GET') {
      return response
        .writeHead(200, { 'content-type': 'text/plain' })
        .end(`version: STSv1\nmode: enforce\nmx: mx.${name}.test\nmax_age: 86400\n`)
    }
    const body: Buffer[] = []
    request.on('data', (piece: Buffer) => body.push(piece))
    return request.on('end', () => {
      const { 'content-type': type = '' } = request.headers
      posted.push({ type, url: `${request.headers.host}${request.url}`, body: Buffer.concat(body) })
      response.writeHead(201).end()
    })
  })
  server.on('error', () => undefined)
  server.listen(443, WEB)
  return once(server, 'listening').then(
    () => server,
    () => null,
  )
}

const txt = (name: string, text: string): [string, Script] => [
  `TXT ${name}`,
  { answers: [record.txt(name, text)] },
]

function scripts(): Record<string, Script> {
  return Object.fromEntries([
    ['A web.test', { answers: [record.a('web.test', WEB)] }],
    ['AAAA web.test', nodata('test')],
    ...all.flatMap(([name, { isEnforced, rua }], n): [string, Script][] => [
      [`MX ${name}.test`, { answers: [record.mx(`${name}.test`, 10, `mx.${name}.test`)] }],
      [`A mx.${name}.test`, { answers: [record.a(`mx.${name}.test`, `127.0.48.${n + 1}`)] }],
      [`AAAA mx.${name}.test`, nodata('test')],
      [`A mta-sts.${name}.test`, { answers: [record.a(`mta-sts.${name}.test`, WEB)] }],
      [`AAAA mta-sts.${name}.test`, nodata('test')],
      ...(isEnforced ? [txt(`_mta-sts.${name}.test`, 'v=STSv1; id=1;')] : []),
      ...(rua === null ? [] : [txt(`_smtp._tls.${name}.test`, `v=TLSRPTv1; rua=${rua}`)]),
    ]),
  ])
}

before(
  async () => {
    web = await serve()
    if (!web) return
    const port = await freePort()
    names = await startNameServer(scripts())
    const listeners = all.map(([name, { pair }], n) => {
      const tls = pair ? `tls "${name}" { certificate "${pair.certificate}"; key "${pair.key}"; };` : ''
      return `${tls} listener "${name}" { type mx; address 127.0.48.${n + 1}; port ${port}; ${pair ? `tls "${name}";` : ''} };`
    })
    inner = await startPosthorn({
      silent: /^(?!mx$|submission$)/, // they are not at 127.0.0.1
      config: (paths) =>
        testConfig(paths, {
          more: `${listeners.join('\n')} zone "*.test" { type local; mailboxes "${paths.users}"; };`,
        }),
      users: all.map(([name]) => name),
    })
    outer = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          qmgr: 'retry 1h;',
          more: `smtpc { ca-file "${authority.certificate}"; }; zone "." { type remote; };
            reports { tls yes; from "tls@posthorn.example"; organization "Posthorn & Co"; };
            resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${port};
              mta-sts-ca-file "${authority.certificate}"; };`,
        }),
    })
  },
  { timeout },
)

after(
  async () => {
    if (web) {
      await outer.stop()
      await inner.stop()
      names.close()
      web.closeAllConnections()
      web.close()
    }
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

interface Listed {
  kind: string
  domain: string
  messages: number
  to: string
}

async function listed(): Promise<Listed[]> {
  const { stdout } = await outer.command('reports', 'list', '--json')
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Listed)
}

/** Reads the report of a whole message, or of what was posted. */
const READ = `
import sys, json, email, gzip
data = sys.stdin.buffer.read()
told = []
if data[:2] != b'\\x1f\\x8b':
    message = email.message_from_bytes(data)
    part = message.get_payload()[1]
    told = [message.get_content_type(), message.get_param('report-type'), message['TLS-Report-Domain'],
            message['TLS-Report-Submitter'], part.get_content_type(), part.get_filename()]
    data = part.get_payload(decode=True)
print(json.dumps([told, json.loads(gzip.decompress(data))]))`

interface Told {
  'organization-name': string
  'contact-info': string
  policies: Record<string, unknown>[]
}

function read(input: Buffer): [string[], Told] {
  const { status, stderr, stdout } = spawnSync('python3', ['-c', READ], { input, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as [string[], Told]
}

const sts = (name: string) => ({
  'policy-type': 'sts',
  'policy-string': ['version: STSv1', 'mode: enforce', `mx: mx.${name}.test`],
  'policy-domain': `${name}.test`,
  'mx-host': [`mx.${name}.test`],
})
const summary = (good: number, bad: number) => ({
  'total-successful-session-count': good,
  'total-failure-session-count': bad,
})
const failure = (type: string, mx: string, at: string) => ({
  'result-type': type,
  'sending-mta-ip': '127.0.0.1',
  'receiving-mx-hostname': mx,
  'receiving-ip': at,
  'failed-session-count': 1,
})

test('sessions are counted, listed, and reported by mail and HTTPS', { timeout }, async (t) => {
  if (!web) return t.skip(`port 443 of ${WEB} cannot be had: this needs root`)
  for (const [name] of all) {
    const { code, stderr } = await outer.sendmail(`Subject: ${name}\n\nx\n`, `${name}@${name}.test`)
    assert.equal(code, 0, stderr)
  }
  for (const name of ['good', 'clear', 'silent']) await mailsIn(inner.maildir(name), 1)
  const known = await until('three to be counted', async () => {
    const rows = await listed()
    return rows.length === 3 && rows
  })
  assert.deepEqual(
    known.map(({ kind, domain, messages, to }) => [kind, domain, messages, to]),
    [
      ['tls', 'bad.test', 1, 'good@good.test'],
      ['tls', 'clear.test', 1, 'https://web.test/in?a=b'],
      ['tls', 'good.test', 1, 'good@good.test'],
    ],
  )
  const early = await outer.command('reports', 'send')
  assert.equal(early.stdout, 'sent: 0 reports, not sent: 0\n', 'the day is not over')
  const sent = await outer.command('reports', 'send', '--today')
  assert.equal(sent.stdout, 'sent: 3 reports, not sent: 0\n')
  assert.deepEqual(await listed(), [])

  const [post] = posted
  assert.deepEqual([posted.length, post?.type, post?.url], [1, 'application/tlsrpt+gzip', 'web.test/in?a=b'])
  assert.deepEqual(read(post?.body ?? Buffer.alloc(0))[1].policies, [
    {
      policy: { 'policy-type': 'no-policy-found', 'policy-domain': 'clear.test' },
      summary: summary(0, 1),
      'failure-details': [failure('starttls-not-supported', 'mx.clear.test', '127.0.48.3')],
    },
  ])

  const mails = (await mailsIn(inner.maildir('good'), 3))
    .map(({ content }) => content)
    .filter((content) => content.includes('TLS-Report-Domain'))
  const told = mails.map(read)
  const of = (domain: string) => told.find(([[, , said]]) => said === domain) ?? assert.fail(domain)
  const [head, report] = of('bad.test')
  assert.deepEqual(head.slice(0, 5), [
    ...['multipart/report', 'tlsrpt', 'bad.test', 'mx.posthorn.example', 'application/tlsrpt+gzip'],
  ])
  assert.match(head[5] ?? '', /^mx\.posthorn\.example!bad\.test!\d+!\d+![\w.]+\.json\.gz$/)
  assert.deepEqual(
    [report['organization-name'], report['contact-info']],
    ['Posthorn & Co', 'tls@posthorn.example'],
  )
  assert.deepEqual(report.policies, [
    {
      policy: sts('bad'),
      summary: summary(0, 1),
      'failure-details': [failure('certificate-not-trusted', 'mx.bad.test', '127.0.48.2')],
    },
  ])
  assert.deepEqual(of('good.test')[1].policies, [{ policy: sts('good'), summary: summary(1, 0) }])

  // and what we have sent can be read by who gets it
  const maildir = join(directory, 'received')
  for (const folder of ['new', 'cur', 'tmp']) mkdirSync(join(maildir, folder), { recursive: true })
  mails.forEach((mail, n) => {
    writeFileSync(join(maildir, 'new', String(n)), mail)
  })
  const { code, stdout } = await outer.command('reports', 'read', maildir)
  assert.equal(code, 0)
  assert.match(stdout, /^bad\.test +\d{4}-\d\d-\d\d +sts +1 +1 +certificate-not-trusted$/m)
  assert.match(stdout, /^good\.test +\d{4}-\d\d-\d\d +sts +1 +0 *$/m)
})
