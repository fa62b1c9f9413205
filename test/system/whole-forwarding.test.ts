/**
 * Mail that an alias sends on, with SRS: it bears a reverse-path of ours, and a report to that goes back to who wrote it;
 * strangers' forgeries and ordinary mail to such an address are refused.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { openSink, type Sink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000
let sink: Sink
let posthorn: Posthorn

before(
  async () => {
    sink = await openSink()
    const hosts = `hosts { "127.0.0.1" port ${sink.port}; };`
    posthorn = await startPosthorn({
      config: ({ directory, users, spool, run, submit }) => {
        writeFileSync(join(directory, 'srs.secret'), '# of a test\nthe one in use now\nthe one before that\n')
        writeFileSync(
          join(directory, 'aliases'),
          'away: away@far.example\nmix: anna, away@far.example\nnear: b@near.example\n',
        )
        return testConfig(
          { directory, users, spool, run, submit },
          {
            more: `
srs { domain "local.example"; secret "srs.secret"; };
zone "near.example" { type relay; ${hosts} };
zone "." { type relay; ${hosts} };`,
          },
        ).replace('type local; mailboxes', 'type local; forward yes; aliases "aliases"; mailboxes')
      },
      users: ['anna', 'berta'],
    })
  },
  { timeout },
)

after(
  async () => {
    assert.equal(await posthorn.stop(), 0)
    await sink.close()
  },
  { timeout },
)

const port = (name: string) => posthorn.ports[name] ?? 0
const content = 'From: sam@elsewhere.example\r\nSubject: x\r\n\r\nx\r\n'

async function pass(to: string, from = 'sam@elsewhere.example'): Promise<string> {
  const before = sink.mails.length
  const reply = await sendMail(port('mx'), { from, to: [`${to}@local.example`], content })
  assert.equal(reply.code, 250, reply.text)
  return (await sink.received(before + 1))[before]?.from ?? ''
}

test('what goes abroad bears our name, and reports to it go back', { timeout }, async () => {
  const path = await pass('away')
  assert.match(path, /^SRS0=.{4}=..=elsewhere\.example=sam@local\.example$/)
  assert.match(await pass('mix'), /^SRS0=/)
  const before = sink.mails.length
  const report = await sendMail(port('mx'), { from: '', to: [path], content: 'Subject: failed\r\n\r\nx\r\n' })
  assert.equal(report.code, 250, report.text)
  const back = (await sink.received(before + 1))[before]
  assert.deepEqual([back?.from, back?.to], ['', ['sam@elsewhere.example']])
  const mail = await sendMail(port('mx'), { from: 'eve@elsewhere.example', to: [path], content })
  assert.deepEqual([mail.code, mail.enhanced], [550, '5.7.1'], 'only reports')
  const forged = path.replace('sam', 'tom')
  const refused = await sendMail(port('mx'), { from: '', to: [forged], content })
  assert.deepEqual([refused.code, refused.enhanced], [550, '5.1.1'])
})

test("what a user's .forward sends abroad bears our name too", { timeout }, async () => {
  const forward = join(posthorn.paths.directory, 'homes', 'berta', '.forward')
  writeFileSync(forward, 'b@far.example\n', { mode: 0o600 })
  assert.match(await pass('berta'), /^SRS0=.{4}=..=elsewhere\.example=sam@local\.example$/)
})

test('a second forwarder leads back to the first', { timeout }, async () => {
  assert.match(
    await pass('away', 'SRS0=abcd=AB=far.example=tom@first.example'),
    /^SRS1=.{4}=first\.example==abcd=AB=far\.example=tom@local\.example$/,
  )
})

test('our own mail, reports, and what stays in the house keep their reverse-path', { timeout }, async () => {
  assert.equal(await pass('away', 'anna@local.example'), 'anna@local.example')
  assert.equal(await pass('away', ''), '')
  assert.equal(await pass('near'), 'sam@elsewhere.example')
  assert.equal(
    await pass('away', `${'long'.repeat(14)}@elsewhere.example`),
    `${'long'.repeat(14)}@elsewhere.example`,
  )
})
