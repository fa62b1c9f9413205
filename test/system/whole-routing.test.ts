/**
 * Rules of routing against the whole: by sender, map, size, attempt and provider, what is refused and dropped, relays
 * that share and stand in for one another, and the way round a provider that has blocked us.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Reply } from '../../shared/message/outcome.ts'
import { sendMail } from '../support/client.ts'
import { nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000

function submit(
  posthorn: Posthorn,
  to: string[],
  from = 'anna@local.example',
  octets = 500,
): Promise<Pick<Reply, 'code' | 'text'>> {
  const { content } = makeSpecimen(octets)
  return sendMail(posthorn.ports['submission'] ?? 0, { from, to, content })
}

async function taken(posthorn: Posthorn, to: string, from?: string, octets?: number): Promise<void> {
  const reply = await submit(posthorn, [to], from, octets)
  assert.equal(reply.code, 250, reply.text)
}

function scripts(domains: Record<string, string>): Record<string, Script> {
  const all: Record<string, Script> = {}
  for (const [domain, exchanger] of Object.entries(domains)) {
    all[`MX ${domain}`] = { answers: [record.mx(domain, 10, exchanger)] }
    all[`A ${exchanger}`] = { answers: [record.a(exchanger, '127.0.0.1')] }
    all[`AAAA ${exchanger}`] = nodata(exchanger)
  }
  return all
}

const whom = (sink: Sink) => sink.mails.map(({ to }) => to.join()).sort((a, b) => (a < b ? -1 : 1))

test('rules by recipient, sender, size, attempt and map decide the way', { timeout }, async () => {
  const direct = await openSink((stage, to) =>
    stage === 'rcpt' && to.startsWith('slow@') ? '450 4.2.0 not now' : null,
  )
  const [brand, large, last, mapped] = await Promise.all([openSink(), openSink(), openSink(), openSink()])
  const names = await startNameServer(
    scripts({ 'far.example': 'mx.far.test', 'near.example': 'mx.near.test' }),
  )
  const relay = (name: string, { port }: Sink) => `relay "${name}" { hosts { "127.0.0.1" port ${port}; }; };`
  const posthorn = await startPosthorn({
    config: (paths) => {
      writeFileSync(
        join(paths.directory, 'transport'),
        `map1@far.example relay mapped\nmap2@far.example smtp:[127.0.0.1]:${brand.port}\nmap3@far.example error 550 5.1.6 She has left\nmap4@far.example discard\nodd@far.example uucp:x\nmapped.example direct\n`,
      )
      return testConfig(paths, {
        more: `${relay('brand', brand)} ${relay('large', large)} ${relay('last', last)} ${relay('mapped', mapped)}
          map "transport" { type hash; file "${join(paths.directory, 'transport')}"; };
          routing "out" {
            rule recipient "gone@*" error 550 "5.1.6" "Gone for good";
            rule map "transport";
            rule sender "*@brand.example" relay "brand";
            rule attempt 2 relay "last";
            rule size 100K relay "large";
          };
          zone "." { type remote; routing "out"; };
          zone "closed.example" { type error; reply 550 "5.1.2" "Closed for ever"; };
          zone "nowhere.example" { type discard; };
          resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${direct.port}; };`,
      })
    },
  })
  try {
    await taken(posthorn, 'plain@far.example')
    await taken(posthorn, 'sender@far.example', 'x@Brand.example')
    await taken(posthorn, 'size@far.example', undefined, 200_000)
    await taken(posthorn, 'slow@far.example')
    await taken(posthorn, 'Map1@far.example')
    await taken(posthorn, 'map2@far.example')
    await taken(posthorn, 'map4@far.example')
    await taken(posthorn, 'anybody@nowhere.example')
    await posthorn.logged(/anybody@nowhere\.example","outcome":"sent".*discarded, as zone nowhere\.example/)
    await posthorn.logged(/map4@far\.example","outcome":"sent".*discarded, as zone \./)
    await Promise.all([
      direct.received(1),
      brand.received(2),
      large.received(1),
      last.received(1),
      mapped.received(1),
    ])
    assert.deepEqual(whom(direct), ['plain@far.example'])
    assert.deepEqual(whom(brand), ['map2@far.example', 'sender@far.example'])
    assert.deepEqual(whom(large), ['size@far.example'])
    assert.deepEqual(whom(last), ['slow@far.example'])
    assert.deepEqual(whom(mapped), ['Map1@far.example'])
    for (const [to, said] of [
      ['gone@far.example', /5\.1\.6 Gone for good/],
      ['map3@far.example', /5\.1\.6 She has left/],
      ['x@closed.example', /5\.1\.2 Closed for ever/],
    ] as const) {
      const reply = await submit(posthorn, [to])
      assert.equal(reply.code, 550)
      assert.match(reply.text, said)
    }
    await posthorn.queueEmpty()
    await taken(posthorn, 'odd@far.example') // a mistake of ours: it waits
    await posthorn.logged(/map has a value that is no good/)
    await posthorn.logged(/odd@far\.example","outcome":"later"/)
  } finally {
    await posthorn.stop()
    names.close()
    await Promise.all([direct, brand, large, last, mapped].map((sink) => sink.close()))
  }
})

test('strangers are told of error zones, and may send to those that discard', { timeout }, async () => {
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: 'zone "closed.example" { type error; }; zone "busy.example" { type error; reply 450; }; zone "nowhere.example" { type discard; };',
      }),
  })
  try {
    const { content } = makeSpecimen(300)
    const send = (to: string) =>
      sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@far.example', to: [to], content })
    const closed = await send('x@closed.example')
    assert.deepEqual([closed.code, closed.text.includes('5.1.2')], [550, true])
    assert.equal((await send('x@busy.example')).code, 450)
    assert.equal((await send('x@nowhere.example')).code, 250)
    await posthorn.logged(/x@nowhere\.example","outcome":"sent".*discarded/)
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
  }
})

test('a provider that blocks us is gone round by a relay, and back after a while', { timeout }, async () => {
  let blocked = true
  const provider = await openSink((stage) =>
    blocked && stage === 'mail' ? '421 4.7.0 Your address is on our block list' : null,
  )
  const [smarthost, other] = await Promise.all([openSink(), openSink()])
  const names = await startNameServer(
    scripts({
      'a.example': 'a.mail.provider.test',
      'b.example': 'b.mail.provider.test',
      'c.example': 'mx.c.test',
    }),
  )
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 200ms;',
        more: `relay "smarthost" { hosts { "127.0.0.1" port ${smarthost.port}; }; };
          relay "other" { hosts { "127.0.0.1" port ${other.port}; }; };
          routing "out" { rule provider "provider.test" direct else relay "smarthost"; rule provider "*.c.test" relay "other"; };
          zone "." { type remote; routing "out"; };
          retry-class "block" { text "block list"; suspend 3s; };
          resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${provider.port}; };`,
      }),
  })
  try {
    await taken(posthorn, '1@a.example')
    await taken(posthorn, '1@c.example')
    await posthorn.logged(/"retryClass":"block".*"suspended"/)
    await smarthost.received(1)
    await taken(posthorn, '2@b.example') // another customer of the same provider
    await smarthost.received(2)
    await other.received(1)
    assert.deepEqual([whom(smarthost), whom(other)], [['1@a.example', '2@b.example'], ['1@c.example']])
    assert.equal(provider.mails.length, 0)
    blocked = false
    for (let n = 3; provider.mails.length === 0; n++) {
      await taken(posthorn, `${n}@a.example`)
      await posthorn.queueEmpty()
    }
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
    names.close()
    await Promise.all([provider, smarthost, other].map((sink) => sink.close()))
  }
})

test('a refusal for good that names a block is gone round, in sight of status, and over a restart', {
  timeout,
}, async () => {
  const provider = await openSink((stage) =>
    stage === 'mail' ? '550 5.7.1 Your address is on our block list' : null,
  )
  const smarthost = await openSink()
  const names = await startNameServer(
    scripts({
      'a.example': 'a.mail.provider.test',
      'b.example': 'b.mail.provider.test',
      'c.example': 'mx.c.test',
    }),
  )
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: `relay "smarthost" { hosts { "127.0.0.1" port ${smarthost.port}; }; };
          routing "out" { rule provider "provider.test" direct else relay "smarthost"; };
          zone "." { type remote; routing "out"; };
          retry-class "block" { codes { 550; }; text "block list"; suspend 3h; hint "write to postmaster@provider.test"; };
          resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${provider.port}; };`,
      }),
    users: ['anna'],
  })
  try {
    await taken(posthorn, '1@a.example')
    await smarthost.received(1)
    const { stdout } = await posthorn.command('status')
    assert.match(
      stdout,
      /Sending is suspended:\n {2}provider\.test: for \w+ \(block\), as .* said: 550 5\.7\.1 Your address/,
    )
    assert.match(stdout, /\n {4}hint: write to postmaster@provider\.test\n/)
    const first = posthorn.worker('qmgr')
    process.kill(first, 'SIGKILL')
    await until('another qmgr', async () => {
      const { stdout: now } = await posthorn.command('status')
      return /Sending is suspended:/.test(now) && posthorn.worker('qmgr') !== first
    })
    const asked = provider.connections()
    await taken(posthorn, '2@b.example')
    await smarthost.received(2)
    assert.equal(provider.connections(), asked, 'nobody asked the provider again')
    await taken(posthorn, '3@c.example') // for whom no other way is named
    await posthorn.logged(/3@c\.example","outcome":"never","verdict":"fail"/)
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
    names.close()
    await Promise.all([provider, smarthost].map((sink) => sink.close()))
  }
})

test('a backup takes mail for those it knows, and only to exchangers before it', { timeout }, async () => {
  const primary = await openSink()
  const mx = (domain: string, ...hosts: [number, string][]): [string, Script] => [
    `MX ${domain}`,
    { answers: hosts.map(([preference, host]) => record.mx(domain, preference, host)) },
  ]
  const names = await startNameServer({
    ...Object.fromEntries([
      mx('second.example', [10, 'primary.test'], [20, 'mx.posthorn.example'], [30, 'third.test']),
      mx('first.example', [10, 'mx.posthorn.example'], [20, 'primary.test']),
    ]),
    'A primary.test': { answers: [record.a('primary.test', '127.0.0.1')] },
    'AAAA primary.test': nodata('primary.test'),
  })
  const posthorn = await startPosthorn({
    config: (paths) => {
      const known = join(paths.directory, 'known')
      writeFileSync(known, 'ann@second.example yes\n@first.example yes\n')
      return testConfig(paths, {
        more: `map "known" { type hash; file "${known}"; };
          zone "second.example" { type backup; recipients map "known"; };
          zone "first.example" { type backup; recipients map "known"; };
          resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${primary.port}; };`,
      })
    },
  })
  try {
    const { content } = makeSpecimen(300)
    const send = (to: string) =>
      sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@far.example', to: [to], content })
    assert.equal((await send('ann@second.example')).code, 250)
    await primary.received(1)
    assert.deepEqual(whom(primary), ['ann@second.example'])
    const unknown = await send('bob@second.example')
    assert.deepEqual([unknown.code, unknown.text.includes('5.1.1')], [550, true])
    const loop = await send('x@first.example')
    assert.deepEqual([loop.code, loop.text.includes('5.4.6')], [550, true])
    await posthorn.queueEmpty()
  } finally {
    await posthorn.stop()
    names.close()
    await primary.close()
  }
})
