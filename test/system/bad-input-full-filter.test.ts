/**
 * A disk that is full when a filter has changed a message whose content is on it already, its header or all of it: 452,
 * nothing is left of it, and the next attempt is delivered once.
 */
import assert from 'node:assert/strict'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { dotted, openSession } from '../support/client.ts'
import { mailsIn } from '../support/maildir.ts'
import { milterPacket, startMilter } from '../support/milter.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { fill, smallDisk } from '../support/small-disk.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000
const body = `${'x'.repeat(70)}\r\n`.repeat(10_000)
const content = `Subject: large\r\n\r\n${body}`

/** Octets in files of their own, the room in front among them. */
function contentOctets(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile() && !/\.(?:db|sqlite)|-wal$|-shm$|ballast|journal/.test(one.name))
    .reduce((sum, one) => sum + statSync(join(one.parentPath, one.name)).size, 0)
}

for (const [what, ...changes] of [
  ['header', milterPacket('h', 'X-Long', 'y'.repeat(100_000))],
  // larger than what it takes the place of, whose room is given back first
  ['body', ...Array.from({ length: 4 }, () => milterPacket('b', 'z'.repeat(900_000)))],
] as const)
  test(`a new ${what} on a full disk is 452, and loses and doubles nothing`, { timeout }, async (t) => {
    const disk = smallDisk()
    if (typeof disk === 'string') return t.skip(disk)
    const path = join(disk.directory, 'milter.sock')
    const milter = await startMilter(path, { changes })
    const posthorn = await startPosthorn({
      directory: disk.directory,
      config: (paths) =>
        testConfig(paths, {
          mx: 'filters { "changer"; };',
          qmgr: 'retry 500ms; min-free-space 64K;',
          more: `filter "changer" { milter "${path}"; };`,
        }),
      users: ['anna'],
    })
    try {
      const before = contentOctets(disk.spool)
      const attempt = async (onContent: () => Promise<unknown>) => {
        const session = await openSession(posthorn.ports['mx'] ?? 0)
        await session.say('MAIL FROM:<x@client.example>')
        const asked = await session.say('RCPT TO:<anna@local.example>')
        if (asked.code !== 250) return asked
        assert.equal((await session.say('DATA')).code, 354)
        const octets = dotted(content)
        const end = octets.length - 3
        session.write(octets.subarray(0, end))
        await onContent()
        session.write(octets.subarray(end))
        const reply = await session.reply()
        await session.quit()
        return reply
      }
      const refused = await attempt(async () => {
        await until('the content to be on the disk', () => contentOctets(disk.spool) - before > 600_000)
        fill(disk.spool, 0)
      })
      assert.deepEqual([refused.code, refused.enhanced], [452, '4.3.1'])
      rmSync(join(disk.spool, 'ballast'))
      await until('its content to be gone', () => contentOctets(disk.spool) === before)
      const taken = await until('mail to be taken again', async () => {
        const reply = await attempt(() => Promise.resolve())
        return reply.code === 250 && reply
      })
      assert.equal(taken.code, 250)
      await posthorn.queueEmpty()
      const [mail, ...others] = await mailsIn(posthorn.maildir('anna'), 1)
      assert.equal(others.length, 0)
      const text = mail?.content.toString('latin1').replaceAll('\r\n', '\n') ?? ''
      const expected =
        what === 'header'
          ? `y\n\n${body.replaceAll('\r\n', '\n')}`
          : `large\n\n${`${'z'.repeat(900_000)}\0`.repeat(4)}`
      assert.ok(text.trimEnd().endsWith(expected.trimEnd()), 'whole, as the filter wants it')
    } finally {
      await posthorn.stop(true)
      await milter.stop()
      disk.unmount()
      rmSync(disk.directory, { recursive: true, force: true })
    }
  })
