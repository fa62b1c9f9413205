/**
 * OpenSMTPD sends to us: through its own queue, over TLS with our certificate verified, asking for a report. It knows
 * neither CHUNKING nor SMTPUTF8.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startOpenSmtpd } from '../support/other-servers.ts'
import { ASKED, deliveryReport, found, give, openPeerStage } from './peer-stage.ts'

const timeout = 300_000

test('from OpenSMTPD: TLS and DSN', { timeout }, async (t) => {
  const stage = await openPeerStage(t, 'OpenSMTPD', startOpenSmtpd)
  if (!stage) return

  const asked = await give(stage, { to: 'anna@local.example', ...ASKED })
  const received = await found(stage, 'anna', asked, 1)
  assert.match(received, /from opensmtpd\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give(stage, { to: 'anna@local.example', octets: 400_000 })
  await found(stage, 'anna', large, 2)
  assert.equal(stage.peer.log().match(/mta tls ciphers=TLS/g)?.length, 1, stage.peer.log())
})
