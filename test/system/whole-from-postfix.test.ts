/**
 * Postfix sends to us: through its own queue, over TLS with our certificate verified, asking for a report, and for a
 * mailbox beyond ASCII. Its client knows no CHUNKING.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort, type Postfix, startPostfix } from '../support/postfix.ts'
import { until } from '../support/wait.ts'
import { ASKED, deliveryReport, found, give, openPeerStage, type Way } from './peer-stage.ts'

const timeout = 300_000

async function start({ nextHop, authority }: Way): Promise<Postfix | null> {
  return startPostfix({
    port: await freePort(),
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
}

test('from Postfix: TLS, DSN and SMTPUTF8', { timeout }, async (t) => {
  const stage = await openPeerStage(t, 'Postfix', start)
  if (!stage) return

  const asked = await give(stage, { to: 'anna@local.example', ...ASKED })
  const received = await found(stage, 'anna', asked, 1)
  assert.match(received, /from postfix\.example \(\S.*\n.*with ESMTPS id/)
  await deliveryReport(stage)

  const large = await give(stage, { to: 'anna@local.example', octets: 400_000 })
  await found(stage, 'anna', large, 2)

  const wide = await give(stage, { to: 'jürgen@local.example', mail: 'SMTPUTF8' })
  assert.match(await found(stage, 'jürgen', wide, 1), /with UTF8SMTPS id/)

  await until('Postfix to have written of three', () => {
    return stage.peer.log().match(/ status=sent \(250 /g)?.length === 3
  })
  assert.match(stage.peer.log(), /Verified TLS connection established to localhost/)
})
