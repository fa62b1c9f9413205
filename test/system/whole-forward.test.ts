/** `.forward` in the whole of Posthorn: away, with a copy, over two users, in circles, large, unsafe, through a crash. */
import assert from 'node:assert/strict'
import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { maildirFiles, mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 120_000
const users = ['anna', 'berta', 'carl']
let posthorn: Posthorn
let sink: Sink

before(
  async () => {
    sink = await openSink()
    posthorn = await startPosthorn({
      users,
      config: (paths) =>
        testConfig(paths, {
          relayPort: sink.port,
          more: `zone "home.example" { type local; forward yes; mailboxes "${paths.users}"; };`,
        }),
    })
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
afterEach(() => {
  for (const user of users) rmSync(forwardOf(user), { force: true })
})

const forwardOf = (user: string) => join(posthorn.paths.directory, 'homes', user, '.forward')
const follow = (user: string, text: string) => writeFileSync(forwardOf(user), text, { mode: 0o644 })
const countIn = (user: string) => maildirFiles(posthorn.maildir(user)).length

async function send(to: string, octets = 500, from = 'carl@home.example'): Promise<string> {
  const { mark, content } = makeSpecimen(octets)
  const port = posthorn.ports['mx'] ?? 0
  assert.equal((await sendMail(port, { from, to: [to], content })).code, 250)
  return mark
}

async function sunk(mark: string): Promise<Sink['mails'][number]> {
  return until('the forwarded mail', () => sink.mails.find((mail) => readSpecimen(mail.content) === mark))
}

test('away, without and with a copy; aliases and users here as well', { timeout }, async () => {
  follow('anna', 'far@relay.example, berta\n')
  follow('berta', '\\berta, near@relay.example\n')
  const berta = countIn('berta')
  const mark = await send('anna@home.example')
  const mails = await mailsIn(posthorn.maildir('berta'), berta + 1)
  assert.ok(mails.some((mail) => readSpecimen(mail.content) === mark))
  await until(
    'both away',
    () => sink.mails.filter((mail) => readSpecimen(mail.content) === mark).length === 2,
  )
  await posthorn.queueEmpty()
  const [far, near] = ['far', 'near'].map((name) =>
    sink.mails.find((mail) => mail.to[0] === `${name}@relay.example`)?.content.toString('latin1'),
  )
  assert.match(far ?? '', /^Delivered-To: anna@home\.example\r\n/)
  assert.match(near ?? '', /^Delivered-To: berta@home\.example\r\nDelivered-To: anna@home\.example\r\n/)
  assert.equal(sink.mails.at(-1)?.from, 'carl@home.example')
  assert.equal(countIn('anna'), 0)
})

test('a large message is forwarded octet for octet', { timeout }, async () => {
  follow('anna', 'far@relay.example')
  const before = sink.mails.length
  await send('anna@home.example', 700_000)
  await sink.received(before + 1)
  const mail = sink.mails.at(-1)
  assert.ok(mail && mail.octets > 700_000)
  const { mark, content } = makeSpecimen(700_000)
  assert.equal(
    (
      await sendMail(posthorn.ports['mx'] ?? 0, {
        from: '',
        to: ['berta@home.example', 'anna@home.example'],
        content,
      })
    ).code,
    250,
  )
  assert.ok(await sunk(mark))
  await posthorn.queueEmpty()
})

test('in circles: over two users it comes back to the sender; to oneself it stays', { timeout }, async () => {
  follow('anna', 'berta\n')
  follow('berta', 'anna\n')
  const carl = countIn('carl')
  await send('anna@home.example')
  const reports = await mailsIn(posthorn.maildir('carl'), carl + 1)
  assert.ok(reports.some((mail) => /5\.4\.6/.test(mail.content.toString('latin1'))))
  await posthorn.logged(/forwarding loop/)
  follow('anna', 'anna@home.example\n')
  const anna = countIn('anna')
  await send('anna@home.example')
  await mailsIn(posthorn.maildir('anna'), anna + 1)
  await posthorn.queueEmpty()
})

test('one that others can write, or that names a command, is not followed, and the log says so', {
  timeout,
}, async () => {
  follow('anna', 'far@relay.example')
  chmodSync(forwardOf('anna'), 0o666)
  follow('berta', '"|touch /tmp/never"')
  const [anna, berta, away] = [countIn('anna'), countIn('berta'), sink.mails.length]
  await send('anna@home.example')
  await send('berta@home.example')
  await mailsIn(posthorn.maildir('anna'), anna + 1)
  await mailsIn(posthorn.maildir('berta'), berta + 1)
  await posthorn.logged(/\.forward can be written by others/)
  await posthorn.logged(/a pipe is not taken here/)
  assert.equal(sink.mails.length, away)
})

test('a zone without it does not look', { timeout }, async () => {
  follow('anna', 'far@relay.example')
  const anna = countIn('anna')
  await send('anna@local.example')
  await mailsIn(posthorn.maildir('anna'), anna + 1)
})

test('kill -9 of the queue manager in the middle loses nothing', { timeout }, async () => {
  follow('anna', 'far@relay.example')
  const marks: string[] = []
  for (let n = 0; n < 8; n++) marks.push(await send('anna@home.example'))
  process.kill(posthorn.worker('qmgr'), 'SIGKILL')
  for (const mark of marks) await sunk(mark)
  await posthorn.queueEmpty(60_000)
})
