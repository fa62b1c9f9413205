/**
 * sendmail --why against the whole of Posthorn, whose configuration is in several files: each rule with its place, the
 * exit code that sending would have had, and nothing sent.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type Result, sendmail } from './sendmail-stage.ts'

let sink: Sink
let posthorn: Posthorn
const timeout = 120_000
const uid = process.getuid?.() ?? 0
const file = (name: string) => join(posthorn.paths.directory, name)

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) => {
        const inside = (name: string) => join(paths.directory, name)
        writeFileSync(inside('team'), 'staff: anna, far@relay.example\nlist:\n  anna\n')
        writeFileSync(
          inside('zones.conf'),
          `access "house" {\n  rule recipient "barred@*" reject "not there";\n  rule recipient "void@*" discard;\n` +
            '  rule sender "anna@*" recipient "far@*" tag "annas";\n  rule recipient "old@*" redirect "anna@local.example";\n};\n' +
            'server "sink" { match-mx "127.0.0.1"; max-connections 3; };\n' +
            `retry-class "grey" { codes { 4.7.1; }; zones "relay.example"; retry 4m; };\n` +
            `# who is where\nzone "list.example" { type local; mailboxes "${paths.users}"; aliases "${inside('team')}"; };\n` +
            `zone "relay.example" { type relay; require-signature yes; hosts { "127.0.0.1" port ${sink.port}; }; };\n`,
        )
        writeFileSync(
          inside('policies.conf'),
          `policy "me" {\n  users { ${uid}; };\n  senders { "*@local.example"; };\n  from { "anna@local.example"; };\n` +
            '  recipient-limit 7; limit messages 90/h;\n};\n',
        )
        const more = `include "${inside('zones.conf')}";\ninclude "${inside('policies.conf')}";`
        return testConfig(paths, {
          more,
          options: 'qualify-domain "local.example";',
          local: 'access "house";',
        })
      },
      users: ['anna'],
    })
  },
  { timeout },
)

after(async () => {
  assert.equal(await posthorn.stop(), 0)
  await sink.close()
})

/** Where `text` stands in the file, by line and column; of a section the place is that of its name. */
function placeOf(name: string, text: string): string {
  const lines = readFileSync(name, 'utf8').split('\n')
  const line = lines.findIndex((one) => one.includes(text))
  assert.ok(line >= 0, text)
  const before = /^\w+ (?=")/.exec(text)?.[0].length ?? 0
  return `${name}:${line + 1}:${(lines[line] ?? '').indexOf(text) + before + 1}`
}

async function ask(words: string[], input = ''): Promise<Result & { said: (line: string) => void }> {
  const result = await sendmail(['--socket', posthorn.paths.submit, '--why', ...words], { input })
  const lines = result.out.split('\n').map((line) => line.trim())
  const said = (line: string) =>
    assert.ok(lines.includes(line), `no line ${line} in\n${result.out}${result.err}`)
  return { ...result, said }
}

test('listener, policy, limits, sender, zone and route, each with file and line', { timeout }, async () => {
  const { code, err, said } = await ask([
    '-f',
    'anna@local.example',
    'far@relay.example',
    'anna@local.example',
  ])
  assert.deepEqual([code, err], [0, ''])
  const policies = file('policies.conf')
  said(`listener "local": ${placeOf(posthorn.configFile, 'listener "local"')}`)
  said('session-limit 500: by default')
  said(`policy "me": ${placeOf(policies, 'policy "me"')}`)
  said(`recipient-limit 7: ${placeOf(policies, 'recipient-limit')}`)
  said(`limit messages 90/1h: ${placeOf(policies, 'limit messages')}`)
  said('<anna@local.example> taken: 250 2.1.0 Sender ok')
  said(`senders of policy "me": ${placeOf(policies, 'senders')}`)
  said('<far@relay.example> taken: 250 2.1.5 Recipient ok')
  said(`zone "relay.example" relay: ${placeOf(file('zones.conf'), 'zone "relay.example"')}`)
  said(`<far@relay.example>: by smtp to 127.0.0.1:${sink.port}`)
  said(`zone "local.example" local: ${placeOf(posthorn.configFile, 'zone "local.example"')}`)
  said(`user "anna": ${posthorn.paths.users}`)
})

test('access rules, the next hop, its schedule and its TLS', { timeout }, async () => {
  const zones = file('zones.conf')
  const { code, said } = await ask(['-f', 'anna', 'far@relay.example'])
  assert.equal(code, 0)
  said(`access rule tag "annas": ${placeOf(zones, 'rule sender')}`)
  said(`zone "relay.example" require-signature yes: ${placeOf(zones, 'require-signature')}`)
  said(`server "sink": ${placeOf(zones, 'server "sink"')}`)
  said(`server "sink" max-connections 3: ${placeOf(zones, 'max-connections')}`)
  said(`retry-class "grey" for such replies: ${placeOf(zones, 'retry-class "grey"').replace(/:\d+$/, ':13')}`)
  said(`qmgr retry 200ms: ${placeOf(posthorn.configFile, 'retry 200ms')}`)
  said('qmgr lifetime 5d: by default')
  said('smtpc tls dane: by default')
  const barred = await ask(['-f', 'anna', 'barred@local.example'])
  assert.equal(barred.code, 77)
  barred.said('<barred@local.example> refused: 550 5.7.1 not there')
  assert.match(barred.out, /access rule reject "not there": .*zones\.conf:2:/)
  const away = await ask(['-f', 'anna', 'void@local.example', 'old@local.example'])
  assert.equal(away.code, 0)
  assert.match(away.out, /access rule discard: .*zones\.conf:3:\d+\n +it goes to nobody/)
  assert.match(away.out, /access rule redirect "anna@local\.example": .*zones\.conf:5:/)
  away.said(`user "anna": ${posthorn.paths.users}`)
})

test('what would be refused: the rule that does it, and the exit code of sending', { timeout }, async () => {
  const policies = file('policies.conf')
  const sender = await ask(['-f', 'boss@elsewhere.example', 'far@relay.example'])
  assert.equal(sender.code, 77)
  sender.said('<boss@elsewhere.example> refused: 550 5.7.1 You may not send as that sender')
  const author = await ask(['-t', '-f', 'anna'], 'From: boss@local.example\nTo: far@relay.example\n\nx\n')
  assert.equal(author.code, 77)
  author.said('<boss@local.example> refused: 550 5.7.1 You may not write as the author that From names')
  author.said(`from of policy "me": ${placeOf(policies, 'from')}`)
  const recipient = await ask(['-f', 'anna', 'nobody@list.example'])
  assert.equal(recipient.code, 67)
  recipient.said(`zone "list.example" local: ${placeOf(file('zones.conf'), 'zone "list.example"')}`)
  assert.match(recipient.out, /^ {2}<nobody@list\.example> refused: 550 5\.1\.1 /m)
})

test('an alias is no list of people for everybody', { timeout }, async () => {
  const { code, out, said } = await ask(['-f', 'anna', 'staff@list.example'])
  assert.equal(code, 0)
  said('an alias of 2')
  assert.doesNotMatch(out, /far@relay|alias "staff"/)
})

test('nothing was sent by any of this, and the verb is for the local socket', { timeout }, async () => {
  assert.deepEqual(await posthorn.queue(), [])
  assert.equal(sink.mails.length, 0)
  assert.equal((await ask([])).code, 64)
  assert.equal((await ask(['--why=x', 'anna'])).code, 64)
})
