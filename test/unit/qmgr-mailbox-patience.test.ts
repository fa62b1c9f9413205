/** How long mail waits for a mailbox that cannot take it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { policyFor } from '../../services/qmgr/retry-policy.ts'
import { loadConfigText } from '../../shared/config/check.ts'
import type { Blame, Outcome } from '../../shared/message/outcome.ts'
import type { Route } from '../../shared/message/route.ts'

const HOUR = 3_600_000
const TEXT = `options { hostname "a.example"; }; listener "mx" { port 25; }; zone "a.example" { type local; };
  qmgr { lifetime 5d; }; lda { mailbox-lifetime 20d; };
  retry-class "mine" { codes { "4.3.1"; }; lifetime 1d; };`

const mailbox = { user: 'u', uid: 1, gid: 1, home: '/', format: 'mbox', path: '/m' } as const
const local: Route = { kind: 'local', zone: 'a.example', destination: 'local:1', mailbox }
const smtp: Route = { kind: 'smtp', zone: '.', destination: 'b', protocol: 'smtp', hosts: [] }
const schedule = { retry: null, lifetime: null, bounceLifetime: null, delayWarning: null }

function hours(route: Route, enhanced: string, blame: Blame): number {
  const checked = loadConfigText(TEXT, '/posthorn.conf', { asCaller: true, interfaces: [] })
  if (checked.kind === 'bad') throw new Error('the config of this test is no good')
  const outcome: Outcome = { kind: 'later', blame, reply: { code: 451, enhanced, text: '', host: '' } }
  return policyFor(checked.slices.qmgr, () => ({ schedule }), route, outcome).lifetime / HOUR
}

test('a mailbox in trouble has patience of its own; a class, our own trouble and other hosts have not', () => {
  assert.equal(hours(local, '4.2.0', 'recipient'), 20 * 24)
  assert.equal(hours(local, '4.3.1', 'recipient'), 24)
  assert.equal(hours(local, '4.3.0', 'ours'), 5 * 24)
  assert.equal(hours(smtp, '4.2.0', 'recipient'), 5 * 24)
})
