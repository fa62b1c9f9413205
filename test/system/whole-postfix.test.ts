/**
 * With a real Postfix: Posthorn relays to it, it relays back, and the message ends in a Maildir here.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { freePort, startPostfix } from '../support/postfix.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 300_000

test('to Postfix and back into a Maildir', { timeout }, async (t) => {
  const port = await freePort()
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: `zone "postfix.example" { type relay; hosts { "127.0.0.1" port ${port}; }; };`,
      }),
    users: ['anna'],
  })
  const mx = posthorn.ports['mx'] ?? 0
  const postfix = await startPostfix({
    port,
    nextHop: mx,
    alias: { there: 'anna', here: 'anna@local.example' },
  })
  try {
    if (!postfix) return t.skip('no Postfix can run here')
    const specimens = Array.from({ length: 20 }, (_, n) => makeSpecimen(n === 7 ? 400_000 : 3000))
    for (const { content } of specimens) {
      const mail = { from: 'x@client.example', to: ['anna@postfix.example'], content }
      assert.equal((await sendMail(mx, mail)).code, 250)
    }
    const mails = await mailsIn(posthorn.maildir('anna'), specimens.length).catch((error) =>
      assert.fail(`${error}\n${postfix.log()}`),
    )
    const marks = new Set(mails.map((mail) => readSpecimen(mail.content)))
    assert.deepEqual(marks, new Set(specimens.map((one) => one.mark)))
    for (const { content } of mails) assert.match(content.toString(), /by postfix\.example \(Postfix\)/)
    await posthorn.queueEmpty()
  } finally {
    postfix?.stop()
    await posthorn.stop()
  }
})
