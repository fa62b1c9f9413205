/**
 * Maps in the whole of Posthorn: virtual mailboxes out of SQLite, aliases out of a hash file that changes, recipients of
 * a relay zone by socketmap, and a map server that dies and comes back.
 */
import assert from 'node:assert/strict'
import { copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import Database from 'better-sqlite3'
import { openSession, sendMail } from '../support/client.ts'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type MapServer, openMapServer } from '../support/map-server.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
let posthorn: Posthorn
let sink: Sink
let server: MapServer

function makeDatabase({ directory }: Paths): string {
  const path = join(directory, 'users.db')
  const database = new Database(path)
  database.exec('CREATE TABLE users (address TEXT PRIMARY KEY, home TEXT, box TEXT)')
  const insert = database.prepare('INSERT INTO users VALUES (?, ?, ?)')
  insert.run('vera@virtual.example', join(directory, 'homes', 'vera'), null)
  insert.run('vito@virtual.example', join(directory, 'homes', 'shared'), 'vito/box')
  insert.run('lame@virtual.example', 'no/such/place', null)
  database.close()
  return path
}

function config(paths: Paths): string {
  const { directory } = paths
  writeFileSync(
    join(directory, 'aliases.map'),
    'team@virtual.example vera@virtual.example, far@known.example\n',
  )
  return testConfig(paths, {
    more: `
map "users" { type sqlite; file "${makeDatabase(paths)}";
  query "SELECT home || coalesce(':' || box, '') FROM users WHERE address = :key"; };
map "names" { type hash; file "${join(directory, 'aliases.map')}"; };
map "known" { type socketmap; socket "${server.path}"; name "known"; cache 0; timeout 2s; };
zone "virtual.example" { type local; mailboxes map "users"; aliases map "names"; };
zone "known.example" { type relay; recipients map "known"; hosts { "127.0.0.1" port ${sink.port}; }; };`,
  })
}

before(
  async () => {
    sink = await openSink()
    server = await openMapServer({ 'known far@known.example': 'yes', 'known @.example': '' })
    posthorn = await startPosthorn({ config, users: ['anna'] })
  },
  { timeout },
)

after(
  async () => {
    await posthorn.stop()
    await server.close()
    await sink.close()
  },
  { timeout },
)

const mx = () => posthorn.ports['mx'] ?? 0

async function rcpt(...addresses: string[]): Promise<string[]> {
  const session = await openSession(mx())
  await session.say('MAIL FROM:<x@client.example>')
  const replies: string[] = []
  for (const address of addresses) {
    const { code, enhanced } = await session.say(`RCPT TO:<${address}>`)
    replies.push(`${code} ${enhanced}`)
  }
  await session.quit()
  return replies
}

test('virtual mailboxes out of SQLite', { timeout }, async () => {
  for (const [to, box] of [
    ['Vera+x@virtual.example', posthorn.maildir('vera')],
    ['vito@virtual.example', join(posthorn.paths.directory, 'homes/shared/vito/box')],
  ] as const) {
    const { mark, content } = makeSpecimen(500)
    assert.equal((await sendMail(mx(), { from: '', to: [to], content })).code, 250, to)
    const [mail] = await mailsIn(box, 1)
    assert.equal(mail && readSpecimen(mail.content), mark)
  }
  assert.deepEqual(await rcpt('nobody@virtual.example', 'lame@virtual.example'), ['550 5.1.1', '451 4.3.5'])
})

test('what is written into the database counts at once', { timeout }, async () => {
  const database = new Database(join(posthorn.paths.directory, 'users.db'))
  database
    .prepare('INSERT INTO users VALUES (?, ?, NULL)')
    .run('new@virtual.example', join(posthorn.paths.directory, 'homes', 'new'))
  database.close()
  assert.deepEqual(await rcpt('new@virtual.example'), ['250 2.1.5'])
})

test('aliases out of a hash file, to a mailbox of a map and away', { timeout }, async () => {
  const before = maildirFiles(posthorn.maildir('vera')).length
  const { mark, content } = makeSpecimen(500)
  assert.equal((await sendMail(mx(), { from: '', to: ['team@virtual.example'], content })).code, 250)
  await mailsIn(posthorn.maildir('vera'), before + 1)
  const mail = (await sink.received(1)).at(-1)
  assert.equal(mail && readSpecimen(mail.content), mark)
  assert.deepEqual(mail?.to, ['far@known.example'])
})

test('a changed file is read without a reload, and one with a bad line is not taken', {
  timeout,
}, async () => {
  const file = join(posthorn.paths.directory, 'aliases.map')
  writeFileSync(`${file}.new`, '@virtual.example  anna@local.example\nswap@virtual.example @local.example\n')
  renameSync(`${file}.new`, file)
  await until('the catch-all', async () => (await rcpt('whoever@virtual.example'))[0] === '250 2.1.5')
  assert.equal(
    (await posthorn.command('lookup', 'names', 'x@virtual.example', '--as', 'address')).stdout.trim(),
    '@virtual.example: anna@local.example',
  )
  copyFileSync(file, `${file}.good`)
  writeFileSync(`${file}.new`, '"oops\n')
  renameSync(`${file}.new`, file)
  await until('the bad line in the log', async () => {
    await rcpt('whoever@virtual.example')
    return /aliases\.map:1"/.test(posthorn.log())
  })
  assert.deepEqual(await rcpt('whoever@virtual.example'), ['250 2.1.5'], 'the old content holds')
  const small = join(posthorn.paths.directory, 'small.conf')
  writeFileSync(small, `map "m" { type hash; file "${file}"; }; zone "." { type remote; };`)
  const checked = await posthorn.command('check', small)
  assert.equal(checked.code, 1)
  assert.match(checked.stdout, /aliases\.map:1: expected "key" "value";/)
  renameSync(`${file}.good`, file)
})

test('posthorn lookup', { timeout }, async () => {
  const home = join(posthorn.paths.directory, 'homes', 'vera')
  const found = await posthorn.command('lookup', 'users', 'vera@virtual.example')
  assert.deepEqual({ code: found.code, text: found.stdout.trim() }, { code: 0, text: home })
  assert.equal((await posthorn.command('lookup', 'users', 'nobody@virtual.example')).code, 66)
  const missing = await posthorn.command('lookup', 'nosuch', 'x')
  assert.deepEqual(
    { code: missing.code, said: /no map nosuch/.test(missing.stderr) },
    { code: 75, said: true },
  )
})

test('recipients of a relay zone; a dead map server is a retry, never user unknown', {
  timeout,
}, async () => {
  assert.deepEqual(await rcpt('far@known.example', 'postmaster@known.example'), ['250 2.1.5', '250 2.1.5'])
  server.table.delete('known @.example')
  assert.deepEqual(await rcpt('nobody@known.example'), ['550 5.1.1'])
  server.answer('TEMP later')
  assert.deepEqual(await rcpt('else@known.example'), ['451 4.3.5'])
  server.answer(null)
  await server.stop()
  assert.deepEqual(await rcpt('other@known.example'), ['451 4.3.5'])
  await server.start()
  await until('the map to answer again', async () => (await rcpt('gone@known.example'))[0] === '550 5.1.1')
})

test('a map server that dies while mail is queued: deferred, then delivered', { timeout }, async () => {
  const before = sink.mails.length
  await until('the map to answer', async () => (await rcpt('far@known.example'))[0] === '250 2.1.5')
  sink.setAnswer((stage) => (stage === 'mail' ? '451 4.3.0 later' : null))
  const { mark, content } = makeSpecimen(500)
  assert.equal((await sendMail(mx(), { from: 'a@b.example', to: ['far@known.example'], content })).code, 250)
  await until('a first attempt', async () => (await posthorn.queue())[0]?.attempts !== 0)
  await server.stop()
  const from = posthorn.log().length
  await until('an attempt that finds the map dead', () => /"unreadable"/.test(posthorn.log().slice(from)))
  sink.setAnswer(() => null)
  assert.equal(sink.mails.length, before)
  assert.equal((await posthorn.queue()).length, 1)
  await server.start()
  const mail = (await sink.received(before + 1)).at(-1)
  assert.equal(mail && readSpecimen(mail.content), mark)
  await posthorn.queueEmpty()
})
