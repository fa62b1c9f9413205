/**
 * A queue with very many deferred messages: made straight in the store, then Posthorn is started on it. Measured are
 * the time until it greets, the most memory qmgr takes, the way of live mail through it, and how long
 * `posthorn queue list` takes to its first line. One in DUE_PART messages is due at the start, so that the first
 * minutes are busy with them as after a long outage; the rest waits for days.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { encodeEnvelope } from '../../services/qmgr/envelope-codec.ts'
import { SqliteStore } from '../../services/qmgr/sqlite-store.ts'
import type { Batch, RecipientRow } from '../../services/qmgr/store.ts'
import { IdSource } from '../../shared/base/ids.ts'
import type { Envelope } from '../../shared/message/envelope.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { memoryOf } from '../support/processes.ts'
import { testConfig } from '../support/test-config.ts'
import { within } from '../support/wait.ts'
import { type CountingSink, findTools, startSink } from './generator.ts'
import { quantile } from './paced.ts'
import { diskFolder } from './servers.ts'
import { openTimedSink, type TimedSink } from './trip.ts'

const WANTED = { readyMs: 60_000, memoryMiB: 512, liveMs: 2000 }
const CONTENT_OCTETS = 1024
const DUE_PART = 10
const DOMAINS = 1000
const SENDERS = 10_000
const BATCH = 5000
const HOUR_MS = 3_600_000
const READY_PATIENCE_MS = 300_000
const LIST_PATIENCE_MS = 120_000
const LIVE = { sessions: 20, perSecond: 50, messages: 3000, size: 4096, recipient: 'user@relay.example' }

export async function benchDeferred(
  count: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const directory = mkdtempSync(join(diskFolder(), 'posthorn-deferred-'))
  const live = await openTimedSink()
  const late = await startSink(findTools())
  try {
    const began = performance.now()
    await fill(join(directory, 'spool', 'queue'), count, signal)
    say(
      `${count} deferred messages made in ${seconds(performance.now() - began)}; ${Math.floor(count / DUE_PART)} are due`,
    )
    await measure(directory, live, late, say, signal)
  } finally {
    await live.close()
    await late.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

async function measure(
  directory: string,
  live: TimedSink,
  late: CountingSink,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now()
  const posthorn = await start(directory, live.port, late.port)
  try {
    const ready = performance.now() - began
    verdict(say, 'ready', ready / 1000, WANTED.readyMs / 1000, 's')
    const trip = await live.send({ ...LIVE, port: posthorn.ports['mx'] ?? 0 }, signal)
    say(`deferred mail delivered in the meantime: ${late.count()}`)
    verdict(say, 'live mail, 250: p99', quantile(trip.accepted, 0.99), WANTED.liveMs, 'ms')
    verdict(say, 'live mail, door to sink: p99', quantile(trip.delivered, 0.99), WANTED.liveMs, 'ms')
    say(`longest time without a 250 at ${LIVE.perSecond}/s: ${trip.longestGapMs.toFixed(0)} ms`)
    await lists(posthorn, say)
    const { resident, peak } = memoryOf(posthorn.worker('qmgr'))
    say(`qmgr: ${mebi(resident).toFixed(0)} MiB at the end`)
    verdict(say, 'qmgr: most memory', mebi(peak), WANTED.memoryMiB, 'MiB')
  } finally {
    await posthorn.stop()
  }
}

async function lists(posthorn: Posthorn, say: (line: string) => void): Promise<void> {
  const filters = [
    ['--sender', 'list77@sender.example'],
    ['--recipient', 'r4321@d321.deferred.example'],
    ['--destination', 'd33.deferred.example'],
    ['--recipient', '*@d33.deferred.example'],
    ['--domain', 'd33.deferred.example'],
    ['--code', '452'],
    [],
  ]
  for (const filter of filters) {
    const words = ['queue', 'list', ...filter]
    say(
      `posthorn ${words.join(' ')}: first line after ${seconds(await firstLine(posthorn.configFile, words))}`,
    )
  }
}

async function firstLine(configFile: string, words: string[]): Promise<number> {
  const began = performance.now()
  const program = resolve('dist/commands/posthorn.js')
  const child = spawn(process.execPath, [program, '-c', configFile, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  try {
    await within(words.join(' '), LIST_PATIENCE_MS, once(child.stdout, 'data'))
    return performance.now() - began
  } finally {
    child.kill('SIGKILL')
    await exited
  }
}

function start(directory: string, livePort: number, latePort: number): Promise<Posthorn> {
  return startPosthorn({
    directory,
    patience: READY_PATIENCE_MS,
    config: (paths) =>
      testConfig(paths, {
        relayPort: livePort,
        mx: 'relay { localhost; };',
        qmgr: 'retry 5m;',
        more: `zone "*.deferred.example" { type relay; hosts { "127.0.0.1" port ${latePort}; }; };`,
      }),
  })
}

/** In batches, with a breath between them for ctrl-C. */
export async function fill(spool: string, count: number, signal: AbortSignal): Promise<void> {
  mkdirSync(spool, { recursive: true, mode: 0o700 })
  const store = new SqliteStore(spool)
  try {
    const ids = new IdSource(store.reserveSerials(1))
    for (let first = 0; first < count; first += BATCH) {
      const batch: Batch = { inserts: [], changes: [] }
      for (let n = first; n < Math.min(count, first + BATCH); n++) addMessage(batch, n, ids.next())
      store.apply(batch)
      await pause(0, undefined, { signal })
    }
  } finally {
    store.close()
  }
}

function addMessage(batch: Batch, n: number, message: number): void {
  const row = rowOf(n, message, Date.now())
  batch.inserts.push({ id: message, envelope: encodeEnvelope(envelopeOf(row)), content })
  batch.changes.push({ kind: 'wait', row }, { kind: 'park', message })
}

function rowOf(n: number, message: number, now: number): RecipientRow {
  const domain = `d${n % DOMAINS}.deferred.example`
  return {
    message,
    n: 0,
    state: 'deferred',
    nextAttemptAt: n % DUE_PART === 0 ? now - 1000 : now + 4 * HOUR_MS + (n % HOUR_MS),
    attempts: 3,
    warned: false,
    address: `r${n}@${domain}`,
    sender: `list${n % SENDERS}@sender.example`,
    owner: null,
    destination: domain,
    octets: CONTENT_OCTETS,
    receivedAt: now - HOUR_MS,
    reply: { code: 451, enhanced: '4.3.2', text: 'try again later', host: `mx.${domain}` },
    repliedAt: now - HOUR_MS / 2,
    inDoubt: false,
    doubts: 0,
    removal: null,
  }
}

function envelopeOf({ message, sender, address, receivedAt }: RecipientRow): Envelope {
  const origin = { listener: 'mx', session: 'S1', client: '127.0.0.1' }
  const recipients = [{ address }]
  return {
    id: message,
    sender,
    recipients,
    size: CONTENT_OCTETS,
    body: '7bit',
    smtputf8: false,
    receivedAt,
    origin,
  }
}

const content = Buffer.from(`Subject: late\r\n\r\n${'x'.repeat(CONTENT_OCTETS - 19)}\r\n`)

function verdict(say: (line: string) => void, what: string, value: number, most: number, unit: string): void {
  say(`${what} ${value.toFixed(1)} ${unit}; wanted at most ${most}: ${value <= most ? 'reached' : 'MISSED'}`)
}

function mebi(octets: number): number {
  return octets / (1 << 20)
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`
}
