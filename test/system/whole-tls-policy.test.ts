/**
 * TLS policies between two Posthorns: DANE by signed zones in each kind, and what the config says in its place. The inner
 * one has a listener for each certificate, all on one port, at addresses of their own.
 */
import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { makeAuthority, type Pair } from '../support/certificates.ts'
import { mailsIn } from '../support/maildir.ts'
import { freePort } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { type SignedZones, serveSignedZones } from '../support/signed-zones.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-tls-policy-'))
const authority = makeAuthority(directory)
const other = makeAuthority(directory, 'other')
let zones: SignedZones | null = null
let inner: Posthorn
let outer: Posthorn

const spki = (file: string) =>
  new X509Certificate(readFileSync(file)).publicKey.export({ type: 'spki', format: 'der' })
const raw = (file: string) => new X509Certificate(readFileSync(file)).raw
const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')

interface Peer {
  /** `mx.NAME.lab`, and the certificate; null: no TLS. */
  pair: Pair | null
  /** TLSA records; none: no DANE. */
  tlsa: string[]
  /** Policy and proof in the log; null: mail waits. */
  seen: string | null
  /** What is said of the zone. */
  zone?: string
}

function peers(): Record<string, Peer> {
  const named = (name: string) => authority.sign(`mx.${name}.lab`, `DNS:mx.${name}.lab`)
  const chained = named('ta')
  writeFileSync(
    chained.certificate,
    `${readFileSync(chained.certificate)}${readFileSync(authority.certificate)}`,
  )
  const [full, bare, elsewhere, verified] = ['full', 'bare', 'elsewhere', 'verified'].map(named)
  if (!full || !bare || !elsewhere || !verified) throw new Error('no certificates')
  const anchor = raw(authority.certificate)
  const ofOther = `3 1 1 ${sha256(spki(other.certificate))}`
  return {
    ee: { pair: other, tlsa: [ofOther], seen: 'dane DANE-EE' },
    ta: { pair: chained, tlsa: [`2 0 1 ${sha256(anchor)}`], seen: 'dane DANE-TA' },
    full: { pair: full, tlsa: [`2 0 0 ${anchor.toString('hex')}`], seen: 'dane DANE-TA' },
    bare: {
      pair: bare,
      tlsa: [`2 1 0 ${spki(authority.certificate).toString('hex')}`],
      seen: 'dane DANE-TA',
    },
    misnamed: { pair: elsewhere, tlsa: [`2 1 0 ${spki(authority.certificate).toString('hex')}`], seen: null },
    wrong: { pair: authority, tlsa: [ofOther], seen: null },
    unencrypted: { pair: null, tlsa: [ofOther], seen: null },
    forged: { pair: other, tlsa: [`3 1 1 deadbeef${'00'.repeat(28)}`], seen: null },
    pkix: { pair: other, tlsa: [`1 1 1 ${sha256(spki(authority.certificate))}`], seen: 'dane-unusable' },
    none: { pair: other, tlsa: [], seen: 'opportunistic' },
    careless: { pair: authority, tlsa: [ofOther], seen: 'opportunistic', zone: 'tls opportunistic;' },
    verified: { pair: verified, tlsa: [], seen: 'verify PKIX', zone: 'tls verify;' },
    unverified: { pair: other, tlsa: [], seen: null, zone: 'tls verify;' },
    aliased: {
      pair: elsewhere,
      tlsa: [],
      seen: 'verify PKIX',
      zone: 'tls verify; tls-names "mx.elsewhere.lab";',
    },
    pinned: {
      pair: other,
      tlsa: [],
      seen: 'fingerprint fingerprint',
      zone: `tls fingerprint "${sha256(raw(other.certificate))}";`,
    },
    encrypted: { pair: null, tlsa: [], seen: null, zone: 'tls encrypt;' },
    only: { pair: other, tlsa: [], seen: null, zone: 'tls dane-only;' },
  }
}

const all = Object.entries(peers())

before(
  async () => {
    const port = await freePort()
    const records = all.flatMap(([name, { tlsa }], n) => [
      `${name} IN MX 10 mx.${name}`,
      `mx.${name} IN A 127.0.1.${n + 1}`,
      ...tlsa.map((data) => `_${port}._tcp.mx.${name} IN TLSA ${data}`),
    ])
    zones = await serveSignedZones(records.join('\n'))
    if (!zones) return
    const listeners = all.map(([name, { pair }], n) => {
      const tls = pair ? `tls "${name}" { certificate "${pair.certificate}"; key "${pair.key}"; };` : ''
      const use = pair ? `tls "${name}";` : ''
      return `${tls} listener "${name}" { type mx; address 127.0.1.${n + 1}; port ${port}; ${use} };`
    })
    inner = await startPosthorn({
      silent: /^(?!mx$|submission$)/, // they are not at 127.0.0.1
      config: (paths) =>
        testConfig(paths, {
          more: `${listeners.join('\n')} zone "*.lab" { type local; mailboxes "${paths.users}"; };`,
        }),
      users: all.map(([name]) => name),
    })
    const { anchor, port: names, unbound } = zones
    const validating = await freePort()
    outer = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          qmgr: 'retry 1h;',
          more: `smtpc { ca-file "${authority.certificate}"; }; zone "." { type remote; };
            ${all.map(([name, { zone }]) => (zone ? `zone "${name}.lab" { type remote; ${zone} };` : '')).join('\n')}
            resolver { nameservers { 127.0.0.1 port ${names}; }; smtp-port ${port}; dnssec unbound;
              unbound-program "${unbound}"; unbound-port ${validating};
              unbound-forward { 127.0.0.1 port ${names}; }; trust-anchor "${anchor}"; };`,
        }),
    })
    await outer.logged(/unbound answers/)
  },
  { timeout },
)

after(
  async () => {
    if (zones) await outer.stop()
    if (zones) await inner.stop()
    await zones?.close()
    rmSync(directory, { recursive: true, force: true })
  },
  { timeout },
)

/** The line about the attempt to deliver to this name. */
async function attempted(name: string): Promise<Record<string, unknown>> {
  const lines = () => outer.log().split('\n')
  return until(`an attempt for ${name}`, () => {
    const line = lines().find((one) => one.includes('"attempt"') && one.includes(`"host":"mx.${name}.lab"`))
    return line !== undefined && (JSON.parse(line) as Record<string, unknown>)
  })
}

describe('by what is published and what is configured', { timeout }, () => {
  for (const [name, { pair, seen }] of all) {
    test(`${name}: ${seen ?? 'mail waits'}`, { timeout }, async (t) => {
      if (!zones) return t.skip('no unbound, nsd or ldns-signzone here')
      const { code, stderr } = await outer.sendmail(`Subject: ${name}\n\nx\n`, `${name}@${name}.lab`)
      assert.equal(code, 0, stderr)
      if (seen === null) {
        const waits = async () => {
          const { stdout } = await outer.command('queue', 'list', '--json')
          return stdout.split('\n').find((line) => line.includes(`${name}.lab`) && line.includes('4.7.'))
        }
        const row = await until('it to wait', waits)
        assert.match(row, pair || name === 'forged' ? /4\.7\.5/ : /4\.7\.4/)
        assert.equal((await mailsIn(inner.maildir(name), 0)).length, 0)
        return
      }
      await mailsIn(inner.maildir(name), 1)
      const line = await attempted(name)
      assert.equal(line['policy'], seen)
      assert.match(String(line['tls']), /^TLSv1\.3/)
    })
  }
})
