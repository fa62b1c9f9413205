/**
 * Every action of access rules by every condition there is, on a whole Posthorn: who is refused hears so at the right
 * moment, and of the others each message is found where the rule has sent it, or nowhere.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ClientReply, connectTo, dotted, type SmtpClient } from '../support/client.ts'
import { mailsIn, readMaildir } from '../support/maildir.ts'
import { type NameServer, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 240_000
const actions = ['accept', 'reject', 'defer', 'discard', 'hold', 'tag', 'redirect'] as const
const conditions = ['client', 'helo', 'sender', 'recipient'] as const
type Action = (typeof actions)[number]
type Condition = (typeof conditions)[number]

const words: Readonly<Record<Action, string>> = {
  ...{ accept: 'accept', reject: 'reject', defer: 'defer "not yet"', discard: 'discard', hold: 'hold' },
  ...{ tag: 'tag "marked"', redirect: 'redirect "ben@local.example"' },
}

/** Who comes, so that one condition of one rule holds. */
function guest(action: Action, condition: Condition) {
  const is = (one: Condition) => one === condition
  return {
    localAddress: is('client') ? `127.0.9.${actions.indexOf(action) + 1}` : '127.0.0.1',
    helo: is('helo') ? `pc.${action}.test` : 'pc.test',
    from: is('sender') ? `me@${action}.test` : 'me@sender.test',
    to: is('recipient') ? `anna+${action}@local.example` : 'anna@local.example',
  }
}

/** Those on clients stand first: only so they act before the greeting. */
const rules = [
  ...actions.map((action, n) => `rule client { 127.0.9.${n + 1}; } ${words[action]};`),
  ...actions.map(
    (action) => `rule helo "*.${action}.test" ${words[action]};
rule sender "${action}.test" ${words[action]};
rule recipient "anna+${action}@*" ${words[action]};`,
  ),
]

const config = `
access "all" { ${rules.join('\n')} };
screening "nobody" { no-reverse-name 5; reject-score 5; exempt { none; }; };
listener "plain" { type mx; address 127.0.0.1; port 0; access "all"; };
listener "at-once" { type mx; address 127.0.0.1; port 0; access "all"; cut-through yes; };
listener "screened" { type mx; address 127.0.0.1; port 0; access "all"; screening "nobody"; };
listener "front" { type lmtp; socket "lmtp.sock"; access "all"; cut-through yes; cut-through-deadline 60s; };`

let names: NameServer
let posthorn: Posthorn

before(
  async () => {
    names = await startNameServer({})
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          more: `${config} resolver { nameservers { 127.0.0.1 port ${names.port}; }; recipient-delimiter "+"; };`,
        }),
      users: ['anna', 'ben', 'carl'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    names.close()
  },
  { timeout },
)

interface Said {
  at: 'greeting' | 'recipient' | 'content'
  reply: ClientReply
}

async function say(
  client: SmtpClient,
  { helo, from, to }: ReturnType<typeof guest>,
  subject: string,
): Promise<Said> {
  const greeting = await client.reply()
  if (greeting.code !== 220) return { at: 'greeting', reply: greeting }
  await client.say(`EHLO ${helo}`)
  assert.equal((await client.say(`MAIL FROM:<${from}>`)).code, 250)
  const reply = await client.say(`RCPT TO:<${to}>`)
  if (reply.code !== 250) return { at: 'recipient', reply }
  const text = `Subject: ${subject}\r\n\r\nHi.\r\n`
  client.write(`BDAT ${text.length} LAST\r\n${text}`)
  return { at: 'content', reply: await client.reply() }
}

async function send(action: Action, condition: Condition, listener = 'plain'): Promise<Said> {
  const who = guest(action, condition)
  const client = await connectTo(posthorn.ports[listener] ?? 0, { localAddress: who.localAddress })
  const said = await say(client, who, `${listener} ${action} by ${condition}`)
  client.destroy()
  return said
}

const heardOf = (user: string) => readMaildir(posthorn.maildir(user)).map(({ content }) => content.toString())

for (const action of ['reject', 'defer'] as const)
  test(`${action}: at the greeting by the client, at RCPT by all else`, { timeout }, async () => {
    const [early, late] = action === 'reject' ? [554, 550] : [421, 450]
    for (const condition of conditions) {
      const { at, reply } = await send(action, condition)
      const expected = condition === 'client' ? ['greeting', early] : ['recipient', late]
      assert.deepEqual([at, reply.code], expected, condition)
      assert.match(reply.text, action === 'reject' ? /^5\.7\.1 Access denied$/ : /^4\.7\.1 not yet$/)
    }
  })

test('accept: whatever screening says', { timeout }, async () => {
  for (const condition of conditions) {
    const refused = await send('tag', condition, 'screened')
    assert.deepEqual([refused.at, refused.reply.code], ['recipient', 550], `tag by ${condition}`)
    const { reply } = await send('accept', condition, 'screened')
    assert.equal(reply.code, 250, `accept by ${condition}`)
    await until(`${condition} delivered`, () =>
      heardOf('anna').some((text) => text.includes(`Subject: screened accept by ${condition}\n`)),
    )
  }
})

test('tag, redirect, discard and hold: taken, and each goes its way', { timeout }, async () => {
  for (const listener of ['plain', 'at-once'])
    for (const condition of conditions)
      for (const action of ['tag', 'redirect', 'discard', 'hold'] as const) {
        const { reply } = await send(action, condition, listener)
        assert.equal(reply.code, 250, `${listener} ${action} by ${condition}: ${reply.text}`)
      }
  await mailsIn(posthorn.maildir('ben'), 8)
  for (const listener of ['plain', 'at-once'])
    for (const condition of conditions) {
      const subject = (action: Action) => `Subject: ${listener} ${action} by ${condition}\n`
      const of = (user: string, action: Action) =>
        heardOf(user).filter((text) => text.includes(subject(action)))
      await until(subject('tag'), () => of('anna', 'tag').length === 1)
      assert.match(of('anna', 'tag')[0] ?? '', /^X-Posthorn-Tag: marked$/m)
      assert.equal(of('ben', 'redirect').length, 1)
      for (const action of ['redirect', 'discard', 'hold'] as const)
        assert.deepEqual(of('anna', action), [], action)
    }
  const waiting = await posthorn.queue()
  assert.deepEqual(new Set(waiting.map(({ state }) => state)), new Set(['held']))
  assert.equal(waiting.length, 8)
  assert.equal(posthorn.log().match(/"msg":"discarded"/g)?.length, 8)
  for (const { id } of waiting) assert.equal((await posthorn.command('queue', 'release', id)).code, 0)
  await until(
    'what was held',
    () => heardOf('anna').filter((text) => text.includes(' hold by ')).length === 8,
  )
})

test('each recipient goes its own way; one that is held keeps the message whole', { timeout }, async () => {
  const client = await connectTo(posthorn.ports['plain'] ?? 0)
  await client.reply()
  await client.say('EHLO pc.test')
  const transact = async (subject: string, ...to: string[]) => {
    await client.say('MAIL FROM:<me@sender.test>')
    const codes = []
    for (const one of to) codes.push((await client.say(`RCPT TO:<${one}@local.example>`)).code)
    await client.say('DATA')
    client.write(dotted(`Subject: ${subject}\r\n\r\nHi.\r\n`))
    return [...codes, (await client.reply()).code]
  }
  const several = ['anna+discard', 'anna+reject', 'anna+redirect', 'carl']
  assert.deepEqual(await transact('several', ...several), [250, 550, 250, 250, 250])
  const of = (user: string) => heardOf(user).filter((text) => text.includes('Subject: several\n')).length
  await until('both', () => of('carl') + of('ben') === 2)
  assert.deepEqual([of('carl'), of('ben'), of('anna')], [1, 1, 0])
  assert.deepEqual(await transact('whole', 'carl', 'anna+hold'), [250, 250, 250])
  const held = (await posthorn.queue()).filter(({ state }) => state === 'held')
  assert.ok(held.length >= 1)
  assert.ok(!heardOf('carl').some((text) => text.includes('Subject: whole\n')))
  await client.quit()
})

test('in LMTP each has its own reply', { timeout }, async () => {
  const client = await connectTo(join(posthorn.paths.run, 'lmtp.sock'))
  await client.reply()
  await client.say('LHLO pc.test')
  await client.say('MAIL FROM:<me@sender.test>')
  const to = ['anna+discard', 'anna+defer', 'anna+redirect', 'carl']
  const codes = []
  for (const one of to) codes.push((await client.say(`RCPT TO:<${one}@local.example>`)).code)
  assert.deepEqual(codes, [250, 450, 250, 250])
  await client.say('DATA')
  client.write(dotted('Subject: by lmtp\r\n\r\nHi.\r\n'))
  for (let n = 0; n < 3; n++) assert.equal((await client.reply()).code, 250)
  const of = (user: string) => heardOf(user).filter((text) => text.includes('Subject: by lmtp\n')).length
  assert.deepEqual([of('carl'), of('ben'), of('anna')], [1, 1, 0])
  await client.quit()
})
