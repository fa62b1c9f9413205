/**
 * DMARC against tables of records, and Authentication-Results: its room, its words, and forged ones.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { passesDmarc } from '../../services/smtpd/authentication/arc-results.ts'
import { fateOfForged } from '../../services/smtpd/authentication/authenticate.ts'
import { type Evidence, judgeDmarc } from '../../services/smtpd/authentication/dmarc.ts'
import { type Results, render, reserve, withoutClaims } from '../../services/smtpd/authentication/results.ts'

type Records = Readonly<Record<string, string | string[] | null>>

function judge(records: Records, evidence: Partial<Evidence>, absent: readonly string[] = []): string {
  const machine = judgeDmarc({ from: 'example.org', spf: null, dkim: [], ...evidence })
  let step = machine.next()
  let asked = 0
  while (!step.done) {
    assert.ok(++asked < 100, 'it ends')
    const found = records[step.value.replace('_dmarc.', '')]
    const plain = !step.value.startsWith('_dmarc.')
    if (plain) step = machine.next(absent.includes(step.value) ? 'absent' : [])
    else step = machine.next(found === undefined ? 'absent' : found === null ? null : [found].flat())
  }
  return `${step.value.result} ${step.value.policy}`
}

const reject = { 'example.org': 'v=DMARC1; p=reject; sp=quarantine' }

test('a pass needs a domain that is the author’s', () => {
  assert.equal(judge(reject, {}), 'fail reject')
  assert.equal(judge(reject, { spf: 'example.org' }), 'pass reject')
  assert.equal(judge(reject, { dkim: ['evil.example', 'example.org'] }), 'pass reject')
  assert.equal(judge(reject, { spf: 'evil.example', dkim: ['example.com'] }), 'fail reject')
  assert.equal(judge(reject, { spf: 'notexample.org' }), 'fail reject')
})

test('relaxed: the same organization; strict: the same name', () => {
  assert.equal(judge(reject, { spf: 'bounce.example.org' }), 'pass reject')
  const strict = { 'example.org': 'v=DMARC1; p=reject; aspf=s; adkim=s' }
  assert.equal(judge(strict, { spf: 'bounce.example.org', dkim: ['a.example.org'] }), 'fail reject')
  assert.equal(judge(strict, { dkim: ['example.org'] }), 'pass reject')
})

test('a subdomain has the policy for subdomains, or its own', () => {
  assert.equal(judge(reject, { from: 'a.b.example.org' }), 'fail quarantine')
  assert.equal(judge(reject, { from: 'a.example.org', spf: 'example.org' }), 'pass quarantine')
  const own = { ...reject, 'a.example.org': 'v=DMARC1; p=none' }
  assert.equal(judge(own, { from: 'a.example.org' }), 'fail none')
})

test('names that do not exist have a policy of their own', () => {
  const np = { 'example.org': 'v=DMARC1; p=none; sp=quarantine; np=reject' }
  assert.equal(judge(np, { from: 'a.example.org' }), 'fail quarantine')
  assert.equal(judge(np, { from: 'a.example.org' }, ['a.example.org']), 'fail reject')
  assert.equal(judge(np, {}), 'fail none')
  const testing = { 'example.org': 'v=DMARC1; p=reject; np=none; t=y' }
  assert.equal(judge(testing, { from: 'a.example.org' }, ['a.example.org']), 'fail none')
  assert.equal(judge(testing, { from: 'a.example.org' }), 'fail quarantine')
  const suffix = { example: 'v=DMARC1; p=none; psd=y; np=reject' }
  assert.equal(judge(suffix, { from: 'nobody.example' }, ['nobody.example']), 'fail reject')
  assert.equal(
    judge(reject, { from: 'a.example.org' }, ['a.example.org']),
    'fail quarantine',
    'sp without np',
  )
})

test('public suffixes are no organization, and who says psd=n is one', () => {
  const suffix = { 'co.example': 'v=DMARC1; p=reject; psd=y' }
  assert.equal(judge(suffix, { from: 'one.co.example', spf: 'two.co.example' }), 'fail reject')
  const mine = { ...suffix, 'one.co.example': 'v=DMARC1; p=reject' }
  assert.equal(judge(mine, { from: 'a.one.co.example', spf: 'b.one.co.example' }), 'pass reject')
  const apart = { ...reject, 'own.example.org': 'v=DMARC1; p=reject; psd=n' }
  assert.equal(judge(apart, { from: 'a.own.example.org', spf: 'example.org' }), 'fail reject')
})

test('records that are none, two, odd; t=y; DNS in trouble', () => {
  assert.equal(judge({}, { spf: 'example.org' }), 'none none')
  assert.equal(judge({ 'example.org': ['v=DMARC1; p=reject', 'v=DMARC1; p=none'] }, {}), 'none none')
  assert.equal(judge({ 'example.org': ['hello', 'v=DMARC1; p=reject'] }, {}), 'fail reject')
  assert.equal(judge({ 'example.org': 'v=DMARC1; p=nonsense' }, {}), 'none none')
  assert.equal(judge({ 'example.org': 'v=DMARC1; p=nonsense; rua=mailto:a@example.org' }, {}), 'fail none')
  assert.equal(judge({ 'example.org': 'v=DMARC1; p=reject; t=y' }, {}), 'fail quarantine')
  assert.equal(judge({ 'example.org': null }, { spf: 'example.org' }), 'temperror none')
})

test('a very long name costs eight questions for each domain', () => {
  const long = `${'a.'.repeat(100)}example.org`
  assert.equal(judge(reject, { from: long }), 'fail quarantine')
})

test('the zone decides how far the domain is followed', () => {
  const failed = (policy: 'none' | 'quarantine' | 'reject', result: 'fail' | 'temperror' = 'fail') => ({
    spf: { result: 'fail' as const, identity: 'mailfrom' as const, value: 'example.org' },
    dmarc: { result, policy, from: 'x' },
    arc: null,
  })
  assert.equal(fateOfForged(failed('reject'), 'reject').refusal?.code, 550)
  assert.deepEqual(fateOfForged(failed('quarantine'), 'reject'), { refusal: null, hold: true })
  assert.deepEqual(fateOfForged(failed('reject'), 'quarantine'), { refusal: null, hold: true })
  assert.deepEqual(fateOfForged(failed('reject'), 'tag'), { refusal: null, hold: false })
  assert.deepEqual(fateOfForged(failed('none'), 'reject'), { refusal: null, hold: false })
  assert.deepEqual(fateOfForged(failed('reject', 'temperror'), 'reject'), { refusal: null, hold: false })
  const sealed = { result: 'pass' as const, sets: 1, sealer: 'l.example', trusted: true }
  assert.deepEqual(fateOfForged({ ...failed('reject'), arc: sealed }, 'reject'), {
    refusal: null,
    hold: false,
  })
  const doubted = { ...failed('reject'), arc: { ...sealed, trusted: false } }
  assert.equal(fateOfForged(doubted, 'reject').refusal?.code, 550)
})

test('an explanation of SPF is said as the words of its domain, bounded and on one line', () => {
  const said = (explanation: string, result: 'fail' | 'softfail' = 'fail') =>
    fateOfForged(
      {
        spf: { result, identity: 'mailfrom', value: 'example.org', explanation },
        dmarc: { result: 'fail', policy: 'reject', from: 'x' },
        arc: null,
      },
      'reject',
    ).refusal?.text ?? ''
  assert.match(said('see http://example.org'), /\(DMARC\); example\.org explains: see http:\/\/example\.org$/)
  assert.match(said('a\r\n250 ok\u00fc'), /explains: a\?\?250 ok\?$/)
  assert.ok(said('x'.repeat(5000)).length < 400)
  assert.doesNotMatch(said('see', 'softfail'), /explains/)
})

const results: Results = {
  spf: { result: 'pass', identity: 'mailfrom', value: 'b\xfccher"\r\n.example' },
  dkim: [{ result: 'fail', domain: 'example.org', selector: 's1', mark: 'abcd/+==' }],
  dmarc: { result: 'none', policy: 'none', from: 'example.org' },
  arc: { result: 'none', sets: 3, sealer: 'lists.example', trusted: false },
}

test('the field fits the room that was kept for it, whatever came out', () => {
  const room = reserve('mx.example.org', results)
  for (const result of ['pass', 'fail', 'temperror', 'permerror', 'none'] as const) {
    const [first] = results.dkim
    const text = render('mx.example.org', {
      spf: { ...results.spf, result },
      dkim: first ? [{ ...first, result }] : [],
      dmarc: { ...results.dmarc, result, policy: 'reject' },
      arc: results.arc && {
        ...results.arc,
        result: result === 'permerror' ? 'fail' : result,
        trusted: result === 'pass',
      },
    })
    assert.equal(text.length, room.length)
    assert.match(text, /^Authentication-Results: mx\.example\.org;(?:[^\r\n]|\r\n\t)*\r\n$/)
    assert.match(text, /^[\x20-\x7e\r\n\t]*$/)
  }
})

test('fields in our name go, others stay, folded or disguised', () => {
  const mine = [
    'Authentication-Results: mx.example.org; spf=pass\r\n',
    'authentication-results : (a \\) comment) MX.Example.ORG 1;\r\n\tspf=pass\r\n',
    'Authentication-Results:\r\n "mx.example.org"; dkim=pass\r\n',
    'Authentication-Results: mx.example.org\r\n',
  ]
  const others = [
    'Authentication-Results: mx.example.org.evil.example; spf=pass\r\n',
    'Authentication-Results: example.org; spf=pass\r\n',
    'X-Authentication-Results: mx.example.org; spf=pass\r\n',
    'not a field\r\n',
  ]
  const mixed = `${mine[0]}${others[0]}${mine[1]}${others[1]}${others[2]}${mine[2]}${others[3]}${mine[3]}\r\n`
  assert.equal(withoutClaims(mixed, 'mx.example.org'), `${others.join('')}\r\n`)
  assert.equal(withoutClaims('A: b\r\n\r\n', 'mx.example.org'), 'A: b\r\n\r\n')
})

test('what a stranger got into results counts for nothing', () => {
  const said = (value: string) => passesDmarc(value, 'example.org')
  assert.ok(said('i=1; mx.example; spf=fail smtp.mailfrom=x; dmarc=pass (p=none; x) header.from=example.org'))
  assert.ok(said('i=1; mx.example; DMARC = pass\theader.from=Example.org'))
  for (const value of [
    'i=1; mx.example; dmarc=fail header.from=example.org',
    'i=1; mx.example; dmarc=pass header.from=example.com',
    'i=1; mx.example; dmarc=pass header.from="example.org"',
    'i=1; mx.example; spf=pass smtp.mailfrom="a; dmarc=pass header.from=example.org;"@evil.example',
    'i=1; mx.example; spf=pass (; dmarc=pass header.from=example.org;) smtp.mailfrom=x',
    'i=1; mx.example; spf=pass smtp.mailfrom="\\"; dmarc=pass header.from=example.org',
    'i=1; mx.example; xdmarc=pass header.from=example.org',
  ])
    assert.ok(!said(value), value)
})
