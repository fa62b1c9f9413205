/** Who may hand in what: which policy fits, patterns of addresses, callers without a name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asCaller, unknownClient } from '../../services/smtpd/identity.ts'
import { authorOf, type Caller, judgeOf, matches, rightsOf } from '../../services/smtpd/rights.ts'
import type { Answer } from '../../shared/bus/messages.ts'
import type { PolicySlice } from '../../shared/config/policy-slice.ts'
import { settingOf } from '../dialogue/player.ts'
import { listenerSlice } from '../system/smtpd-stage.ts'

const timeout = 60_000
const policy = (change: Partial<PolicySlice>): PolicySlice => ({
  name: 'p',
  place: 'x.conf:1:8',
  users: [],
  groups: [],
  senders: null,
  from: null,
  trusted: false,
  deny: false,
  messageSizeLimit: null,
  recipientLimit: null,
  account: null,
  ...change,
})
const ann: Caller = { uid: 1000, name: 'ann', fullName: 'Ann', groups: ['ann', 'staff'] }
const nameless: Caller = { uid: 7777, name: null, fullName: '', groups: [] }
const rights = (caller: Caller, ...policies: PolicySlice[]) =>
  rightsOf(caller, { policies, qualifyDomain: 'example.org', ownUid: 500 })

test('the first policy that fits decides', { timeout }, () => {
  const policies = [
    policy({ name: 'bob', users: ['bob', 1001] }),
    policy({ name: 'staff', users: ['eve'], groups: ['staff'] }),
    policy({ name: 'all' }),
  ]
  assert.equal(rights(ann, ...policies).policy, 'staff')
  assert.equal(rights({ ...ann, groups: [] }, ...policies).policy, 'all')
  assert.equal(rights({ ...ann, uid: 1001 }, ...policies).policy, 'bob')
  assert.equal(rights(ann, policy({ name: 'no', users: ['ANN', 'an', 100] })).policy, '')
})

test('without a policy: names may mail, root is trusted, a uid without a name may nothing', {
  timeout,
}, () => {
  assert.deepEqual([rights(ann).mail, rights(ann).trusted], ['yes', false])
  assert.equal(rights({ ...ann, uid: 0 }).trusted, true)
  assert.equal(rights(nameless).mail, 'no')
  assert.equal(rights(nameless, policy({})).mail, 'no', 'one for everybody is for those who have a name')
  assert.equal(rights(nameless, policy({ users: [7777] })).mail, 'yes')
  assert.equal(rights({ ...nameless, uid: 500 }).mail, 'yes', "the server's own")
  assert.equal(rights(ann, policy({ deny: true })).mail, 'no')
  assert.equal(rights({ ...ann, uid: 0 }, policy({})).trusted, false, 'what is written holds for root, too')
})

test('patterns: %u, *, +detail, our domain', { timeout }, () => {
  const fits = (pattern: string, address: string, caller = ann) => {
    const given = rights(caller, policy({ users: [7777, 1000], senders: { patterns: [pattern], place: '' } }))
    return judgeOf(given, null, { qualifyDomain: 'example.org', delimiter: '+' }).mayMail(address)
  }
  assert.ok(fits('%u@example.org', 'ann@example.org'))
  assert.ok(fits('%u@example.org', 'Ann@EXAMPLE.org'))
  assert.ok(fits('%u@example.org', 'ann+lists@example.org'), 'detail is not looked at')
  assert.ok(!fits('%u@example.org', 'anna@example.org'))
  assert.ok(!fits('%u@example.org', 'ann@example.org.evil.example'))
  assert.ok(!fits('%u@example.org', 'bob@example.org'))
  assert.ok(fits('%u', 'ann@example.org'))
  assert.ok(!fits('%u', 'ann@x.example'))
  assert.ok(fits('%u', 'ann@x.example', { ...ann, name: 'ann@x.example' }), 'a login that is an address')
  assert.ok(fits('%u+l*@example.org', 'ann+lists@example.org'))
  assert.ok(!fits('%u+l*@example.org', 'ann+x@example.org'))
  assert.ok(!fits('%u+l*@example.org', 'ann@example.org'))
  assert.ok(fits('*@lists.example.org', 'any.thing@lists.example.org'))
  assert.ok(!fits('*@lists.example.org', 'a@example.org'))
  assert.ok(fits('*@*.example.org', 'a@b.example.org'))
  assert.ok(!fits('a*b*c@example.org', 'abab@example.org'))
  assert.ok(fits('a*b*c@example.org', 'a1b2bc@example.org'))
  assert.ok(!fits('*@example.org', '"x@example.org"@evil.example'))
  assert.ok(!fits('%u@example.org', 'ann@example.org', nameless), 'no name, no pattern with it')
  assert.ok(!fits('%u@example.org', 'x@example.org', { ...ann, name: '*' }), 'a login cannot be a pattern')
  assert.ok(fits('nothing', ''), 'the empty reverse-path is everybody’s')
  assert.ok(!matches(['ab*ba@x'], 'aba@x', '+'))
  assert.ok(matches(['ann-x@x'], 'ann-x@x', '') && !matches(['ann@x'], 'ann-x@x', ''))
})

test('From follows senders where it is not said, and what is allowed needs no Sender', { timeout }, () => {
  const place = { qualifyDomain: 'example.org', delimiter: '+' }
  const author = authorOf(ann, 'example.org')
  const judge = (change: Partial<PolicySlice>) => judgeOf(rights(ann, policy(change)), author, place)
  const senders = { patterns: ['%u', 'sales'], place: '' }
  assert.ok(judge({ senders }).mayWrite('sales@example.org'))
  assert.ok(!judge({ senders }).mayWrite('boss@example.org'))
  assert.ok(judge({ senders }).owns('sales@example.org'))
  assert.ok(judge({ senders, from: { patterns: ['*@*'], place: '' } }).mayWrite('boss@x.example'))
  assert.ok(judge({}).mayWrite('boss@x.example') && !judge({}).owns('boss@x.example'))
  assert.ok(judge({}).owns('ann+x@example.org') && judge({}).owns('ann'))
  assert.ok(judge({ senders, trusted: true }).mayMail('boss@x.example'))
})

test('a local caller: limits by the least, strangers without a uid, later without a resolver', {
  timeout,
}, () => {
  const setting = settingOf(listenerSlice({ kind: 'local', relay: [{ negated: false, network: 'any' }] }))
  const site = {
    policies: [policy({ messageSizeLimit: 1000, recipientLimit: 3, account: 'web-%u' })],
    qualifyDomain: 'example.org',
    recipientDelimiter: '+',
  }
  const known: Answer<'caller'> = { kind: 'known', name: 'ann', fullName: 'Ann Bee', groups: [] }
  const one = asCaller(setting, 1000, known, site, 500)
  assert.deepEqual([one.messageSizeLimit, one.recipientLimit, one.rights.account], [1000, 3, 'web-ann'])
  assert.deepEqual(one.author, { address: 'ann@example.org', fullName: 'Ann Bee' })
  assert.ok(one.mayRelay)
  const anonymous = asCaller(one, undefined, null, site, 500)
  assert.deepEqual(
    [anonymous.mayRelay, anonymous.author, anonymous.rights],
    [false, null, unknownClient.rights],
  )
  assert.equal(asCaller(setting, 1000, null, site, 500).rights.mail, 'later')
  assert.equal(asCaller(setting, 1000, { kind: 'unknown' }, site, 500).rights.mail, 'no')
})
