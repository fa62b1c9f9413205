/**
 * Any octets at any split: no exception, no silence, the same words and the same messages at every split.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Player } from '../dialogue/player.ts'

interface Verdict {
  output: string
  messages: unknown[]
  closed: boolean
}

const EVERYONE = [{ negated: false, network: 'any' }]
const GRANTED = { vrfy: EVERYONE, expn: EVERYONE, etrn: EVERYONE, xclient: EVERYONE, xforward: EVERYONE }

async function verdictOf(pieces: readonly Buffer[]): Promise<Verdict> {
  const player = new Player({ messageSizeLimit: 200, recipientLimit: 3, errorLimit: 6, ...GRANTED })
  for (const piece of pieces) if (piece.length > 0) await player.write(piece)
  return { output: player.takeOutput(), messages: player.messages, closed: player.closed }
}

const words = fc.constantFrom(
  'EHLO client.example\r\n',
  'HELO x\r\n',
  'MAIL FROM:<a@b.example>\r\n',
  'MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\n',
  'MAIL FROM:<\xc3\xbc@b.example> SMTPUTF8\r\n',
  'MAIL FROM:<a@b.example> RET=FULL ENVID=x+2B\r\n',
  'RCPT TO:<c@example.org>\r\n',
  'RCPT TO:<c@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+40d\r\n',
  'RCPT TO:<c@example.org> NOTIFY=NEVER,DELAY ORCPT=;\r\n',
  'RCPT TO:<nobody@example.org>\r\n',
  'RCPT TO:<d@elsewhere.example>\r\n',
  'DATA\r\n',
  'Subject: x\r\n\r\nbody\r\n.\r\n',
  '.\r\n',
  '..\r\n',
  '\r\n.\n',
  'BDAT 7\r\nbd at\r\n',
  'BDAT 12 LAST\r\nSubject: y\r\n',
  'BDAT 0 LAST\r\n',
  'BDAT 90\r\n',
  'MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n',
  'VRFY c@example.org\r\n',
  'EXPN nobody@example.org\r\n',
  'ETRN waits.example\r\n',
  'XCLIENT ADDR=192.0.2.1 LOGIN=x\r\n',
  'XFORWARD NAME=x\r\n',
  'RSET\r\n',
  'NOOP\r\n',
  'HELP\r\n',
  'QUIT\r\n',
  'GET / HTTP/1.1\r\n',
  'x'.repeat(300),
  '\r',
  '\n',
  '\0',
  '\xff\xfe',
)
const noise = fc.uint8Array({ maxLength: 30 }).map((octets) => Buffer.from(octets).toString('latin1'))
const conversation = fc
  .array(fc.oneof({ weight: 9, arbitrary: words }, { weight: 1, arbitrary: noise }), { maxLength: 25 })
  .map((parts) => Buffer.from(`EHLO client.example\r\n${parts.join('')}`, 'latin1'))

test('the same verdict at every split', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(conversation, fc.array(fc.nat(), { maxLength: 12 }), async (whole, cuts) => {
      const places = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].sort((a, b) => a - b)
      const pieces = [0, ...places].map((from, n) => whole.subarray(from, places[n] ?? whole.length))
      assert.deepEqual(await verdictOf(pieces), await verdictOf([whole]))
    }),
    { numRuns: 400 },
  )
})

test('octet by octet', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(conversation, async (whole) => {
      const pieces = [...whole].map((octet) => Buffer.from([octet]))
      assert.deepEqual(await verdictOf(pieces), await verdictOf([whole]))
    }),
    { numRuns: 60 },
  )
})

test('garbage always gets a reply for each line, or the end', { timeout: 300_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (octets) => {
      const whole = Buffer.from([...octets, 13, 10])
      const { output, closed, messages } = await verdictOf([whole])
      const lines = whole.toString('latin1').split('\n').length - 1
      assert.ok(closed || output.split('\r\n').length - 2 >= lines, 'greeting and a reply per line')
      assert.deepEqual(messages, [])
    }),
    { numRuns: 500 },
  )
})
