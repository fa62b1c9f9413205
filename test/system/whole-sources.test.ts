/**
 * Source addresses against the whole: each zone from its own and under its own name, in turns or not; an address that is
 * not ours puts the mail off, and no host is blamed for it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sendMail } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { makeSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'

const timeout = 120_000

async function submit(posthorn: Posthorn, to: string): Promise<void> {
  const { content } = makeSpecimen(500)
  const port = posthorn.ports['submission'] ?? 0
  const reply = await sendMail(port, { from: 'x@far.example', to: [to], content })
  assert.equal(reply.code, 250, reply.text)
}

test('zones go out from their own addresses and under their own names', { timeout }, async () => {
  const inside = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        more: ['one', 'two', 'turns']
          .map((name) => `zone "${name}.example" { type local; mailboxes "${paths.users}"; };`)
          .join(' '),
      }),
    users: ['anna', 'bert', 'carl'],
  })
  const hosts = `hosts { "127.0.0.1" port ${inside.ports['mx']}; };`
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        qmgr: 'retry 1h; max-connections 1; initial-connections 1;',
        more: `zone "one.example" { type relay; ${hosts} source 127.0.0.11; helo "one.out.example"; };
          zone "two.example" { type relay; ${hosts} };
          zone "turns.example" { type relay; ${hosts} source 127.0.0.21 127.0.0.22 by turns; };
          zone "bad.example" { type relay; ${hosts} source 192.0.2.77; };
          zone "six.example" { type relay; ${hosts} source 2001:db8::7; };
          smtpc { helo "usual.out.example"; source 127.0.0.12 ::1; connection-idle 100ms; transactions-per-connection 1; };`,
      }),
  })
  try {
    await submit(posthorn, 'anna@one.example')
    await submit(posthorn, 'bert@two.example')
    for (let n = 0; n < 4; n++) await submit(posthorn, 'carl@turns.example')
    const headers = async (user: string, count: number) =>
      (await mailsIn(inside.maildir(user), count)).map(({ content }) =>
        String(content).replace(/\r\n[ \t]+/g, ' '),
      )
    assert.match((await headers('anna', 1))[0] ?? '', /from one\.out\.example \(.*\[127\.0\.0\.11\]/)
    assert.match((await headers('bert', 1))[0] ?? '', /from usual\.out\.example \(.*\[127\.0\.0\.12\]/)
    const turns = (await headers('carl', 4)).map((text) => /\[(127\.0\.0\.2\d)\]/.exec(text)?.[1])
    assert.deepEqual(
      [...turns].sort((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1)),
      [...['127.0.0.21', '127.0.0.21', '127.0.0.22', '127.0.0.22']],
    )
    await submit(posthorn, 'x@bad.example')
    await posthorn.logged(
      /x@bad\.example","outcome":"later".*4\.3\.5 `source 192\.0\.2\.77` is no address of this machine/,
    )
    await submit(posthorn, 'x@six.example')
    await posthorn.logged(/x@six\.example","outcome":"later".*4\.3\.5 there is no `source` of the family/)
    const checked = await posthorn.command('check')
    assert.match(checked.stdout + checked.stderr, /warning: `192\.0\.2\.77` is no address of this machine/)
  } finally {
    await posthorn.stop()
    await inside.stop()
  }
})
