/**
 * kill -9 of each process in turn under load, over and over: every message that got 250 arrives, nothing is
 * corrupted, and the number of duplicates is told.
 *
 * POSTHORN_KILLS says how many kills (40).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Ledger, startLoad } from '../support/load.ts'
import { readMaildir } from '../support/maildir.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { isAlive } from '../support/processes.ts'
import { openSink } from '../support/sink.ts'
import { readSpecimen } from '../support/specimen.ts'
import { testConfig } from '../support/test-config.ts'
import { until } from '../support/wait.ts'

const KILLS = Number(process.env['POSTHORN_KILLS'] ?? 40)
const VICTIMS = ['qmgr', 'smtpd-1', 'smtpc', 'resolver', 'smtpd-2', 'lda'] as const
const timeout = 120_000 + KILLS * 8000

/** Kills one and resolves when its successor is there; an lda comes back only when there is work, and there is. */
async function killOne(posthorn: Posthorn, name: string): Promise<void> {
  const victim = await until(`a ${name}`, () => posthorn.worker(name))
  process.kill(victim, 'SIGKILL')
  await until(`another ${name}`, () => !isAlive(victim) && posthorn.worker(name) !== victim)
}

function verdict(found: (string | null)[], { accepted, doubtful, refused }: Ledger) {
  const marks = found.filter((mark) => mark !== null)
  const arrived = new Set(marks)
  return {
    corrupted: found.length - marks.length,
    lost: [...accepted].filter((mark) => !arrived.has(mark)),
    strangers: [...arrived].filter((mark) => !accepted.has(mark) && !doubtful.has(mark)),
    refusedButArrived: [...refused].filter((mark) => arrived.has(mark)),
    duplicates: marks.length - arrived.size,
  }
}

test(`${KILLS} kills in turn under load`, { timeout }, async (t) => {
  const sink = await openSink()
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        severity: 'warn',
        processes: 'restart-budget 1000; restart-window 1s; restart-delay 20ms; restart-delay-limit 50ms;',
      }),
    users: ['anna'],
  })
  const load = startLoad({
    target: posthorn.ports['mx'] ?? 0,
    sessions: 6,
    octets: (n) => (n % 50 === 0 ? 300_000 : 2000), // every 50th is large enough to be streamed
    to: (n) => (n % 2 === 0 ? ['anna@local.example'] : ['far@relay.example']),
    pauseMs: 4,
  })
  try {
    for (let n = 0; n < KILLS; n++) {
      await load.progressed(20)
      await killOne(posthorn, VICTIMS[n % VICTIMS.length] ?? 'qmgr')
    }
    await load.progressed(50)
    const ledger = await load.stop()
    await posthorn.queueEmpty(120_000)
    const stored = readMaildir(posthorn.maildir('anna'))
    const result = verdict(
      [...stored, ...sink.mails].map((mail) => readSpecimen(mail.content)),
      ledger,
    )
    t.diagnostic(
      `${KILLS} kills: ${ledger.accepted.size} accepted, ${result.lost.length} lost, ` +
        `${result.corrupted} corrupted, ${result.duplicates} duplicates, ${ledger.doubtful.size} without a reply`,
    )
    assert.deepEqual(
      { ...result, duplicates: 0 },
      { corrupted: 0, lost: [], strangers: [], refusedButArrived: [], duplicates: 0 },
    )
    // each kill may double what was under way in that moment, and no more
    assert.ok(result.duplicates <= KILLS * 60, `${result.duplicates} duplicates`)
  } finally {
    await load.stop()
    await posthorn.stop()
    await sink.close()
  }
})
