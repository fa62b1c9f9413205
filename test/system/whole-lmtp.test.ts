/**
 * LMTP (RFC 2033) as the way in: by hand on a unix socket, with fates of their own in cut-through; and from a real
 * Postfix that keeps its mailboxes here.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connectTo, dotted, sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { freePort, startPostfix } from '../support/postfix.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 300_000
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    sink = await openSink((stage, who) =>
      stage === 'rcpt' && who.startsWith('gone') ? '550 5.1.1 no' : null,
    )
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          more: `listener "lmtp" { address 127.0.0.1; port 0; };
                 listener "front" { type lmtp; socket "lmtp.sock"; relay { local; }; cut-through yes; cut-through-deadline 60s; };`,
        }),
      users: ['anna', 'ben'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
  },
  { timeout },
)

test('each recipient has its own reply, by its own fate', { timeout }, async () => {
  const client = await connectTo(join(posthorn.paths.run, 'lmtp.sock'))
  assert.match((await client.reply()).text, /LMTP/)
  await client.say('LHLO front.example')
  assert.equal((await client.say('MAIL FROM:<x@client.example>')).code, 250)
  for (const to of ['anna@local.example', 'gone@relay.example', 'far@relay.example'])
    assert.equal((await client.say(`RCPT TO:<${to}>`)).code, 250)
  assert.equal((await client.say('DATA')).code, 354)
  const { content, mark } = makeSpecimen(500)
  client.write(dotted(content))
  const codes = [await client.reply(), await client.reply(), await client.reply()].map(({ code }) => code)
  assert.deepEqual(codes, [250, 550, 250])
  await client.quit()
  const [mail] = await mailsIn(posthorn.maildir('anna'), 1)
  assert.equal(mail && readSpecimen(mail.content), mark)
  assert.match(mail?.content.toString() ?? '', /with LMTP id/)
  assert.equal((await sink.received(1)).length, 1)
  assert.equal((await posthorn.queue()).length, 0)
})

test('Postfix brings mail by LMTP', { timeout }, async (t) => {
  const port = await freePort()
  const postfix = await startPostfix({
    port,
    nextHop: 0,
    alias: { there: 'nobody', here: 'nobody@local.example' },
    main: { default_transport: `lmtp:inet:[127.0.0.1]:${posthorn.ports['lmtp'] ?? 0}`, relayhost: '' },
  })
  if (!postfix) return t.skip('no Postfix can run here')
  t.after(postfix.stop)
  const { content, mark } = makeSpecimen(3000)
  const to = ['ben@local.example', 'unknown@local.example']
  assert.equal((await sendMail(port, { from: 'ben@local.example', to, content })).code, 250)
  const mails = await mailsIn(posthorn.maildir('ben'), 2).catch((error) =>
    assert.fail(`${error}\n${postfix.log()}`),
  )
  const texts = mails.map((mail) => mail.content.toString())
  assert.ok(mails.some((mail) => readSpecimen(mail.content) === mark))
  assert.ok(texts.some((text) => /^Final-Recipient: rfc822; ?unknown@local\.example$/im.test(text)))
})
