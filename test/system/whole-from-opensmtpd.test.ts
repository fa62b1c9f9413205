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
  const stage = await openPeerStage()
  t.after(stage.close)
  const opensmtpd = await startOpenSmtpd(stage.way)
  if (!opensmtpd) return t.skip('no OpenSMTPD can run here')
  t.after(opensmtpd.stop)
  const { port } = opensmtpd

  const asked = await give({ port, to: 'anna@local.example', ...ASKED })
  const received = await found({ ...stage, peer: opensmtpd }, 'anna', asked, 1)
  assert.match(received, /from opensmtpd\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give({ port, to: 'anna@local.example', octets: 400_000 })
  await found({ ...stage, peer: opensmtpd }, 'anna', large, 2)
  assert.equal(opensmtpd.log().match(/mta tls ciphers=TLS/g)?.length, 1, opensmtpd.log())
})
