/**
 * Exim sends to us: through its own queue, over TLS with our certificate verified, by BDAT, asking for a report, and
 * for a mailbox beyond ASCII.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startExim } from '../support/other-servers.ts'
import { until } from '../support/wait.ts'
import { ASKED, deliveryReport, found, give, openPeerStage } from './peer-stage.ts'

const timeout = 300_000

test('from Exim: TLS, CHUNKING, DSN and SMTPUTF8', { timeout }, async (t) => {
  const stage = await openPeerStage(t, 'Exim', startExim)
  if (!stage) return

  const asked = await give(stage, { to: 'anna@local.example', ...ASKED })
  const received = await found(stage, 'anna', asked, 1)
  assert.match(received, /from exim\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give(stage, { to: 'anna@local.example', octets: 400_000 })
  await found(stage, 'anna', large, 2)

  const wide = await give(stage, { to: 'jürgen@local.example', mail: 'SMTPUTF8' })
  assert.match(await found(stage, 'jürgen', wide, 1), /with UTF8SMTPS id/)

  // it says itself what it did: a verified certificate, and K where it sent by BDAT
  const sent = await until('Exim to have written of three', () => {
    const lines = stage.peer.log().match(/^.* [=-]> .*$/gm) ?? []
    return lines.length === 3 ? lines : null
  })
  for (const line of sent) assert.match(line, / X=TLS\S+ CV=yes .*K /)
})
