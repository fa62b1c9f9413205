/**
 * TLSA records against chains of certificates made by openssl: the cases of OpenSSL's own test of DANE that mean something
 * for SMTP (usages 2 and 3), and what `judgement.ts` makes of the rest.
 * POSTHORN_DANE_VECTORS: a folder with OpenSSL's `danetest.in` and `dane-cross.in`, which are then run as well.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isUsable, verifyDane } from '../../services/smtpc/dane.ts'
import { judge, type Shown } from '../../services/smtpc/judgement.ts'
import type { Policy } from '../../services/smtpc/tls-policy.ts'
import type { TlsaRecord } from '../../shared/message/route.ts'

const folder = mkdtempSync(join(tmpdir(), 'posthorn-dane-'))
after(() => rmSync(folder, { recursive: true, force: true }))

interface Made {
  certificate: X509Certificate
  name: string
}

interface Wishes {
  issuer?: Made
  /** Of whose key it is: another certificate of the same authority. */
  keyOf?: Made
  extensions?: string[]
  days?: [string, string]
}

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=keyCertSign,cRLSign']
const HOST = ['basicConstraints=CA:FALSE', 'subjectAltName=DNS:mx.example']
let serial = 0

function openssl(...words: string[]): void {
  const { status, stderr } = spawnSync('openssl', words, { cwd: folder, encoding: 'utf8' })
  assert.equal(status, 0, stderr)
}

/** By `openssl ca`, which is the one that takes dates of the past. */
function make(subject: string, { issuer, keyOf, extensions = AUTHORITY, days }: Wishes = {}): Made {
  const name = `c${++serial}`
  const key = keyOf ? `${keyOf.name}.key` : `${name}.key`
  const creates = keyOf ? ['-new', '-key', key] : [...CURVE, '-new', '-keyout', key]
  openssl('req', ...creates, '-subj', `/CN=${subject}`, '-out', `${name}.csr`)
  writeFileSync(
    join(folder, `${name}.cnf`),
    `[ca]\ndefault_ca=d\n[d]\ndatabase=${name}.db\nserial=${name}.srl\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n` +
      `unique_subject=no\n[p]\ncommonName=supplied\n[e]\nsubjectKeyIdentifier=hash\n${extensions.join('\n')}\n`,
  )
  writeFileSync(join(folder, `${name}.db`), '')
  writeFileSync(join(folder, `${name}.srl`), `${(1000 + serial).toString(16).padStart(4, '0')}\n`)
  const [from, to] = days ?? ['20200101000000Z', '21200101000000Z']
  const by = issuer
    ? ['-cert', `${issuer.name}.crt`, '-keyfile', `${issuer.name}.key`]
    : ['-selfsign', '-keyfile', key]
  openssl(
    ...['ca', '-batch', '-notext', '-config', `${name}.cnf`, '-extensions', 'e', '-in', `${name}.csr`],
    ...['-out', `${name}.crt`, '-startdate', from, '-enddate', to, ...by],
  )
  return { name, certificate: new X509Certificate(readFileSync(join(folder, `${name}.crt`))) }
}

const PAST: [string, string] = ['20200101000000Z', '20210101000000Z']
const root = make('root')
const issuer = make('issuer', { issuer: root })
const leaf = make('mx.example', { issuer, extensions: HOST })
const expired = make('mx.example', { issuer, extensions: HOST, days: PAST })
const lone = make('nobody', { extensions: ['basicConstraints=CA:FALSE'], days: PAST })
const other = make('other')
const chain = [leaf, issuer, root]
const NOW = Date.parse('2026-06-01')

function tlsa(usage: number, selector: number, matching: number, { certificate }: Made): TlsaRecord {
  const shown =
    selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' })
  const digest = ['', 'sha256', 'sha512'][matching]
  const data = digest ? createHash(digest).update(shown).digest('hex') : shown.toString('hex')
  return { usage, selector, matching, data }
}

function outcome(records: TlsaRecord[], made: Made[], names = ['mx.example']): string {
  assert.ok(records.every(isUsable))
  const certificates = made.map(({ certificate }) => certificate)
  const verdict = verifyDane(records, certificates, names, NOW)
  return verdict.kind === 'proven' ? `proven ${verdict.usage}` : verdict.why
}

const kinds = [0, 1].flatMap((selector) => [0, 1, 2].map((matching) => [selector, matching] as const))

for (const [selector, matching] of kinds) {
  test(`3 ${selector} ${matching}: the host's own, whatever its name and age`, () => {
    assert.equal(outcome([tlsa(3, selector, matching, leaf)], chain, ['elsewhere.example']), 'proven 3')
    assert.equal(outcome([tlsa(3, selector, matching, lone)], [lone]), 'proven 3')
    assert.equal(outcome([tlsa(3, selector, matching, expired)], [expired]), 'proven 3')
    assert.equal(
      outcome([tlsa(3, selector, matching, issuer)], chain),
      'validation-failure',
      'not its issuer',
    )
    assert.equal(outcome([tlsa(3, selector, matching, other)], chain), 'validation-failure')
  })

  test(`2 ${selector} ${matching}: an authority in the chain, names and times count`, () => {
    for (const anchor of [issuer, root]) {
      const record = tlsa(2, selector, matching, anchor)
      assert.equal(outcome([record], chain), 'proven 2')
      assert.equal(outcome([record], [leaf, root, other, issuer]), 'proven 2', 'in whatever order')
      assert.equal(outcome([record], chain, ['elsewhere.example']), 'certificate-host-mismatch')
      assert.equal(outcome([record], chain, ['elsewhere.example', 'mx.example']), 'proven 2')
      assert.equal(outcome([record], [expired, issuer, root]), 'certificate-expired')
    }
    assert.equal(outcome([tlsa(2, selector, matching, leaf)], chain), 'validation-failure', 'no authority')
    assert.equal(outcome([tlsa(2, selector, matching, other)], [...chain, other]), 'validation-failure')
    assert.doesNotMatch(outcome([tlsa(2, selector, matching, root)], [root]), /proven/, 'itself')
  })
}

test('an authority that is only in the record: whole, or its bare key', () => {
  assert.equal(outcome([tlsa(2, 0, 0, issuer)], [leaf]), 'proven 2')
  assert.equal(outcome([tlsa(2, 0, 0, root)], [leaf, issuer]), 'proven 2')
  assert.equal(outcome([tlsa(2, 1, 0, issuer)], [leaf]), 'proven 2')
  assert.equal(outcome([tlsa(2, 1, 0, root)], [leaf, issuer]), 'proven 2')
  for (const digest of [1, 2]) {
    assert.equal(outcome([tlsa(2, 0, digest, issuer)], [leaf]), 'validation-failure')
    assert.equal(outcome([tlsa(2, 1, digest, root)], [leaf, issuer]), 'validation-failure')
  }
  assert.equal(outcome([tlsa(2, 0, 0, root)], [leaf]), 'validation-failure', 'a link is missing')
  assert.equal(outcome([tlsa(2, 1, 0, issuer)], [leaf], ['elsewhere.example']), 'certificate-host-mismatch')
  assert.equal(outcome([tlsa(2, 1, 0, issuer)], [expired]), 'certificate-expired')
})

test('an authority that others have signed, too: the way by the record is found', () => {
  const crossed = make('root', { issuer: other, keyOf: root })
  const made = [leaf, issuer, crossed, other]
  assert.equal(outcome([tlsa(2, 0, 0, root)], made), 'proven 2')
  assert.equal(outcome([tlsa(2, 1, 1, root)], made), 'proven 2', 'the same key')
  assert.equal(outcome([tlsa(2, 0, 1, other)], made), 'proven 2')
  assert.equal(outcome([tlsa(2, 0, 1, root)], made), 'validation-failure', 'it is not shown')
})

test('who may not sign certificates is no authority', () => {
  const without = { issuer: root, extensions: ['basicConstraints=CA:FALSE'] }
  const user = make('user', without)
  assert.equal(
    outcome([tlsa(2, 0, 1, root)], [make('mx.example', { issuer: user, extensions: HOST }), user, root]),
    'validation-failure',
  )
  const short = make('short', { issuer: root, extensions: ['basicConstraints=critical,CA:TRUE,pathlen:0'] })
  const below = make('below', { issuer: short })
  const direct = make('mx.example', { issuer: short, extensions: HOST })
  const distant = make('mx.example', { issuer: below, extensions: HOST })
  assert.equal(outcome([tlsa(2, 0, 1, root)], [direct, short, root]), 'proven 2')
  assert.equal(outcome([tlsa(2, 0, 1, root)], [distant, below, short, root]), 'validation-failure')
  const mail = make('mx.example', { issuer, extensions: [...HOST, 'extendedKeyUsage=emailProtection'] })
  assert.equal(outcome([tlsa(2, 0, 1, root)], [mail, issuer, root]), 'validation-failure')
  const server = make('mx.example', { issuer, extensions: [...HOST, 'extendedKeyUsage=serverAuth'] })
  assert.equal(outcome([tlsa(2, 0, 1, root)], [server, issuer, root]), 'proven 2')
})

test('an authority that has run out', () => {
  const old = make('old', { issuer: root, days: PAST })
  const made = [make('mx.example', { issuer: old, extensions: HOST }), old, root]
  for (const anchor of [old, root])
    assert.equal(outcome([tlsa(2, 0, 1, anchor)], made), 'certificate-expired')
})

test('a signature that is none', () => {
  const raw = Buffer.from(leaf.certificate.raw)
  raw.writeUInt8(raw.readUInt8(raw.length - 1) ^ 1, raw.length - 1)
  const forged = { name: 'forged', certificate: new X509Certificate(raw) }
  assert.equal(outcome([tlsa(2, 0, 1, root)], [forged, issuer, root]), 'validation-failure')
  assert.equal(outcome([tlsa(2, 1, 0, issuer)], [forged]), 'validation-failure')
})

test('several records: one that fits is enough, but the strongest digest counts', () => {
  assert.equal(outcome([tlsa(3, 1, 1, other), tlsa(3, 1, 1, leaf)], chain), 'proven 3')
  assert.equal(outcome([tlsa(3, 1, 1, other), tlsa(2, 0, 1, root)], chain), 'proven 2')
  // RFC 7671 section 9
  assert.equal(outcome([tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, other)], chain), 'validation-failure')
  assert.equal(outcome([tlsa(3, 1, 1, other), tlsa(3, 1, 2, leaf)], chain), 'proven 3')
  assert.equal(outcome([tlsa(3, 1, 0, leaf), tlsa(3, 1, 2, other)], chain), 'proven 3')
  assert.equal(outcome([tlsa(3, 0, 1, leaf), tlsa(3, 1, 2, other)], chain), 'proven 3', 'another selector')
})

test('certificates that go round in circles end', () => {
  const many = Array.from({ length: 40 }, () => make('issuer', { issuer: root, keyOf: issuer }))
  const begun = process.hrtime.bigint()
  assert.equal(outcome([tlsa(2, 0, 1, other)], [leaf, ...many, root]), 'validation-failure')
  assert.ok(process.hrtime.bigint() - begun < 30_000_000_000n)
})

test('records that cannot be used', () => {
  const good = tlsa(3, 1, 1, leaf)
  for (const bad of [
    { ...good, usage: 0 },
    { ...good, usage: 1 },
    { ...good, usage: 4 },
    { ...good, selector: 2 },
    { ...good, matching: 3 },
    { ...good, data: good.data.slice(2) },
    { ...good, data: '' },
    { ...good, matching: 2 },
    { ...good, matching: 0 },
    { ...good, selector: 0, matching: 0 },
  ])
    assert.ok(!isUsable(bad), JSON.stringify(bad))
})

const shown = (more: Partial<Shown> = {}): Shown => ({
  encrypted: true,
  chain: chain.map(({ certificate }) => certificate),
  trusted: false,
  trouble: 'SELF_SIGNED_CERT_IN_CHAIN',
  earlier: null,
  ...more,
})

test('judgement: policy by what is shown', () => {
  const policy = (check: Policy['check'], clear: Policy['clear'] = 'never'): Policy => ({
    ...{ name: 'x', clear, check, lenient: false, serverName: null, demandedBy: 'policy' },
  })
  const said = (one: Policy, seen: Partial<Shown> = {}) => {
    const verdict = judge(one, shown(seen), NOW)
    return verdict.kind === 'good' ? `good ${verdict.proof}` : verdict.failure
  }
  const nothing = { kind: 'nothing' } as const
  const authority = { kind: 'authority', names: ['mx.example'] } as const
  const clear = { encrypted: false, chain: [] }
  assert.equal(said(policy(nothing, 'allowed'), clear), 'good ')
  assert.equal(said(policy(nothing), clear), 'starttls-not-supported')
  assert.equal(said(policy(authority, 'allowed'), clear), 'starttls-not-supported')
  assert.equal(said(policy(nothing)), 'good ')
  assert.equal(said(policy(authority)), 'certificate-not-trusted')
  assert.equal(said(policy(authority), { trusted: true }), 'good PKIX')
  assert.equal(said(policy(authority), { trouble: 'CERT_HAS_EXPIRED' }), 'certificate-expired')
  const elsewhere = policy({ ...authority, names: ['elsewhere.example'] })
  assert.equal(said(elsewhere, { trusted: true }), 'certificate-host-mismatch')
  assert.equal(said(policy({ ...authority, names: ['.example'] }), { trusted: true }), 'good PKIX')
  const records = [tlsa(3, 1, 1, leaf)]
  const dane = policy({ kind: 'dane', names: [], records })
  assert.equal(said(dane), 'good DANE-EE')
  assert.equal(said(dane, { chain: [] }), 'validation-failure')
  assert.equal(said(dane, { chain: [], earlier: { kind: 'good', proof: 'DANE-EE' } }), 'good DANE-EE')
  const print = leaf.certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  const ofKey = tlsa(3, 1, 1, leaf).data
  for (const fingerprint of [print, ofKey])
    assert.equal(said(policy({ kind: 'pinned', fingerprints: [fingerprint] })), 'good fingerprint')
  assert.equal(said(policy({ kind: 'pinned', fingerprints: ['00'] })), 'certificate-not-trusted')
})

const vectors = process.env['POSTHORN_DANE_VECTORS']
/** X509_V_OK, X509_V_ERR_HOSTNAME_MISMATCH. */
const FINE = '0'
const MISNAMED = '62'

test("OpenSSL's own vectors", { skip: vectors === undefined && 'POSTHORN_DANE_VECTORS is not set' }, () => {
  for (const [file, name, least] of [
    ['danetest.in', 'example.com', 30],
    ['dane-cross.in', 'server.example', 1],
  ] as const) {
    const text = readFileSync(join(vectors ?? '', file), 'utf8').replace(/^#.*\n/gm, '')
    let counted = 0
    for (const block of text.split(/^(?=\d+ \d+ [01] \d+ -?\d+\s*$)/m).slice(1)) {
      const [head = '', ...lines] = block.split('\n')
      const [many = '0', , , wanted = ''] = head.split(' ')
      const records = lines.slice(0, Number(many)).map((line) => {
        const [usage, selector, matching, ...data] = line.trim().split(/\s+/)
        return {
          usage: Number(usage),
          selector: Number(selector),
          matching: Number(matching),
          data: data.join('').toLowerCase(),
        }
      })
      // of PKIX, or of a name with DANE-EE: not for SMTP
      if (
        records.some(({ usage }) => usage < 2) ||
        (wanted === MISNAMED && records.every(({ usage }) => usage === 3))
      )
        continue
      const found = block.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? []
      const certificates = found.map((pem) => new X509Certificate(pem.replaceAll('TRUSTED ', '')))
      const verdict = verifyDane(records.filter(isUsable), certificates, [name], Date.now())
      assert.equal(verdict.kind === 'proven', wanted === FINE, block)
      counted++
    }
    assert.ok(counted >= least, `${file}: ${counted}`)
  }
})
