/**
 * Virtual mailboxes out of a real PostgreSQL, which dies while mail comes in and comes back.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openSession, sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { openPostgresql } from '../support/postgresql.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000

test('mailboxes in PostgreSQL, and its death', { timeout }, async (t) => {
  const database = await openPostgresql('geheim')
  if (!database) return t.skip('PostgreSQL cannot be had')
  const posthorn = await startPosthorn({
    users: ['vera'],
    config: (paths) => {
      database.sql(`CREATE TABLE users (name text, domain text);
        INSERT INTO users VALUES ('vera', 'virtual.example')`)
      return testConfig(paths, {
        more: `
map "users" { type postgresql; socket "${database.directory}"; database "postgres"; cache 0; timeout 20s;
  user "posthorn"; password-file "${database.passwordFile}";
  query "SELECT '${join(paths.directory, 'homes')}/' || name FROM users WHERE name = :user AND domain = :domain"; };
zone "virtual.example" { type local; mailboxes map "users"; };`,
      })
    },
  })
  const mx = posthorn.ports['mx'] ?? 0
  const rcpt = async (to: string) => {
    const session = await openSession(mx)
    await session.say('MAIL FROM:<x@client.example>')
    const { code, enhanced } = await session.say(`RCPT TO:<${to}>`)
    await session.quit()
    return `${code} ${enhanced}`
  }
  try {
    const { mark, content } = makeSpecimen(500)
    assert.equal((await sendMail(mx, { from: '', to: ['Vera+x@virtual.example'], content })).code, 250)
    const [mail] = await mailsIn(posthorn.maildir('vera'), 1)
    assert.equal(mail && readSpecimen(mail.content), mark)
    assert.equal(await rcpt('nobody@virtual.example'), '550 5.1.1')
    await database.kill()
    assert.equal(await rcpt('nobody@virtual.example'), '451 4.3.5', 'nobody is unknown now')
    await posthorn.logged(/map in trouble/)
    await database.start()
    await until('the map to answer again', async () => (await rcpt('nobody@virtual.example')) === '550 5.1.1')
    await posthorn.logged(/map answers again/)
  } finally {
    await posthorn.stop()
    await database.close()
  }
})
