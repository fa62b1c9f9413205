/**
 * A full disk: 452 to new mail, deliveries go on, and when there is space again so does everything, without a
 * restart. On a small file system of its own in memory; needs root to mount it.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openSession, transact } from '../support/client.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { openSink } from '../support/sink.ts'
import { fill, smallDisk } from '../support/small-disk.ts'
import { makeSpecimen, readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const timeout = 180_000

for (const [name, spare] of [
  ['nearly full', 600 * 1024],
  ['full to the last block', 0],
] as const) {
  test(`${name}: 452, deliveries go on, recovery without restart`, { timeout }, async (t) => {
    const disk = smallDisk()
    if (typeof disk === 'string') return t.skip(disk)
    const sink = await openSink((stage) => (stage === 'rcpt' ? '450 4.2.1 not now' : null))
    const posthorn = await startPosthorn({
      directory: disk.directory,
      config: (paths) => testConfig(paths, { relayPort: sink.port, qmgr: 'retry 500ms; min-free-space 1M;' }),
      users: ['anna'],
    })
    try {
      const client = await openSession(posthorn.ports['mx'] ?? 0)
      const send = async (octets: number) => {
        const { mark, content } = makeSpecimen(octets)
        const mail = { from: 'x@client.example', to: ['far@relay.example'], content }
        const reply = await transact(client, mail)
        if (reply.code !== 250) await client.say('RSET')
        return { mark, reply }
      }
      const accepted = new Set<string>()
      for (const octets of [2000, 2000, 2000, 400_000]) {
        const { mark, reply } = await send(octets)
        assert.equal(reply.code, 250)
        accepted.add(mark)
      }
      fill(disk.spool, spare)
      const refused = await until('a refusal', async () => {
        const { mark, reply } = await send(3000)
        if (reply.code === 250) accepted.add(mark)
        return reply.code === 250 ? null : reply
      })
      assert.deepEqual([refused.code, refused.enhanced], [452, '4.3.1'])
      const large = await send(600_000)
      assert.equal(large.reply.code, 452, 'a streamed one too')

      sink.setAnswer(() => null)
      const arrived = () => new Set(sink.mails.map((mail) => readSpecimen(mail.content)))
      await until('deliveries on a full disk', () => [...accepted].every((mark) => arrived().has(mark)))
      await posthorn.queueEmpty()

      rmSync(join(disk.spool, 'ballast'))
      const again = await until('mail to be taken again', async () => {
        const { mark, reply } = await send(3000)
        return reply.code === 250 ? mark : null
      })
      await until('its delivery', () => arrived().has(again))
      await posthorn.queueEmpty()
      const marks = sink.mails.map((mail) => readSpecimen(mail.content))
      assert.equal(marks.length, new Set(marks).size, 'nothing came twice')
      await client.quit()
    } finally {
      await posthorn.stop(true)
      disk.unmount()
      rmSync(disk.directory, { recursive: true, force: true })
      await sink.close()
    }
  })
}
