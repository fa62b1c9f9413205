/**
 * Aliases that are lists, in the whole of Posthorn: included files, owners, one copy to each member, and lists of
 * thousands beside which other mail goes on.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openSession, sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Paths, type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const MANY = 5000
let posthorn: Posthorn
let sink: Sink

const members = (name: string, count: number) =>
  Array.from({ length: count }, (_none, n) => `${name}${n}@relay.example`)

function config(paths: Paths): string {
  const file = (name: string) => join(paths.directory, name)
  writeFileSync(file('staff'), '# who works here\nanna, Berta <BERTA@local.example>\nfar@relay.example\n')
  writeFileSync(file('many'), `${members('m', MANY).join('\n')}\n`)
  writeFileSync(
    file('aliases'),
    `staff: :include:${file('staff')}
press: anna, news@relay.example
owner-press: "press keeper"
"press keeper": carl
both: staff, press
many: :include:${file('many')}
nobody: /dev/null
program: "|/usr/bin/tee -a ${file('piped')}"
archive: ${file('archive')}, anna
hook: "|/bin/cat >> ${file('hooked')}"
owner-hook: carl
broken: :include:${file('gone')}
long: ${members('l', 1500).join(',\n  ')}
`,
  )
  writeFileSync(file('global'), 'elsewhere: berta\nstaff: carl\n')
  return testConfig(paths, {
    relayPort: sink.port,
    options: `aliases "${file('global')}"; alias-user "root";`,
    more: `zone "list.example" { type local; mailboxes "${paths.users}"; aliases "${file('aliases')}"; };
zone "rest.example" { type local; mailboxes "${paths.users}"; catch-all "berta"; };`,
  })
}

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({ config, users: ['anna', 'berta', 'carl'] })
  },
  { timeout },
)

after(
  async () => {
    await posthorn.stop()
    await sink.close()
  },
  { timeout },
)

const mx = () => posthorn.ports['mx'] ?? 0
let boxes = { anna: 0, berta: 0, carl: 0 }

/** Sends, and gives what came: the new mails of each box, and what the sink got. */
async function send(to: string[], expected: Partial<typeof boxes>, away: number, octets = 500) {
  const { mark, content } = makeSpecimen(octets)
  const before = sink.mails.length
  assert.equal((await sendMail(mx(), { from: 'x@client.example', to, content })).code, 250)
  const arrived: Record<string, string> = {}
  for (const [user, count] of Object.entries(expected)) {
    const name = user as keyof typeof boxes
    boxes = { ...boxes, [name]: boxes[name] + count }
    const mails = await mailsIn(posthorn.maildir(user), boxes[name])
    assert.equal(mails.length, boxes[name], `${user} has each copy once`)
    const mine = mails.find((mail) => readSpecimen(mail.content) === mark)
    assert.ok(mine, user)
    arrived[user] = mine.content.toString('latin1')
  }
  const gone = () => sink.mails.slice(before).reduce((sum, mail) => sum + mail.to.length, 0)
  await until('everybody away to be reached', () => gone() >= away)
  await posthorn.queueEmpty()
  const sent = sink.mails.slice(before)
  assert.equal(gone(), away)
  for (const mail of sent) assert.equal(readSpecimen(mail.content), mark)
  return { arrived, sent }
}

test('an included file; the zone comes before the global aliases', { timeout }, async () => {
  const { arrived, sent } = await send(['staff@list.example'], { anna: 1, berta: 1 }, 1)
  assert.match(
    arrived['berta'] ?? '',
    /^Return-Path: <x@client\.example>\r?\nX-Original-To: staff@list\.example\r?\n/,
  )
  assert.equal(sent[0]?.from, 'x@client.example')
  await send(['elsewhere@list.example', 'elsewhere@local.example'], { berta: 2 }, 0)
})

test('the owner of a list is the reverse-path of what it sends', { timeout }, async () => {
  const { arrived, sent } = await send(['press@list.example'], { anna: 1 }, 1)
  assert.match(arrived['anna'] ?? '', /^Return-Path: <owner-press@list\.example>/)
  assert.equal(sent[0]?.from, 'owner-press@list.example')
})

test('failures go to the owner, not to the sender', { timeout }, async () => {
  sink.setAnswer((stage) => (stage === 'rcpt' ? '550 5.1.1 no such member' : null))
  await send(['press@list.example'], { anna: 1 }, 0)
  sink.setAnswer(() => null)
  boxes.carl++
  const [report] = await mailsIn(posthorn.maildir('carl'), boxes.carl)
  assert.match(report?.content.toString('latin1') ?? '', /news@relay\.example/)
})

test('one copy each: over two lists and beside them', { timeout }, async () => {
  await send(
    ['anna@list.example', 'both@list.example', 'press@list.example', 'staff@list.example'],
    { anna: 1, berta: 1 },
    2,
  )
})

test('a large message is not copied for each part of a list', { timeout }, async () => {
  await send(['long@list.example'], {}, 1500, 300_000)
})

test('an alias to /dev/null takes mail for nobody', { timeout }, async () => {
  await send(['nobody@list.example', 'anna@list.example'], { anna: 1 }, 0)
})

test('commands and files of aliases, and nobody else names one', { timeout }, async () => {
  const marks = (name: string) => {
    const path = join(posthorn.paths.directory, name)
    return existsSync(path) ? readFileSync(path, 'latin1') : ''
  }
  for (const [to, name] of [
    ['program', 'piped'],
    ['archive', 'archive'],
    ['hook', 'hooked'],
  ] as const) {
    const { mark, content } = makeSpecimen(300)
    const to1 = [`${to}@list.example`]
    assert.equal((await sendMail(mx(), { from: 'x@client.example', to: to1, content })).code, 250)
    await until(`the mail in ${name}`, () => marks(name).includes(mark))
  }
  await mailsIn(posthorn.maildir('anna'), ++boxes.anna)
  await posthorn.queueEmpty()
  assert.match(marks('hooked'), /Return-Path: <owner-hook@list\.example>/)
  const session = await openSession(mx())
  await session.say('MAIL FROM:<y@client.example>')
  for (const one of ['"|/usr/bin/tee /tmp/never"', '"/etc/passwd"', '"|sh"', '":include:/etc/passwd"'])
    assert.equal((await session.say(`RCPT TO:<${one}@list.example>`)).code, 550, one)
  await session.quit()
})

test('a catch-all', { timeout }, async () => {
  await send(['whoever@rest.example'], { berta: 1 }, 0)
  await send(['anna@rest.example'], { anna: 1 }, 0)
})

test('a list whose file is not there waits', { timeout }, async () => {
  const { content } = makeSpecimen(100)
  assert.equal(
    (await sendMail(mx(), { from: 'x@client.example', to: ['broken@list.example'], content })).code,
    250,
  )
  await posthorn.logged(/list not expanded/)
  writeFileSync(join(posthorn.paths.directory, 'gone'), 'berta\n')
  await mailsIn(posthorn.maildir('berta'), ++boxes.berta)
  await posthorn.queueEmpty()
})

test('kill -9 while lists are expanded loses nobody', { timeout }, async () => {
  const { mark, content } = makeSpecimen(500)
  const before = sink.mails.length
  assert.equal(
    (await sendMail(mx(), { from: 'x@client.example', to: ['many@list.example'], content })).code,
    250,
  )
  process.kill(posthorn.worker('qmgr'), 'SIGKILL')
  const reached = () =>
    new Set(sink.mails.slice(before).flatMap((mail) => (readSpecimen(mail.content) === mark ? mail.to : [])))
  await until('everybody to be reached', () => reached().size === MANY, 90_000)
  await posthorn.queueEmpty(90_000)
})

test('other mail and RCPT go on beside a list of thousands', { timeout }, async () => {
  const before = sink.mails.length
  const { content } = makeSpecimen(500)
  assert.equal(
    (await sendMail(mx(), { from: 'x@client.example', to: ['many@list.example'], content })).code,
    250,
  )
  const session = await openSession(mx())
  await session.say('MAIL FROM:<y@client.example>')
  for (let n = 0; n < 50; n++) assert.equal((await session.say('RCPT TO:<anna@list.example>')).code, 250)
  await session.quit()
  const { mark, content: other } = makeSpecimen(500)
  assert.equal(
    (await sendMail(mx(), { from: 'y@client.example', to: ['carl@list.example'], content: other })).code,
    250,
  )
  const mails = await mailsIn(posthorn.maildir('carl'), ++boxes.carl)
  assert.ok(mails.some((mail) => readSpecimen(mail.content) === mark))
  const reached = () => new Set(sink.mails.slice(before).flatMap((mail) => mail.to)).size
  await until('everybody to be reached', () => reached() === MANY, 90_000)
  await posthorn.queueEmpty(90_000)
})

test('newaliases counts, and finds what is wrong in files of members too', { timeout }, async () => {
  const good = await posthorn.command('aliases')
  assert.equal(good.code, 0, good.stderr)
  assert.match(good.stdout, /aliases: 13 aliases, \d+ targets, most in long \(1500\); in use as it is/)
  assert.match(good.stdout, /many: 5000 members\n/)
  writeFileSync(join(posthorn.paths.directory, 'staff'), 'anna\n|sh\nb@@c\n')
  const bad = await posthorn.command('aliases')
  assert.equal(bad.code, 1)
  assert.match(
    bad.stderr,
    /staff:2: no pipe is taken from a file of members\n.*staff:3: `b@@c` is no address/,
  )
})
