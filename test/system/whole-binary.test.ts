/**
 * BINARYMIME (RFC 3030) from end to end: through two Posthorns into a Maildir, octet for octet, small and large; and
 * back to the sender where the next host cannot take it.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openSession, type SmtpClient } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
let inner: Posthorn
let outer: Posthorn
let sink: Sink

before(
  async () => {
    sink = await openSink()
    inner = await startPosthorn({
      config: (paths) => testConfig(paths).replace('local.example', 'inner.example'),
      users: ['anna'],
    })
    const port = inner.ports['mx'] ?? 0
    outer = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          mx: 'relay { localhost; };',
          more: `zone "inner.example" { type relay; hosts { "127.0.0.1" port ${port}; }; };`,
        }).replace('local.example', 'outer.example'),
      users: ['ben'],
    })
  },
  { timeout },
)

after(
  async () => {
    await outer.stop()
    await inner.stop()
    await sink.close()
  },
  { timeout },
)

const HEADER = 'Subject: binary\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n'

/** Octets of every value, bare CRs and LFs among them, and the end of DATA. */
function bodyOf(octets: number): Buffer {
  const body = Buffer.alloc(octets)
  for (let n = 0; n < octets; n++) body[n] = (n * 7 + (n >> 8)) % 256
  body.write('\r\n.\r\n\r\r\n\n', 20)
  return body
}

async function sendBinary(client: SmtpClient, from: string, to: string, body: Buffer): Promise<string> {
  client.write(`MAIL FROM:<${from}> BODY=BINARYMIME\r\nRCPT TO:<${to}>\r\n`)
  for (const code of [250, 250]) assert.equal((await client.reply()).code, code)
  const whole = Buffer.concat([Buffer.from(HEADER), body])
  const middle = whole.length >> 1
  client.write(`BDAT ${middle}\r\n`)
  client.write(whole.subarray(0, middle))
  client.write(`BDAT ${whole.length - middle} LAST\r\n`)
  client.write(whole.subarray(middle))
  assert.equal((await client.reply()).code, 250)
  const reply = await client.reply()
  assert.equal(reply.code, 250, reply.text)
  return reply.text
}

function sumOfEnd(content: Buffer, octets: number): string {
  return createHash('sha256').update(content.subarray(-octets)).digest('hex')
}

for (const octets of [3000, 900_000]) {
  test(`${octets} octets of anything, through two servers`, { timeout }, async () => {
    const body = bodyOf(octets)
    const before = (await mailsIn(inner.maildir('anna'), 0)).length
    const client = await openSession(outer.ports['mx'] ?? 0)
    await sendBinary(client, 'x@client.example', 'anna@inner.example', body).catch((error: unknown) =>
      assert.fail(`${String(error)}\n${outer.log()}`),
    )
    await client.quit()
    const mails = await mailsIn(inner.maildir('anna'), before + 1)
    assert.ok(
      mails.some(({ content }) => sumOfEnd(content, octets) === sumOfEnd(body, octets)),
      `${inner.log()}`,
    )
  })
}

test('where the next host cannot take it, the sender gets the header back and a clear word', {
  timeout,
}, async () => {
  const client = await openSession(outer.ports['mx'] ?? 0)
  await sendBinary(client, 'ben@outer.example', 'far@relay.example', bodyOf(500))
  await client.quit()
  const [mail] = await mailsIn(outer.maildir('ben'), 1)
  const report = mail?.content.toString() ?? ''
  assert.match(report, /^Status: 5\.6\.3$/m)
  assert.match(report, /does not take BINARYMIME/)
  assert.match(report, /^Subject: binary$/m)
  assert.equal(sink.mails.length, 0)
})
