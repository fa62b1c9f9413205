/**
 * Exim sends to us: through its own queue, over TLS with our certificate verified, by BDAT, asking for a report, and
 * for a mailbox beyond ASCII.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startExim } from '../support/other-servers.ts'
import { ASKED, deliveryReport, found, give, openPeerStage } from './peer-stage.ts'

const timeout = 300_000

test('from Exim: TLS, CHUNKING, DSN and SMTPUTF8', { timeout }, async (t) => {
  const stage = await openPeerStage()
  t.after(stage.close)
  const exim = await startExim(stage.way)
  if (!exim) return t.skip('no Exim can run here')
  t.after(exim.stop)
  const { port } = exim

  const asked = await give({ port, to: 'anna@local.example', ...ASKED })
  const received = await found({ ...stage, peer: exim }, 'anna', asked, 1)
  assert.match(received, /from exim\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give({ port, to: 'anna@local.example', octets: 400_000 })
  await found({ ...stage, peer: exim }, 'anna', large, 2)

  const wide = await give({ port, to: 'jürgen@local.example', mail: 'SMTPUTF8' })
  assert.match(await found({ ...stage, peer: exim }, 'jürgen', wide, 1), /with UTF8SMTPS id/)

  // it says itself what it did: a verified certificate, and K where it sent by BDAT
  const sent = exim.log().match(/^.* [=-]> .*$/gm) ?? []
  assert.equal(sent.length, 3, exim.log())
  for (const line of sent) assert.match(line, / X=TLS\S+ CV=yes .*K /)
})
