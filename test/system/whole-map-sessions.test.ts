/**
 * Maps that decide in sessions: clients by a cidr file, senders and recipients by others, and who may use which sender
 * by socketmap; and what clients hear while the map cannot be asked.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { renameSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { connectTo, openSession, sendMail } from '../support/client.ts'
import { plain } from '../support/login.ts'
import { mailsIn } from '../support/maildir.ts'
import { type MapServer, openMapServer } from '../support/map-server.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let posthorn: Posthorn
let server: MapServer

function config(paths: Paths): string {
  const file = (name: string, text: string) => {
    writeFileSync(join(paths.directory, name), text)
    return join(paths.directory, name)
  }
  const words = [resolve('dist/commands/posthorn.js'), 'passwd', join(paths.directory, 'passwords'), 'anna']
  assert.equal(spawnSync(process.execPath, words, { input: 'secret\n' }).status, 0)
  return testConfig(paths, {
    mx: 'access "tables"; error-limit 1000;',
    more: `
map "clients" { type cidr; file "${file('clients', '127.0.0.2/31 spam\n')}"; };
map "senders" { type hash; file "${file('senders', '@.bad.example\nfriend@bad.example\n')}"; };
map "marks" { type regexp; file "${file('marks', '/^ben@/ yes\n')}"; };
map "owners" { type socketmap; socket "${server.path}"; name "owners"; cache 0; timeout 2s; };
access "tables" {
  rule recipient map "marks" tag "for ben";
  rule client map "clients" reject "listed";
  rule sender map "senders" defer "not now";
};
auth "users" { passwords "passwords"; };
listener "users" {
  type submission; address 127.0.0.1; port 0; auth "users"; auth-without-tls yes; sender-login map "owners";
  error-limit 1000;
};`,
  })
}

before(
  async () => {
    server = await openMapServer({
      'owners sales@shared.example': 'ben, anna',
      'owners @all.example': '*',
      'owners boss@local.example': 'boss',
    })
    posthorn = await startPosthorn({ config, users: ['anna', 'ben'] })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await server.close()
  },
  { timeout },
)

const mx = () => posthorn.ports['mx'] ?? 0

async function asClient(localAddress: string, from: string, ...to: string[]): Promise<string[]> {
  const client = await connectTo(mx(), { localAddress })
  await client.reply()
  await client.say('EHLO client.example')
  await client.say(`MAIL FROM:<${from}>`)
  const replies: string[] = []
  for (const one of to) replies.push((await client.say(`RCPT TO:<${one}>`)).lines.join())
  await client.quit()
  return replies
}

test('clients by a cidr file, which changes while sessions go on', { timeout }, async () => {
  assert.deepEqual(await asClient('127.0.0.2', 'x@ok.example', 'anna@local.example'), ['550 5.7.1 listed'])
  assert.match((await asClient('127.0.0.4', 'x@ok.example', 'anna@local.example'))[0] ?? '', /^250 /)
  await posthorn.logged(/access rule/)
  const file = join(posthorn.paths.directory, 'clients')
  writeFileSync(`${file}.new`, '127.0.0.4 x\n')
  renameSync(`${file}.new`, file)
  await until('the new list', async () => {
    const [reply = ''] = await asClient('127.0.0.4', 'x@ok.example', 'anna@local.example')
    return reply.startsWith('550')
  })
  assert.match((await asClient('127.0.0.2', 'x@ok.example', 'anna@local.example'))[0] ?? '', /^250 /)
})

test('senders by domain and parent domain; a key that fits first decides', { timeout }, async () => {
  for (const from of ['x@sub.bad.example', 'Friend@Bad.Example'])
    assert.deepEqual(await asClient('127.0.0.1', from, 'anna@local.example'), ['450 4.7.1 not now'])
  assert.match((await asClient('127.0.0.1', 'x@bad.example', 'anna@local.example'))[0] ?? '', /^250 /)
})

test('pipelined recipients keep their order, and the message its mark', { timeout }, async () => {
  const session = await openSession(mx())
  const to = ['nobody', 'anna', 'gone', 'ben'].map((name) => `${name}@local.example`)
  session.write(`MAIL FROM:<x@ok.example>\r\n${to.map((one) => `RCPT TO:<${one}>\r\n`).join('')}`)
  const codes: number[] = []
  for (let n = 0; n < 5; n++) codes.push((await session.reply()).code)
  assert.deepEqual(codes, [250, 550, 250, 550, 250])
  await session.quit()
  const { content } = makeSpecimen(300)
  const sent = await sendMail(mx(), { from: 'x@ok.example', to: ['ben@local.example'], content })
  assert.equal(sent.code, 250)
  const [mail] = await mailsIn(posthorn.maildir('ben'), 1)
  assert.match(mail?.content.toString() ?? '', /^X-Posthorn-Tag: for ben$/m)
})

async function mailFrom(...senders: string[]): Promise<string[]> {
  const client = await openSession(posthorn.ports['users'] ?? 0)
  assert.equal((await plain(client, 'anna', 'secret')).code, 235)
  const replies: string[] = []
  for (const sender of senders) {
    const { code, enhanced } = await client.say(`MAIL FROM:<${sender}>`)
    replies.push(`${code} ${enhanced}`)
    await client.say('RSET')
  }
  await client.quit()
  return replies
}

test('who may use which sender, by socketmap', { timeout }, async () => {
  assert.deepEqual(
    await mailFrom(
      'sales+x@shared.example',
      'any@all.example',
      'boss@local.example',
      'nobody@shared.example',
      '',
    ),
    ['250 2.1.0', '250 2.1.0', '553 5.7.1', '553 5.7.1', '250 2.1.0'],
  )
  assert.ok(server.asked.includes('owners @shared.example'))
})

test('while that map is dead senders are put off, and taken when it lives again', { timeout }, async () => {
  await server.stop()
  assert.deepEqual(await mailFrom('late@all.example', 'boss2@local.example'), ['451 4.3.5', '451 4.3.5'])
  await server.start()
  await until('the map', async () => (await mailFrom('late@all.example'))[0] === '250 2.1.0')
  assert.deepEqual(await mailFrom('boss2@local.example'), ['553 5.7.1'])
})

test('a resolver that is killed meanwhile is a 451 and no more', { timeout }, async () => {
  process.kill(posthorn.worker('resolver'), 'SIGKILL')
  await until('mail to be taken again', async () => {
    const [reply = ''] = await mailFrom('again@all.example')
    assert.match(reply, /^(250|451) /)
    return reply.startsWith('250')
  })
})
