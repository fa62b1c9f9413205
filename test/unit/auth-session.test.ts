/** AUTH in the session: what is offered where, and what a login changes; the brake; who may use which sender. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logins } from '../../services/qmgr/logins.ts'
import { offeredMechanisms } from '../../services/smtpd/auth.ts'
import { parseLine } from '../../services/smtpd/dovecot.ts'
import { judgeClaims } from '../../services/smtpd/oauth.ts'
import { parseAnswer, renderQuestion } from '../../services/smtpd/saslauthd.ts'
import { maySend, parseSenderLogins } from '../../services/smtpd/sender-logins.ts'
import { openSession } from '../../services/smtpd/session.ts'
import type { AuthSetting } from '../../services/smtpd/state.ts'
import type { TlsFacts } from '../../services/smtpd/tls-facts.ts'
import type { LimitsSlice } from '../../shared/config/slices.ts'
import { settingOf } from '../dialogue/player.ts'
import { listenerSlice } from '../system/smtpd-stage.ts'

const ALL = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'EXTERNAL', 'PLAIN']
const auth: AuthSetting = {
  required: true,
  withoutTls: false,
  mechanisms: () => ALL,
  relays: () => false,
  maySend: () => true,
  asUser: (setting) => setting,
}
const TLS: TlsFacts = {
  version: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  exporter: Buffer.alloc(32),
  certificateNames: ['anna'],
}

test('mechanisms are offered where they can work, and passwords only over TLS', () => {
  const offered = (change: Partial<AuthSetting>, tls: TlsFacts | null) =>
    offeredMechanisms(settingOf(listenerSlice(), { auth: { ...auth, ...change } }), openSession(tls))
  assert.deepEqual(offered({}, null), [])
  assert.deepEqual(offered({ withoutTls: true }, null), ['SCRAM-SHA-256', 'PLAIN'])
  assert.deepEqual(offered({}, TLS), ALL)
  assert.deepEqual(offered({}, { ...TLS, exporter: null, certificateNames: [] }), ['SCRAM-SHA-256', 'PLAIN'])
})

const HOUR = 3_600_000
const limits: LimitsSlice = {
  ...{ client: [], network: [], uid: [], user: [], exempt: [], exemptUids: [], policies: {}, tableSize: 100 },
  loginFailures: { client: { count: 3, period: HOUR }, account: { count: 5, period: HOUR } },
}

test('an address is braked after its failures, and let go in time', () => {
  const logins = new Logins(() => limits)
  const who = { client: '192.0.2.1', login: 'anna' }
  for (let n = 0; n < 3; n++) assert.equal(logins.begin(who, 1000), null)
  const until = logins.begin(who, 1000)
  assert.ok(until !== null && until > 1000)
  assert.equal(logins.begin({ ...who, login: 'bert' }, 1000), until, 'whoever is tried')
  assert.equal(logins.begin({ ...who, client: '192.0.2.2' }, 1000), null, 'not from elsewhere')
  assert.equal(logins.begin(who, until), null)
  assert.deepEqual([logins.passed, logins.failed, logins.braked], [0, 5, 2])
})

test('an account under attack is open to where its owner has been', () => {
  const logins = new Logins(() => limits)
  const owner = { client: '198.51.100.7', login: 'anna' }
  assert.equal(logins.begin(owner, 0), null)
  logins.over(owner, true, 0)
  for (let n = 0; n < 5; n++) assert.equal(logins.begin({ client: `203.0.${n}.1`, login: 'Anna' }, 0), null)
  assert.ok(logins.begin({ client: '203.0.99.1', login: 'anna' }, 0))
  assert.equal(
    logins.begin({ client: '198.51.100.9', login: 'anna' }, 0),
    null,
    'a neighbour of the known address',
  )
  assert.equal(logins.passed, 1)
})

test('what was right, or could not be checked, counts for nobody; many at once do not slip through', () => {
  const logins = new Logins(() => limits)
  const who = { client: '192.0.2.1', login: 'anna' }
  for (let n = 0; n < 20; n++) {
    assert.equal(logins.begin(who, n), null)
    logins.over(who, n % 2 === 0, n)
  }
  assert.deepEqual([logins.passed, logins.failed], [10, 0])
  const at = (client: string) => logins.begin({ client, login: 'bert' }, 0)
  assert.deepEqual(
    [1, 2, 3, 4].map(() => at('192.0.2.9') === null),
    [true, true, true, false],
  )
})

test('the tables of the brake are bounded', () => {
  const logins = new Logins(() => limits)
  for (let n = 0; n < 1000; n++) logins.begin({ client: `10.0.${n >> 8}.${n & 255}`, login: `user${n}` }, 0)
  assert.equal(logins.begin({ client: '10.0.0.0', login: 'user0' }, 0), null)
})

test('senders belong to logins', () => {
  const { value, faults } = parseSenderLogins(
    '# who\nanna@example.org: anna\nsales@example.org: anna, bert\n@example.net: carl # all\n@example.com: *\nnonsense\n',
  )
  assert.deepEqual(
    faults.map(({ line }) => line),
    [6],
  )
  const may = (login: string, sender: string) => maySend(value, login, sender)
  assert.ok(
    may('anna', 'Anna@example.org') && may('bert', 'sales@example.org') && may('carl', 'x@example.net'),
  )
  assert.ok(may('dora', 'x@example.com') && may('dora', '') && may('dora@example.edu', 'dora@example.edu'))
  assert.ok(
    !may('bert', 'anna@example.org') && !may('anna', 'x@example.net') && !may('anna', 'x@sub.example.net'),
  )
})

test('saslauthd: a question and its answers, in pieces', () => {
  const question = renderQuestion('anna', 'pä')
  assert.equal(question?.toString('latin1'), '\0\x04anna\0\x03p\xc3\xa4\0\x04smtp\0\0')
  assert.equal(renderQuestion('anna', 'x'.repeat(70_000)), null)
  const answer = Buffer.from('\0\x02OK')
  for (let n = 0; n < answer.length; n++) assert.equal(parseAnswer(answer.subarray(0, n)), null)
  assert.equal(parseAnswer(answer), 'yes')
  assert.equal(parseAnswer(Buffer.from('\0\x04NO x')), 'no')
  assert.equal(parseAnswer(Buffer.from('\xff\xffxx', 'latin1')), 'nonsense')
  assert.equal(parseAnswer(Buffer.from('\0\x02HM')), 'nonsense')
})

test('dovecot: its lines', () => {
  assert.deepEqual(parseLine('MECH\tSCRAM-SHA-256'), { kind: 'mechanism', name: 'SCRAM-SHA-256' })
  const yes = { kind: 'verdict', id: 7, verdict: { kind: 'true', login: 'anna' }, final: null }
  assert.deepEqual(parseLine('OK\t7\tuser=anna\tx'), yes)
  assert.deepEqual(parseLine('OK\t7\tuser=anna\tresp=dj14'), { ...yes, final: Buffer.from('v=x') })
  assert.deepEqual(parseLine('FAIL\t7\tuser=anna'), { ...yes, verdict: { kind: 'false' } })
  assert.deepEqual(parseLine('FAIL\t7\tuser=anna\ttemp'), { ...yes, verdict: { kind: 'unknown' } })
  assert.equal(parseLine('VERSION\t2\t0').kind, 'nonsense')
  assert.equal(parseLine('OK\t7').kind, 'nonsense')
  assert.equal(parseLine('').kind, 'other')
})

test('a token is of somebody, for something', () => {
  const wanted = { login: '', claim: 'email', scope: null }
  const judge = (claims: Record<string, unknown>, change: { login?: string; scope?: string } = {}) =>
    judgeClaims(claims, { ...wanted, ...change }).kind
  assert.equal(judge({ email: 'a@example.org' }), 'true')
  assert.equal(judge({ email: 'a@example.org', email_verified: false }), 'false')
  assert.equal(judge({ email: 'a@example.org' }, { login: 'b@example.org' }), 'false')
  assert.equal(judge({ sub: 'a' }), 'false')
  assert.equal(judge({ email: ['a@example.org'] }), 'false')
  assert.equal(judge({ email: 'a@example.org', scope: 'openid mail' }, { scope: 'mail' }), 'true')
  assert.equal(judge({ email: 'a@example.org', scope: 'openid' }, { scope: 'mail' }), 'false')
})
