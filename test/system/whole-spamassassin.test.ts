/** Debian's SpamAssassin by its milter: mail is refused, marked and left alone, small and large; without it mail waits. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { type SpamAssassin, startSpamAssassin } from '../support/spamassassin.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 400_000
const directory = mkdtempSync(join(tmpdir(), 'posthorn-spam-'))
const socket = join(directory, 'milter.sock')
let spam: SpamAssassin | null = null
let posthorn: Posthorn

before(
  async () => {
    spam = await startSpamAssassin(directory, socket)
    posthorn = await startPosthorn({
      config: (paths) =>
        testConfig(paths, {
          mx: 'filters { "spam"; };',
          more: `filter "spam" { milter "${socket}"; on-failure tempfail; };`,
        }),
      users: ['anna', 'ben'],
    })
  },
  { timeout },
)

after(async () => {
  await posthorn.stop()
  await spam?.stop()
  rmSync(directory, { recursive: true, force: true })
})

const send = (want: string, user: string, body = 'Hi.\r\n') =>
  sendMail(posthorn.ports['mx'] ?? 0, {
    from: 'me@client.example',
    to: [`${user}@local.example`],
    content: `From: me@client.example\r\nX-Want: ${want}\r\nSubject: hello\r\n\r\n${body}`,
  })

test('SpamAssassin refuses, marks and lets pass', { timeout }, async (t) => {
  if (!spam) return t.skip('no SpamAssassin here')
  const refused = await send('spam', 'anna')
  assert.deepEqual([refused.code, refused.enhanced], [550, '5.7.1'], refused.text)
  assert.match(refused.text, /spam/i)
  assert.equal((await send('mark', 'anna')).code, 250)
  const [marked] = await mailsIn(posthorn.maildir('anna'), 1)
  const text = String(marked?.content)
  assert.match(text, /^X-Spam-Flag: YES$/m)
  assert.match(text, /^Subject: \*SPAM\* hello$/m)
  assert.match(text, /^X-Spam-Status: Yes, score=6\.0 /m)
  assert.ok(text.endsWith('\n\nHi.\n'))
  const large = `${'0123456789 abcdefghijklmnopqrstuvwxyz\r\n'.repeat(8000)}`
  assert.equal((await send('nothing', 'ben', large)).code, 250)
  const [plain] = await mailsIn(posthorn.maildir('ben'), 1)
  assert.match(String(plain?.content), /^X-Spam-Status: No, score=[-\d.]+ /m)
  assert.ok(String(plain?.content).endsWith(large.replaceAll('\r\n', '\n')))
})

test('without its milter mail waits', { timeout }, async (t) => {
  if (!spam) return t.skip('no SpamAssassin here')
  await spam.killMilter()
  const later = await send('mark', 'anna')
  assert.equal(later.code, 451, later.text)
})
