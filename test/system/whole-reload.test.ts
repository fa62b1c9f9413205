/**
 * Reloads while mail flows: a good config takes over in place, a bad one changes nothing and is explained.
 */
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { openSession, sendMail } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

let posthorn: Posthorn
let good: string
const timeout = 120_000

before(
  async () => {
    posthorn = await startPosthorn({ config: testConfig, users: ['anna'] })
    good = readFileSync(posthorn.configFile, 'utf8')
  },
  { timeout },
)

after(() => posthorn.stop(), { timeout })

async function deliverable(to: string): Promise<number> {
  const { content } = makeSpecimen(200)
  return (await sendMail(posthorn.ports['mx'] ?? 0, { from: 'x@client.example', to: [to], content })).code
}

test('a bad config is refused with its place, and the old one lives on, whole', { timeout }, async () => {
  const pids = posthorn.workers().map((one) => one.pid)
  writeFileSync(posthorn.configFile, good.replace('zone "local.example"', 'zoen "local.example"'))
  const line = good.split('\n').findIndex((text) => text.startsWith('zone "local.example"')) + 1
  const { code, stdout, stderr } = await posthorn.command('reload')
  assert.notEqual(code, 0)
  assert.match(stdout + stderr, new RegExp(`posthorn\\.conf:${line}:1: .*zoen`))
  assert.match(stdout + stderr, /zone/, 'with a hint')
  process.kill(posthorn.pid, 'SIGHUP')
  await posthorn.logged(new RegExp(`posthorn\\.conf:${line}:1`))
  assert.equal(await deliverable('anna@local.example'), 250)
  const now = posthorn.workers().map((one) => one.pid)
  for (const pid of pids) assert.ok(now.includes(pid), 'no worker was replaced')
})

test('a good config takes over by SIGHUP and by command, sessions stay', { timeout }, async () => {
  const session = await openSession(posthorn.ports['mx'] ?? 0)
  assert.equal(await deliverable('anna@second.example'), 550)
  writeFileSync(
    posthorn.configFile,
    `${good}\nzone "second.example" { type local; mailboxes "${posthorn.paths.users}"; };\n`,
  )
  process.kill(posthorn.pid, 'SIGHUP')
  await until('the new zone', async () => (await deliverable('anna@second.example')) === 250)
  appendFileSync(
    posthorn.configFile,
    `zone "third.example" { type local; mailboxes "${posthorn.paths.users}"; };\n`,
  )
  assert.equal((await posthorn.command('reload')).code, 0)
  await until('the third zone', async () => (await deliverable('anna@third.example')) === 250)
  assert.equal((await session.say('NOOP')).code, 250)
  await session.quit()
})

test('check says of a file what a reload would', { timeout }, async () => {
  const fine = await posthorn.command('check')
  assert.equal(fine.code, 0, fine.stdout + fine.stderr)
  writeFileSync(posthorn.configFile, 'options { hostnam "x"; };\nlistener "mx" { port 70000; };\n')
  const { code, stdout } = await posthorn.command('check')
  assert.equal(code, 1)
  assert.match(stdout, /posthorn\.conf:1:11/)
  assert.match(stdout, /posthorn\.conf:2:22/)
  writeFileSync(posthorn.configFile, good)
})
