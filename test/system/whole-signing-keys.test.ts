/**
 * `posthorn key` beside a running server: keys are made, published in the test's DNS, checked, and changed while mail
 * goes on, with no restart and no message that is not signed.
 */
import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000
let names: NameServer
let sink: Sink
let posthorn: Posthorn
const kept = () => join(posthorn.paths.directory, 'dkim')

before(
  async () => {
    names = await startNameServer({})
    sink = await openSink()
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          more: `
dkim "kept" { domains { "example.org"; "example.net"; }; directory "dkim"; algorithm ed25519; };
dkim "fixed" { domains { "fixed.example"; }; selector "f1"; key "fixed.pem"; };
resolver { nameservers { 127.0.0.1 port ${names.port}; }; timeout 3s; attempts 1; };`,
        }),
      users: ['anna'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
    names.close()
  },
  { timeout },
)

async function key(word: string, ...more: string[]) {
  const own = word === 'generate' || word === 'rotate' ? ['--as-caller'] : []
  return posthorn.command('key', word, ...own, ...more)
}

/** Puts what was printed into DNS; the strings of a record follow its name. */
function publish(zone: string): string[] {
  const records = [...zone.matchAll(/^(\S+)\. IN TXT (?:"([^"]*)"|\(([^)]*)\))$/gm)]
  for (const [, name = '', one, several = ''] of records) {
    const text = one ?? [...several.matchAll(/"([^"]*)"/g)].map(([, part]) => part).join('')
    // for a moment only: resolvers remember
    names.scripts.set(`TXT ${name}`, { answers: [record.txt(name, text, 0)] })
  }
  return records.map(([, name = '']) => name)
}

async function selectors(domain = 'example.org'): Promise<string[]> {
  const before = sink.mails.length
  const content = `From: ann@${domain}\r\nSubject: x\r\n\r\nx\r\n`
  const mail = { from: `ann@${domain}`, to: ['b@relay.example'], content }
  assert.equal((await sendMail(posthorn.ports['submission'] ?? 0, mail)).code, 250)
  const text = (await sink.received(before + 1))[before]?.content.toString() ?? ''
  return [...text.replace(/\r\n\s+/g, ' ').matchAll(/^DKIM-Signature: .*? s=([^;]+);/gm)].map(
    ([, name = '']) => name,
  )
}

test('made, published, checked, changed, taken away', { timeout }, async () => {
  assert.equal((await key('check')).code, 1, 'nothing there yet')
  const made = await key('generate')
  assert.equal(made.code, 0, made.stderr)
  const wanted = publish(made.stdout)
  assert.equal(wanted.length, 3, made.stdout)
  const [first = ''] = wanted.map((name) => name.split('.')[0] ?? '').filter((name) => name !== 'f1')
  for (const file of [join(kept(), `${first}.pem`), join(posthorn.paths.directory, 'fixed.pem')])
    assert.equal(statSync(file).mode & 0o777, 0o400)
  assert.equal((await key('generate', 'fixed')).code, 1, 'keys are not written over')
  assert.deepEqual((await key('publish')).stdout, made.stdout)
  await until('the server has them', async () => (await selectors().catch(() => [])).join() === first)
  assert.deepEqual(await selectors('fixed.example'), ['f1'])

  const next = await key('rotate', 'kept', '--now')
  const second = publish(next.stdout)[0]?.split('.')[0] ?? ''
  assert.notEqual(second, '')
  assert.deepEqual(await selectors(), [first], 'it is only made')
  assert.match((await key('rotate', 'kept', '--now')).stdout, /signs from now on/)
  await until('the next one signs', async () => (await selectors()).join() === second)
  assert.match(
    (await key('list', 'kept')).stdout,
    new RegExp(`kept ${first} ed25519 retired .*\\nkept ${second} ed25519 active`),
  )
  assert.match((await key('rotate', 'kept', '--now')).stdout, new RegExp(`${first}: gone`))
  assert.deepEqual(new Set(readdirSync(kept())), new Set([`${second}.pem`, 'keys']))
  assert.deepEqual(await selectors('example.net'), [second])
  const checked = await key('check')
  assert.equal(checked.code, 0, checked.stdout)
})

test('what DNS does not have, or has wrong, is told', { timeout }, async () => {
  names.scripts.set('TXT f1._domainkey.fixed.example', {
    answers: [record.txt('f1._domainkey.fixed.example', 'v=DKIM1; p=AAAA', 0)],
  })
  const other = await until('the old answer to be forgotten', async () => {
    const { code, stdout } = await key('check', 'fixed')
    return code === 1 && stdout
  })
  assert.match(other, /^f1\._domainkey\.fixed\.example: another key$/m)
  assert.equal((await key('rotate', 'fixed')).code, 64)
  assert.equal((await key('check', 'nobody')).code, 64)
})
