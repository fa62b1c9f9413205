/**
 * The unbound that mcp runs for the resolver, against signed zones under a trust anchor of their own: what is proven,
 * what is a lie, and what becomes of mail while unbound is dead.
 */
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { systemAccounts } from '../../shared/config/accounts.ts'
import { freePort } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { isAlive } from '../support/processes.ts'
import { type SignedZones, serveSignedZones } from '../support/signed-zones.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000

let zones: SignedZones | null = null
let sink: Sink
let posthorn: Posthorn

interface Shown {
  pid: number | null
  state: string
  restarts: number
}

async function unbound(): Promise<Shown | undefined> {
  const { stdout } = await posthorn.command('status', '--json')
  const { processes } = JSON.parse(stdout) as { processes: ({ name: string } & Shown)[] }
  return processes.find(({ name }) => name === 'unbound')
}

const ready = () => until('unbound to answer', async () => (await unbound())?.state === 'ready')

async function why(address: string): Promise<string> {
  const { stdout, stderr } = await posthorn.sendmail('', '--why', address)
  return stdout + stderr
}

const proven = (address: string, pattern: RegExp) =>
  until(`${pattern} for ${address}`, async () => pattern.test(await why(address)))

before(async () => {
  sink = await openSink()
  const at = `_${sink.port}._tcp.mx.dane`
  zones = await serveSignedZones(
    [
      'dane IN MX 10 mx.dane',
      'mx.dane IN A 127.0.0.1',
      `${at} IN TLSA 3 1 1 ${'ab'.repeat(32)}`,
      'plain IN MX 10 mx.plain',
      'mx.plain IN A 127.0.0.1',
    ].join('\n'),
  )
  if (!zones) return
  const { anchor, port, unbound: program } = zones
  const validating = await freePort()
  posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h;',
        processes: 'heartbeat-interval 300ms;',
        more: `zone "." { type remote; };
          resolver { nameservers { 127.0.0.1 port ${port}; }; smtp-port ${sink.port};
            dnssec unbound; unbound-program "${program}"; unbound-port ${validating};
            unbound-forward { 127.0.0.1 port ${port}; }; trust-anchor "${anchor}"; };`,
      }),
  })
  await ready()
})

after(async () => {
  if (zones) await posthorn.stop()
  await zones?.close()
  await sink.close()
})

describe('with unbound', { timeout }, () => {
  const skipped = (t: { skip: (why: string) => void }) => {
    if (!zones) t.skip('no unbound, nsd or ldns-signzone here')
    return !zones
  }

  test('what is signed is proven, TLSA records come along, what is not signed is not', {
    timeout,
  }, async (t) => {
    if (skipped(t)) return
    await proven('x@dane.lab', / to mx\.dane\.lab:\d+ \(TLSA\)/)
    await proven('x@plain.lab', / to mx\.plain\.lab:\d+ \(DNSSEC\)/)
    await proven('x@open.lab', / to mx\.open\.lab:\d+$/m)
  })

  test('a false signature and one that has run out: mail waits, nothing bounces', { timeout }, async (t) => {
    if (skipped(t)) return
    for (const domain of ['bogus.lab', 'old.lab']) {
      const { code, stderr } = await posthorn.sendmail('Subject: x\n\nx\n', `x@${domain}`)
      assert.equal(code, 0, stderr)
    }
    const rows = await until('both to wait', async () => {
      const { stdout } = await posthorn.command('queue', 'list', '--json')
      const all = stdout
        .trim()
        .split('\n')
        .filter((line) => line.includes('4.4.3'))
      return all.length === 2 && all
    })
    assert.match(rows.join(), /bogus\.lab.*old\.lab|old\.lab.*bogus\.lab/)
    assert.equal(sink.mails.length, 0)
  })

  test('it asks as its config says, and nobody else asks it', { timeout }, (t) => {
    if (skipped(t)) return
    const config = readFileSync(join(posthorn.paths.run, 'unbound.conf'), 'utf8')
    assert.match(config, /^val-permissive-mode: no$/m)
    assert.match(config, /^access-control: 0\.0\.0\.0\/0 refuse$/m)
  })

  test('killed, it is started again; meanwhile mail goes on, unproven', { timeout }, async (t) => {
    if (skipped(t)) return
    const first = await unbound()
    assert.ok(first?.pid)
    // the name servers behind it answer, but nothing they say counts as proven
    process.kill(first.pid, 'SIGKILL')
    const { code } = await posthorn.sendmail('Subject: y\n\ny\n', 'y@open.lab')
    assert.equal(code, 0)
    await sink.received(1)
    const second = await until('another one', async () => {
      const now = await unbound()
      return now?.state === 'ready' && now.pid !== first.pid && now
    })
    assert.ok(second.restarts > first.restarts)
    await proven('x@dane.lab', /\(TLSA\)/)
  })

  test('hung, it is killed and started again', { timeout }, async (t) => {
    if (skipped(t)) return
    const first = await unbound()
    assert.ok(first?.pid)
    process.kill(first.pid, 'SIGSTOP')
    await until(
      'another one',
      async () => {
        const now = await unbound()
        return now?.state === 'ready' && now.pid !== first.pid
      },
      60_000,
    )
  })

  test('a reload may do without it, and take it back', { timeout }, async (t) => {
    if (skipped(t)) return
    const first = await unbound()
    assert.ok(first?.pid)
    const text = readFileSync(posthorn.configFile, 'utf8')
    writeFileSync(
      posthorn.configFile,
      text.replace(/dnssec unbound;.*\n.*trust-anchor "[^"]*";/, 'dnssec no;'),
    )
    assert.equal((await posthorn.command('reload')).code, 0)
    assert.equal(await unbound(), undefined)
    const { pid } = first
    await until('it to be gone', () => !isAlive(pid))
    await proven('x@dane.lab', / to mx\.dane\.lab:\d+$/m)
    writeFileSync(posthorn.configFile, text)
    assert.equal((await posthorn.command('reload')).code, 0)
    await ready()
    await proven('x@dane.lab', /\(TLSA\)/)
  })

  test('it leaves with posthorn, and when mcp is killed', { timeout }, async (t) => {
    if (skipped(t)) return
    const now = await unbound()
    const pid = now?.pid
    assert.ok(pid)
    posthorn.process.kill('SIGKILL')
    await until('unbound to leave', () => !isAlive(pid))
  })
})

test('as root it is a user of its own that can do nothing else', { timeout }, async (t) => {
  const account = systemAccounts().user('www-data')
  if (process.getuid?.() !== 0 || !account) return t.skip('this needs root, and the user www-data')
  const own = await serveSignedZones('own IN MX 10 ns')
  if (!own) return t.skip('no unbound, nsd or ldns-signzone here')
  const port = await freePort()
  const whole = await startPosthorn({
    asUsers: true,
    config: (paths) => {
      chmodSync(paths.directory, 0o755)
      return testConfig(paths, {
        processes:
          'qmgr-user "daemon"; smtpd-user "bin"; submission-user "uucp"; smtpc-user "games"; resolver-user "lp"; group "games"; unbound-user "www-data";',
        more: `resolver { dnssec unbound; unbound-program "${own.unbound}"; unbound-port ${port};
          unbound-forward { 127.0.0.1 port ${own.port}; }; trust-anchor "${own.anchor}"; };`,
      })
    },
  })
  try {
    await whole.logged(/unbound answers/)
    const { stdout } = await whole.command('status', '--json')
    const { processes } = JSON.parse(stdout) as { processes: ({ name: string } & Shown)[] }
    const pid = processes.find(({ name }) => name === 'unbound')?.pid
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    const { uid, gid } = account
    assert.match(status, new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s+${uid}`, 'm'))
    assert.match(status, new RegExp(`^Gid:\\s+${gid}\\s+${gid}\\s+${gid}`, 'm'))
    assert.match(status, /^Groups:\s*$/m)
    assert.match(status, /^CapEff:\s+0+$/m)
    assert.match(status, /^NoNewPrivs:\s+1$/m)
  } finally {
    await whole.stop()
    await own.close()
  }
})
