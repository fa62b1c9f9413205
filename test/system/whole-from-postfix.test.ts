/**
 * Postfix sends to us: through its own queue, over TLS with our certificate verified, asking for a report, and for a
 * mailbox beyond ASCII. Its client knows no CHUNKING.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort, startPostfix } from '../support/postfix.ts'
import { ASKED, deliveryReport, found, give, openPeerStage } from './peer-stage.ts'

const timeout = 300_000

test('from Postfix: TLS, DSN and SMTPUTF8', { timeout }, async (t) => {
  const stage = await openPeerStage()
  t.after(stage.close)
  const { nextHop, authority } = stage.way
  const port = await freePort()
  const postfix = await startPostfix({
    port,
    nextHop,
    alias: { there: 'nobody', here: 'nobody@local.example' },
    main: {
      relayhost: `[localhost]:${nextHop}`,
      smtp_host_lookup: 'native',
      smtp_tls_security_level: 'secure',
      smtp_tls_CAfile: authority,
      smtp_tls_loglevel: '1',
      smtputf8_enable: 'yes',
    },
  })
  if (!postfix) return t.skip('no Postfix can run here')
  t.after(postfix.stop)

  const asked = await give({ port, to: 'anna@local.example', ...ASKED })
  const received = await found({ ...stage, peer: postfix }, 'anna', asked, 1)
  assert.match(received, /from postfix\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give({ port, to: 'anna@local.example', octets: 400_000 })
  await found({ ...stage, peer: postfix }, 'anna', large, 2)

  const wide = await give({ port, to: 'jürgen@local.example', mail: 'SMTPUTF8' })
  assert.match(await found({ ...stage, peer: postfix }, 'jürgen', wide, 1), /with UTF8SMTPS id/)

  const log = postfix.log()
  assert.match(log, /Verified TLS connection established to localhost/)
  assert.equal(log.match(/ status=sent \(250 /g)?.length, 3, log)
})
