/**
 * MTA-STS from DNS and HTTPS to the next host: what is enforced, what is only tested, what becomes of policies that cannot
 * be had, and that what was had once outlives its servers and a restart of the resolver.
 * The policies are served at port 443 of an address of loopback, for which the test must be root.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeAuthority, type Pair, readPair } from '../support/certificates.ts'
import { mailsIn } from '../support/maildir.ts'
import { type NameServer, nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { freePort } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const WEB = '127.0.44.1'
const directory = mkdtempSync(join(tmpdir(), 'posthorn-mta-sts-'))
const authority = makeAuthority(directory)
const other = makeAuthority(directory, 'other')

/** Policy and proof in the log; null: mail waits. */
interface Domain {
  policy: string | 'hang' | 'redirect' | 'html'
  pair: Pair
  seen: string | null
}

const says = (mode: string, mx: string) => `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 86400\n`
const named = (name: string) => authority.sign(`mx.${name}.test`, `DNS:mx.${name}.test`)
const domains: Readonly<Record<string, Domain>> = {
  good: { policy: says('enforce', 'mx.good.test'), pair: named('good'), seen: 'sts PKIX' },
  wide: { policy: says('enforce', '*.wide.test'), pair: named('wide'), seen: 'sts PKIX' },
  bad: { policy: says('enforce', 'mx.bad.test'), pair: other, seen: null },
  unnamed: { policy: says('enforce', 'elsewhere.test'), pair: named('unnamed'), seen: null },
  tested: {
    policy: says('testing', 'mx.tested.test'),
    pair: other,
    seen: 'sts-testing certificate-not-trusted',
  },
  none: { policy: says('none', 'mx.none.test'), pair: other, seen: 'opportunistic' },
  garbage: { policy: 'no policy', pair: other, seen: 'opportunistic' },
  html: { policy: 'html', pair: other, seen: 'opportunistic' },
  moved: { policy: 'redirect', pair: other, seen: 'opportunistic' },
  endless: {
    policy: `${says('enforce', 'mx.endless.test')}${'x: y\n'.repeat(20_000)}`,
    pair: other,
    seen: 'opportunistic',
  },
  hanging: { policy: 'hang', pair: other, seen: 'opportunistic' },
}
const all = Object.entries(domains)

let web: Server | null = null
let names: NameServer
let inner: Posthorn
let outer: Posthorn

async function serve(): Promise<Server | null> {
  const pair = authority.sign('web', all.map(([name]) => `DNS:mta-sts.${name}.test`).join(','))
  const server = createServer(readPair(pair), (request, response) => {
    const name = /^mta-sts\.(\w+)\.test$/.exec(request.headers.host ?? '')?.[1] ?? ''
    const { policy } = domains[name] ?? { policy: '' }
    if (request.url !== '/.well-known/mta-sts.txt') return response.writeHead(404).end()
    if (policy === 'hang') return undefined
    if (policy === 'redirect')
      return response.writeHead(302, { location: 'https://mta-sts.good.test/.well-known/mta-sts.txt' }).end()
    const type = policy === 'html' ? 'text/html' : 'text/plain'
    return response
      .writeHead(200, { 'content-type': type })
      .end(policy === 'html' ? says('enforce', 'x.test') : policy)
  })
  server.listen(443, WEB)
  return once(server, 'listening').then(
    () => server,
    () => null,
  )
}

function scripts(): Record<string, Script> {
  return Object.fromEntries(
    all.flatMap(([name], n): [string, Script][] => [
      [`MX ${name}.test`, { answers: [record.mx(`${name}.test`, 10, `mx.${name}.test`, 1)] }],
      [`A mx.${name}.test`, { answers: [record.a(`mx.${name}.test`, `127.0.45.${n + 1}`)] }],
      [`AAAA mx.${name}.test`, nodata('test')],
      [`A mta-sts.${name}.test`, { answers: [record.a(`mta-sts.${name}.test`, WEB)] }],
      [`AAAA mta-sts.${name}.test`, nodata('test')],
      [`TXT _mta-sts.${name}.test`, { answers: [record.txt(`_mta-sts.${name}.test`, 'v=STSv1; id=1;', 1)] }],
    ]),
  )
}

before(
  async () => {
    web = await serve()
    if (!web) return
    const port = await freePort()
    names = await startNameServer(scripts())
    const listeners = all.map(
      ([name, { pair }], n) =>
        `tls "${name}" { certificate "${pair.certificate}"; key "${pair.key}"; };
         listener "${name}" { type mx; address 127.0.45.${n + 1}; port ${port}; tls "${name}"; };`,
    )
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

async function send(name: string, user = name): Promise<void> {
  const { code, stderr } = await outer.sendmail(`Subject: ${name}\n\nx\n`, `${user}@${name}.test`)
  assert.equal(code, 0, stderr)
}

const waiting = (text: string, pattern: RegExp) =>
  until(`${text} to wait`, async () => {
    const { stdout } = await outer.command('queue', 'list', '--json')
    return stdout.split('\n').some((line) => line.includes(text) && pattern.test(line))
  })

describe('MTA-STS', { timeout, concurrency: true }, () => {
  for (const [name, { seen }] of all) {
    test(`${name}: ${seen ?? 'mail waits'}`, { timeout }, async (t) => {
      if (!web) return t.skip(`port 443 of ${WEB} cannot be had: this needs root`)
      await send(name)
      if (seen === null) return void (await waiting(`${name}@${name}.test`, /4\.7\.5/))
      await mailsIn(inner.maildir(name), 1)
      const line = await until('the attempt', () =>
        outer
          .log()
          .split('\n')
          .find((one) => one.includes('"attempt"') && one.includes(`"mx.${name}.test"`)),
      )
      const { policy, tls } = JSON.parse(line) as Record<string, string>
      assert.equal(policy, seen)
      assert.match(tls ?? '', /^TLSv1\.3/)
    })
  }
})

test('what was fetched holds without DNS, without the web server, and behind a restart', {
  timeout,
}, async (t) => {
  if (!web) return t.skip(`port 443 of ${WEB} cannot be had: this needs root`)
  for (const [name] of all) names.scripts.delete(`TXT _mta-sts.${name}.test`)
  web.closeAllConnections()
  web.close()
  const { stdout } = await outer.command('status', '--json')
  const { processes } = JSON.parse(stdout) as { processes: { name: string; pid: number }[] }
  const pid = processes.find((one) => one.name.startsWith('resolver'))?.pid ?? assert.fail('no resolver')
  process.kill(pid, 'SIGKILL')
  await send('bad', 'again')
  await waiting('again@bad.test', /4\.7\.5/)
  assert.equal((await mailsIn(inner.maildir('bad'), 0)).length, 0)
})
