/**
 * What others' servers say and share, against the whole: the customers of one provider share connections and not
 * their deaths; zones and classes of replies have schedules of their own; a class may suspend.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { nodata, record, type Script, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Stage } from '../support/sink.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const HOUR = 3_600_000

async function submit(posthorn: Posthorn, to: string): Promise<void> {
  const { content } = makeSpecimen(500)
  const port = posthorn.ports['submission'] ?? 0
  const reply = await sendMail(port, { from: 'anna@local.example', to: [to], content })
  assert.equal(reply.code, 250, reply.text)
}

interface Row {
  recipient: string
  attempts: number
  nextAttemptAt: string | null
  destination: string
  lastReply: { code: number; enhanced: string; text: string } | null
}

async function rowOf(posthorn: Posthorn, recipient: string): Promise<Row | undefined> {
  const { stdout } = await posthorn.command('queue', 'list', '--json', '--recipient', recipient)
  return stdout.trim() === '' ? undefined : (JSON.parse(stdout.trim().split('\n')[0] ?? '') as Row)
}

/** Deferred, after a reply. */
function waiting(posthorn: Posthorn, recipient: string): Promise<Row> {
  return until(`${recipient} to wait`, async () => {
    const row = await rowOf(posthorn, recipient)
    return row?.lastReply && row.nextAttemptAt !== null && row
  })
}

const CUSTOMERS = 8

function customerScripts(): Record<string, Script> {
  const scripts: Record<string, Script> = {}
  const add = (domain: string, address: string) => {
    const exchanger = `${domain.replaceAll('.', '-')}.mail.provider.test`
    scripts[`MX ${domain}`] = { answers: [record.mx(domain, 10, exchanger)] }
    scripts[`A ${exchanger}`] = { answers: [record.a(exchanger, address)] }
    scripts[`AAAA ${exchanger}`] = nodata('provider.test')
  }
  for (let n = 0; n < CUSTOMERS; n++) add(`c${n}.example`, '127.0.0.1')
  add('dead.example', '127.0.0.2')
  return scripts
}

test('customers of one provider share its connections, and no other dies with one', { timeout }, async () => {
  const open = { now: 0, most: 0 }
  const sink = await openSink((stage) => {
    if (stage === 'connect') open.most = Math.max(open.most, ++open.now)
    if (stage === 'quit') open.now--
    return null
  })
  const names = await startNameServer(customerScripts())
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h; initial-connections 1; max-connections 1;',
        more: `zone "." { type remote; }; smtpc { connection-idle 1m; };
          resolver { nameservers { 127.0.0.1 port ${names.port}; }; smtp-port ${sink.port}; };`,
      }),
  })
  try {
    for (let n = 0; n < 8; n++) await submit(posthorn, `${n}@dead.example`)
    const dead = await waiting(posthorn, '7@dead.example')
    assert.match(dead.lastReply?.text ?? '', /^dead-example\.mail\.provider\.test does not answer$/)
    assert.equal(dead.attempts, 0, 'put aside without an attempt')
    for (let round = 0; round < 3; round++) {
      const all = Array.from({ length: CUSTOMERS }, (_, n) => submit(posthorn, `${round}@c${n}.example`))
      await Promise.all(all)
    }
    await sink.received(3 * CUSTOMERS)
    // One may be greeted before the farewell of the one whose place it takes has been read.
    assert.ok(open.most <= 2, `${open.most} connections at one time`)
  } finally {
    await posthorn.stop()
    names.close()
    await sink.close()
  }
})

test('zones and classes of replies have schedules of their own, and may suspend', { timeout }, async () => {
  let limited = true
  let hasty = 0
  const sink = await openSink((stage: Stage, argument: string) => {
    if (stage !== 'rcpt') return null
    if (argument.endsWith('@grey.example')) return '451 4.7.1 Greylisted, see you'
    if (argument.endsWith('@quota.example')) return '452 4.2.2 mailbox full'
    if (argument.endsWith('@hasty.example')) return hasty++ === 0 ? '450 4.2.1 not now' : null
    return limited && argument.endsWith('@limited.example') ? '421 4.7.0 Rate limited, go away' : null
  })
  const zone = (name: string, more = '') =>
    `zone "${name}.example" { type relay; hosts { "127.0.0.1" port ${sink.port}; }; ${more} };`
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h; delay-warning 0;',
        more: `${zone('grey')} ${zone('quota')} ${zone('hasty', 'retry 100ms;')}
          zone "limited.example" { type relay; hosts { "localhost" port ${sink.port}; }; };
          retry-class "greylisted" { codes { "4.7.x"; }; text "greylist"; retry 6h; };
          retry-class "full" { zones "quota.example"; codes { 452; }; retry 500ms; lifetime 1s; };
          retry-class "limited" { match-mx "localhost"; codes { 421; }; suspend 2h; };`,
      }),
    users: ['anna'],
  })
  try {
    await submit(posthorn, 'a@hasty.example')
    await sink.received(1)
    await submit(posthorn, 'a@grey.example')
    const grey = Date.parse((await waiting(posthorn, 'a@grey.example')).nextAttemptAt ?? '')
    assert.ok(grey > Date.now() + 5 * HOUR && grey < Date.now() + 7 * HOUR, new Date(grey).toISOString())
    await submit(posthorn, 'a@quota.example')
    await posthorn.logged(/a@quota\.example.*"verdict":"fail"/)

    await submit(posthorn, 'a@limited.example')
    await posthorn.logged(/"retryClass":"limited".*"suspended"/)
    const first = await waiting(posthorn, 'a@limited.example')
    assert.ok(Date.parse(first.nextAttemptAt ?? '') > Date.now() + 1.9 * HOUR, 'not before it is over')
    limited = false
    await submit(posthorn, 'b@limited.example')
    const second = await waiting(posthorn, 'b@limited.example')
    assert.deepEqual([second.attempts, second.lastReply?.enhanced], [0, '4.4.5'])
    assert.match(second.lastReply?.text ?? '', /suspended \(limited\), as .* said: 421 4\.7\.0 Rate limited/)
    const retried = await posthorn.command('queue', 'retry', '--recipient', 'b@limited.example')
    assert.equal(retried.stdout, 'tried again now: 1 recipient\n')
    await sink.received(2)
    assert.deepEqual(sink.mails.at(-1)?.to, ['b@limited.example'])
    assert.ok(await rowOf(posthorn, 'a@limited.example'), 'was not selected')
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})
