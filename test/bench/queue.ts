/**
 * `posthorn queue` with a million recipients that wait: how long until a list prints its first line and its last,
 * what qmgr needs in memory for it, and how long new mail waits for its 250 meanwhile. Prints, judges nothing.
 *
 * Usage: `node dist/test/bench/queue.js [--rows 1000000] [--octets 1000]`
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { Batch, RecipientRow } from '../../services/qmgr/store.ts'
import { sendMail } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'

const COMMAND = resolve('dist/commands/posthorn.js')
const BATCH = 5000
const HOUR = 3_600_000
const say = (line: string) => process.stdout.write(`${line}\n`)

/** Senders, domains and hosts in thousands, ages over four days, a reply of one in twenty kinds. */
function rowOf(id: number, octets: number, now: number): RecipientRow {
  return {
    message: id,
    n: 0,
    state: id % 1000 === 0 ? 'held' : 'deferred',
    nextAttemptAt: now + 24 * HOUR,
    attempts: id % 9,
    warned: false,
    address: `user${id}@domain${id % 5000}.example`,
    sender: `sender${id % 10_000}@local.example`,
    owner: null,
    destination: `mx${id % 3000}.example`,
    octets: octets + (id % 100_000),
    receivedAt: now - (id % 96) * HOUR,
    reply: {
      code: 450 + (id % 3),
      enhanced: `4.${id % 8}.1`,
      text: `try later, reason ${id % 20}`,
      host: `mx${id % 3000}.example`,
    },
    repliedAt: now,
    inDoubt: false,
    doubts: id % 100_000 === 0 ? 1 : 0,
    removal: null,
  }
}

function batchOf(first: number, count: number, octets: number, now: number): Batch {
  const batch: Batch = { inserts: [], changes: [] }
  for (let id = first; id < first + count; id++) {
    const row = rowOf(id, octets, now)
    const envelope = encodeEnvelope({
      id,
      sender: row.sender,
      recipients: [{ address: row.address }],
      size: octets,
      body: '7bit',
      smtputf8: false,
      receivedAt: row.receivedAt,
      origin: { listener: 'mx', session: 'S1', client: '127.0.0.1' },
    })
    batch.inserts.push({ id, envelope, content: Buffer.alloc(octets, 'x') })
    batch.changes.push({ kind: 'wait', row }, { kind: 'park', message: id })
  }
  return batch
}

function fillSpool(spool: string, rows: number, octets: number): void {
  mkdirSync(spool, { recursive: true })
  const started = performance.now()
  const store = new SqliteStore(spool)
  const now = Date.now()
  for (let done = 0; done < rows; done += BATCH)
    store.apply(batchOf(done + 1, Math.min(BATCH, rows - done), octets, now))
  store.reserveSerials(100)
  store.close()
  say(`${rows} recipients written in ${seconds(performance.now() - started)}`)
}

/** The first one finds nothing at once: what the command itself takes on this machine. */
const CASES: readonly string[][] = [
  ['list', 'T1ZZZZZZ'],
  ['list', '--recipient', 'user777777@domain2777.example'],
  ['list', '--recipient', 'user7777*'],
  ['list', '--sender', 'sender77@local.example'],
  ['list', '--domain', 'domain77.example'],
  ['list', '--destination', 'mx77.example'],
  ['list', '--state', 'held'],
  ['list', '--in-doubt'],
  ['list', '--code', '451', '--older', '90h', '--sender', '*77@*'],
  ['list', '--older', '94h'],
  ['list', '--larger', '99K'],
  ['list', '--reply', 'reason 19', '--sender', 'sender19@*'],
  ['list', '--reply', 'never said'],
  ['list', '--sender', '*77@local.example'],
  ['list', '--json'],
  ['hold', '--destination', 'mx7*', '--dry-run'],
  ['hold', '--destination', 'mx7*'],
  ['remove', '--code', '451'],
  ['restore', '--all'],
]

interface Measured {
  first: number | null
  whole: number
  lines: number
}

async function measure(posthorn: Posthorn, words: readonly string[]): Promise<Measured> {
  const started = performance.now()
  const child = spawn(process.execPath, [COMMAND, '-c', posthorn.configFile, 'queue', ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let first: number | null = null
  let lines = 0
  child.stdout.on('data', (chunk: Buffer) => {
    first ??= performance.now() - started
    for (const octet of chunk) if (octet === 10) lines++
  })
  await once(child, 'close')
  return { first, whole: performance.now() - started, lines }
}

/** One message after the other until told to stop; what each waited for its 250. */
function keepSending(posthorn: Posthorn): { end: () => Promise<number[]> } {
  const waits: number[] = []
  let over = false
  const run = async () => {
    while (!over) {
      const started = performance.now()
      await sendMail(posthorn.ports['mx'] ?? 0, {
        from: 'a@local.example',
        to: ['anna@local.example'],
        content: Buffer.from('Subject: x\r\n\r\nbody\r\n'),
      })
      waits.push(performance.now() - started)
    }
  }
  const running = run()
  return {
    end: async () => {
      over = true
      await running
      return waits.sort((a, b) => a - b)
    },
  }
}

function residentMiB(pid: number): string {
  const found = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return `${Math.round(Number(found?.[1] ?? 0) / 1024)} MiB`
}

function seconds(milliseconds: number | null): string {
  return milliseconds === null ? '-' : `${(milliseconds / 1000).toFixed(2)} s`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rows: { type: 'string', default: '1000000' }, octets: { type: 'string', default: '1000' } },
  })
  const directory = mkdtempSync(join(tmpdir(), 'posthorn-bench-queue-'))
  try {
    fillSpool(join(directory, 'spool', 'queue'), Number(values.rows), Number(values.octets))
    const started = performance.now()
    const posthorn = await startPosthorn({ directory, users: ['anna'], config: (paths) => testConfig(paths) })
    say(`ready after ${seconds(performance.now() - started)}, qmgr ${residentMiB(posthorn.worker('qmgr'))}`)
    say('first line  last line     lines  slowest 250 meanwhile  qmgr     command')
    for (const words of CASES) {
      const mail = keepSending(posthorn)
      const { first, whole, lines } = await measure(posthorn, words)
      const slowest = (await mail.end()).at(-1) ?? null
      const cells = [
        seconds(first).padStart(10),
        seconds(whole).padStart(9),
        String(lines).padStart(8),
        seconds(slowest).padStart(21),
        residentMiB(posthorn.worker('qmgr')).padEnd(8),
        words.join(' '),
      ]
      say(cells.join('  '))
    }
    await posthorn.stop(true)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
