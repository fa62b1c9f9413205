/**
 * smtpd as a process: a message from the first octet to qmgr's word, and what qmgr is told on the way.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectTo } from '../support/client.ts'
import { openStage } from './smtpd-stage.ts'

const options = { timeout: 60_000 }

test('a message goes through', options, async (t) => {
  const stage = await openStage()
  t.after(stage.close)
  const client = await connectTo(stage.port)
  assert.match((await client.reply()).text, /^mx\.example\.org ESMTP/)
  await client.say('EHLO client.example')
  await client.say('MAIL FROM:<a@client.example>')
  await client.say('RCPT TO:<b@example.org>')
  await client.say('DATA')
  const reply = await client.say('Subject: x\r\n\r\n..dot\r\n.')
  assert.equal(reply.code, 250)
  assert.equal(stage.taken.length, 1)
  await client.quit()
})
