/** Which `server` section and which group a destination has, and which retry policy a reply gets. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { classOf, type PolicySlice, policyFor } from '../../services/qmgr/retry-policy.ts'
import { type TermsSlice, TermsTable, termsFor } from '../../services/qmgr/terms.ts'
import { judge } from '../../services/qmgr/verdict.ts'
import { loadConfigText, printProblems } from '../../shared/config/check.ts'
import { PROVIDERS } from '../../shared/config/providers.ts'
import type { QmgrSlice } from '../../shared/config/slices.ts'
import type { Blame, Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const FRAME = 'options { hostname "a.example"; }; listener "mx" { port 25; }; '
const MINUTE = 60_000
const HOUR = 60 * MINUTE

function sliceOf(text: string): QmgrSlice {
  const checked = loadConfigText(FRAME + text, '/posthorn.conf', { asCaller: true, interfaces: [] })
  if (checked.kind === 'bad') throw new Error(printProblems(checked.problems))
  return checked.slices.qmgr
}

type SmtpRoute = Extract<Route, { kind: 'smtp' }>

/** Names with their preference: `mx1.example.net 10`. */
function routeTo(hosts: string[], more: Partial<SmtpRoute> = {}): Route {
  const parsed = hosts.map((text) => {
    const [name = '', preference] = text.split(' ')
    return { name, addresses: ['192.0.2.1'], port: 25, preference: Number(preference ?? 0) }
  })
  const destination = parsed.map(({ name }) => name).join()
  return { kind: 'smtp', zone: '.', destination, protocol: 'smtp', hosts: parsed, ...more }
}

const ZONE = 'zone "." { type remote; };'

describe('terms', () => {
  const slice: TermsSlice = sliceOf(`${ZONE}
    server "big" { match-mx "*.big.example" 192.0.2.9; max-connections 2; rate 60/m; recipients-per-transaction 7;
      transactions-per-connection 9; connection-idle 0; };
    server "*.other.example" { rate 1/s; };
    qmgr { initial-connections 5; max-connections 20; recipients-per-transaction 50; };`)

  it('come from the first section that names one of the hosts', () => {
    assert.deepEqual(termsFor(routeTo(['MX.big.example'], { provider: 'big.example' }), slice), {
      group: 'server big',
      limits: { initial: 2, max: 2, rate: { count: 60, period: MINUTE } },
      share: 2,
      recipients: 7,
      connections: { group: 'server big', most: 2, transactions: 9, idle: 0 },
      schedule: { retry: null, lifetime: null, bounceLifetime: null, delayWarning: null },
    })
    const backup = routeTo(['mx.big.example 20', 'mx.other.example 10'])
    assert.equal(termsFor(backup, slice).group, 'server *.other.example', 'who is tried first counts first')
    assert.equal(termsFor(routeTo(['mx.big.example 20', 'mx.small.example 10']), slice).group, 'server big')
  })

  it('group by provider where no section speaks, and by destination where there is none', () => {
    const own = termsFor(routeTo(['mx.small.example']), slice)
    assert.deepEqual(own, {
      ...{ group: 'mx.small.example', limits: { initial: 5, max: 20, rate: null }, recipients: 50 },
      ...{ share: 20, connections: null, schedule: null },
    })
    const hosted = termsFor(routeTo(['a.mail.host.example'], { provider: 'host.example' }), slice)
    assert.deepEqual(
      [hosted.group, hosted.share, hosted.connections],
      ['host.example', 10, { group: 'host.example', most: 20 }],
    )
  })

  it('are looked up again when another config is in force', () => {
    let current = slice
    const table = new TermsTable(() => current)
    const route = routeTo(['mx.big.example'])
    assert.equal(table.of(route), table.of(route))
    current = sliceOf(`${ZONE} server "all" { match-mx "*.example"; };`)
    assert.equal(table.of(route).group, 'server all')
  })

  it('know big providers, unless the config does not want that or speaks for itself', () => {
    const google = routeTo(['aspmx.l.google.com 1', 'alt1.aspmx.l.google.com 5'])
    const customer = routeTo(['example-org.mail.protection.outlook.com'])
    const usual = sliceOf(ZONE)
    assert.equal(termsFor(google, usual).group, 'server google')
    assert.equal(termsFor(customer, usual).limits.max, 5)
    const off = sliceOf(`${ZONE} qmgr { known-providers no; };`)
    assert.equal(termsFor(google, off).limits.rate, null)
    assert.deepEqual(off.retryClasses, [])
    const named = sliceOf(`${ZONE} server "google" { match-mx "*.google.com"; max-connections 30; };`)
    assert.deepEqual([termsFor(google, named).limits.max, termsFor(google, named).limits.rate], [30, null])
    const own = sliceOf(`${ZONE} server "*.l.google.com" { max-connections 9; };`)
    assert.equal(termsFor(google, own).limits.max, 9)
  })

  it('of the known providers are good as a config of their own', () => {
    const checked = loadConfigText(FRAME + ZONE + PROVIDERS, '/posthorn.conf', {
      asCaller: true,
      interfaces: [],
    })
    assert.ok(checked.kind === 'ok')
    assert.deepEqual(checked.warnings, [])
    const own = sliceOf(`${ZONE} qmgr { known-providers no; };${PROVIDERS}`)
    assert.deepEqual([own.servers, own.retryClasses], [sliceOf(ZONE).servers, sliceOf(ZONE).retryClasses])
  })
})

function later(said: string, blame: Blame = 'message', more: { inDoubt?: boolean } = {}): Outcome {
  const [, code, enhanced = '', text = ''] = /^(\d+) (?:([\d.]+) )?(.*)$/.exec(said) ?? []
  return { kind: 'later', blame, reply: { code: Number(code), enhanced, text, host: 'mx' }, ...more }
}

describe('retry policy', () => {
  const slice = sliceOf(`
    qmgr { retry 10m 1h; lifetime 4d; bounce-lifetime 2d; delay-warning 3h; };
    zone "." { type remote; };
    zone "lists.example" { type relay; hosts { a.example; }; retry 30m; lifetime 1d; delay-warning 0; };
    server "*.slow.example" { retry 2h; bounce-lifetime 3h; };
    retry-class "one list" { zones "lists.example"; codes { 450; }; retry 3m; };
    retry-class "greylisted" { codes { 450; "4.7.1"; }; text "grey*list" "greylist"; retry 6m 7m; lifetime 1d; };
    retry-class "full" { codes { "4.2.x"; 45x; }; match-mx "*.slow.example"; suspend 20m; };
  `)
  const none = { schedule: null }
  const slow = slice.servers.find(({ name }) => name === '*.slow.example') ?? none
  const policy = (
    said: string,
    route = routeTo(['mx.example.net']),
    terms: typeof none | typeof slow = none,
  ) => policyFor(slice, () => terms, route, later(said))
  const className = (outcome: Outcome, route = routeTo(['mx.example.net'])) =>
    classOf(slice.retryClasses, route, outcome)?.name ?? null

  it('is that of qmgr where nothing else is said', () => {
    assert.equal(policy('451 4.3.0 busy'), slice)
    assert.equal(
      policyFor(slice, () => none, null, later('450 4.7.1 greylisted')),
      slice,
      'no route yet',
    )
  })

  it('takes each part from the most particular place that speaks of it', () => {
    const list = routeTo(['mx.slow.example'], { zone: 'lists.example' })
    assert.deepEqual(policy('451 4.3.0 busy', list), {
      ...{
        retry: [30 * MINUTE],
        lifetime: 24 * HOUR,
        bounceLifetime: 24 * HOUR,
        delayWarning: 0,
        suspend: 0,
      },
    })
    const both = policy('451 4.3.0 x', { ...list, zone: 'lists.example' }, slow)
    assert.deepEqual([both.retry, both.lifetime, both.bounceLifetime], [[2 * HOUR], 24 * HOUR, 3 * HOUR])
    const grey = policy('451 4.7.1 Greylisted, see http://x', list, slow)
    assert.deepEqual([grey.retry, grey.lifetime, grey.delayWarning], [[6 * MINUTE, 7 * MINUTE], 24 * HOUR, 0])
    assert.deepEqual(policy('450 4.7.1 greylisted', list).retry, [3 * MINUTE], 'the first class that fits')
  })

  it('knows a class by all that it names', () => {
    assert.equal(className(later('450 4.2.0 GREY and LISTed')), 'greylisted')
    assert.equal(className(later('451 4.7.1 you are greylisted')), 'greylisted')
    assert.equal(className(later('451 4.7.2 you are greylisted')), null, 'another code')
    assert.equal(className(later('450 4.7.1 try again')), null, 'another text')
    const host = routeTo(['a.slow.example'])
    assert.equal(className(later('422 4.2.2 full'), host), 'full')
    assert.equal(className(later('459 quota'), host), 'full')
    assert.equal(className(later('460 4.20.2 quota'), host), null)
    assert.equal(className(later('452 4.2.2 full')), null, 'another host')
  })

  it('leaves our own trouble alone, but not what is in doubt', () => {
    const host = routeTo(['a.slow.example'])
    assert.equal(className(later('451 4.3.0 no answer', 'ours'), host), null)
    assert.equal(className(later('451 4.3.0 no answer', 'ours', { inDoubt: true }), host), 'full')
    assert.equal(
      className({ kind: 'never', reply: { code: 450, enhanced: '', text: 'x', host: '' } }, host),
      null,
    )
  })

  it('waits at least as long as its class suspends, and gives up when the class does', () => {
    const history = { attempts: 0, receivedAt: 0, warned: false, isReport: false }
    const suspended: PolicySlice & { suspend: number } = { ...slice, suspend: 20 * MINUTE }
    const verdict = judge(later('452 4.2.2 full'), history, suspended, 0, 0)
    assert.deepEqual(verdict.kind === 'wait' && [verdict.at, verdict.until], [20 * MINUTE, 96 * HOUR])
    const grey = policy('450 4.7.1 greylisted')
    assert.equal(judge(later('450 4.7.1 greylisted'), history, grey, 24 * HOUR, 0.5).kind, 'fail')
    assert.equal(judge(later('450 4.3.0 x'), history, policy('450 4.3.0 x'), 24 * HOUR, 0.5).kind, 'wait')
  })
})
