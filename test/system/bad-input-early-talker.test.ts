/**
 * Clients that talk before they are greeted: sent away where the listener waits for that, harmless where not.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { connectTo } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'

let posthorn: Posthorn
const timeout = 120_000
const BURST = 'EHLO early.example\r\nMAIL FROM:<x@client.example>\r\nRCPT TO:<anna@local.example>\r\nDATA\r\n'

before(
  async () => {
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: 'listener "patient" { type mx; address 127.0.0.1; port 0; greeting-delay 2s; };',
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(() => posthorn.stop(), { timeout })

test('where the greeting is delayed, an early talker gets 554 and the end', { timeout }, async () => {
  const client = await connectTo(posthorn.ports['patient'] ?? 0)
  client.write(BURST)
  const reply = await client.reply()
  assert.equal(reply.code, 554)
  await client.closed
})

test('and who waits is greeted', { timeout }, async () => {
  const client = await connectTo(posthorn.ports['patient'] ?? 0)
  assert.equal((await client.reply()).code, 220)
  assert.equal((await client.say('EHLO patient.example')).code, 250)
  await client.quit()
})

test('many early talkers at once', { timeout }, async () => {
  const clients = await Promise.all(
    Array.from({ length: 50 }, () => connectTo(posthorn.ports['patient'] ?? 0)),
  )
  for (const client of clients) client.write(BURST)
  const replies = await Promise.all(clients.map((client) => client.reply()))
  assert.deepEqual(new Set(replies.map((reply) => reply.code)), new Set([554]))
  await Promise.all(clients.map((client) => client.closed))
})
