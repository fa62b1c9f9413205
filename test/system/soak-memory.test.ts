/**
 * Memory stays flat however much mail passes: after a first share, which fills pools and compiles code, the rest
 * may add no more than a few buffers to any process.
 *
 * POSTHORN_SOAK says how many messages (12,000; 200,000 for the real thing).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startLoad } from '../support/load.ts'
import { maildirFiles } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { memoryOf } from '../support/processes.ts'
import { openSink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const MESSAGES = Number(process.env['POSTHORN_SOAK'] ?? 12_000)
const MIB = 1 << 20
const MOST_GROWTH = 24 * MIB
const timeout = 120_000 + MESSAGES * 5

function resident(posthorn: Posthorn): Map<string, number> {
  const workers = [{ pid: posthorn.pid, name: 'mcp' }, ...posthorn.workers()]
  return new Map(workers.map(({ pid, name }) => [name, memoryOf(pid).resident]))
}

test(`${MESSAGES} messages, and no process is the larger for it`, { timeout }, async (t) => {
  const sink = await openSink()
  const posthorn = await startPosthorn({
    config: (paths) => testConfig(paths, { relayPort: sink.port, severity: 'warn', processes: 'smtpd 1;' }),
    users: ['anna'],
  })
  const accepted = new Set<string>()
  /** Sends so many, one in ten to a mailbox, and waits until all are delivered. */
  const send = async (limit: number) => {
    const { finished, ledger } = startLoad({
      target: posthorn.ports['mx'] ?? 0,
      sessions: 20,
      octets: () => 4096,
      to: (n) => [n % 10 === 0 ? 'anna@local.example' : 'far@relay.example'],
      limit,
    })
    await finished
    assert.equal(ledger.refused.size, 0, JSON.stringify([...ledger.troubles]))
    for (const mark of ledger.accepted) accepted.add(mark)
    await posthorn.queueEmpty()
  }
  try {
    await send(Math.ceil(MESSAGES / 3))
    const before = resident(posthorn)
    await send(Math.ceil((MESSAGES * 2) / 3))
    await until('everything to arrive', () => {
      const arrived = sink.mails.length + maildirFiles(posthorn.maildir('anna')).length
      return arrived >= accepted.size
    })
    const growth = [...resident(posthorn)].map(([name, now]) => ({
      name,
      by: now - (before.get(name) ?? now),
    }))
    t.diagnostic(growth.map(({ name, by }) => `${name} ${Math.round(by / MIB)}`).join(', '))
    for (const { name, by } of growth)
      assert.ok(by < MOST_GROWTH, `${name} grew by ${Math.round(by / MIB)} MiB`)
  } finally {
    await posthorn.stop()
    await sink.close()
  }
})
