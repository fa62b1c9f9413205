/**
 * What a crowd of slow clients costs: the memory of each, and what good mail notices of them. A quarter says nothing,
 * a quarter never ends its EHLO, a quarter stops behind RCPT, a quarter sends content; all of them an octet now and then. Once
 * in the clear and once over TLS. Wanted: each at most WANTED_KIB in smtpd and mcp, good mail's p99 below WANTED_MS.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connectTo, type SmtpClient } from '../support/client.ts'
import { writeLocalhostCertificate } from '../support/localhost-certificate.ts'
import { openSecure } from '../support/login.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { memoryOf } from '../support/processes.ts'
import { testConfig } from '../support/test-config.ts'
import { findTools, startSink } from './generator.ts'
import { quantile, sendPaced } from './paced.ts'
import { diskFolder } from './servers.ts'

const WANTED_KIB = 64
const WANTED_MS = 2000
const LOAD = { sessions: 20, perSecond: 100, messages: 1500, size: 4096, recipient: 'user@relay.example' }
const OPENED_AT_ONCE = 50
const DRIP_MS = 5000
/** Memory is looked at when the collector has had time to come by. */
const SETTLE_MS = 3000
const KIB = 1024

const MAIL = 'MAIL FROM:<a@client.example>'
const RCPT = `RCPT TO:<${LOAD.recipient}>`

/** What it has said when it becomes slow. */
const WAYS: readonly (readonly string[])[] = [
  [],
  ['EH'],
  ['EHLO x', MAIL, RCPT],
  ['EHLO x', MAIL, RCPT, 'DATA'],
]

export async function benchSlowClients(
  count: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const sink = await startSink(findTools())
  try {
    // a server for each: what a heap has grown to it does not give back, so a second crowd would look cheaper
    for (const how of ['plain', 'tls'] as const)
      await withServer({ port: sink.port, count, how, say, signal })
  } finally {
    await sink.stop()
  }
}

interface Plan {
  port: number
  count: number
  how: 'plain' | 'tls'
  say: (line: string) => void
  signal: AbortSignal
}

async function withServer({ port, ...plan }: Plan): Promise<void> {
  const directory = mkdtempSync(join(diskFolder(), 'posthorn-slow-'))
  const posthorn = await start(directory, port, plan.count)
  try {
    await goodMail(posthorn, plan.signal) // to warm up
    plan.say(`good mail alone: ${await goodMail(posthorn, plan.signal)}`)
    await withCrowd({ posthorn, ...plan })
  } finally {
    await posthorn.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

function start(directory: string, relayPort: number, count: number): Promise<Posthorn> {
  const { certificate, key } = writeLocalhostCertificate(directory)
  const room = `session-limit ${count + 1000};`
  return startPosthorn({
    directory,
    config: (paths) =>
      testConfig(paths, {
        relayPort,
        mx: `relay { localhost; }; tls "own"; command-timeout 1h; hello-deadline 1h; envelope-deadline 1h; content-deadline 1h; ${room}`,
        qmgr: `retry 5m; ${room}`,
        more: `tls "own" { certificate "${certificate}"; key "${key}"; }; limits { exempt { any; }; };`,
      }),
  })
}

interface Crowd extends Omit<Plan, 'port'> {
  posthorn: Posthorn
}

async function withCrowd({ posthorn, count, how, say, signal }: Crowd): Promise<void> {
  const before = await memoryNow(posthorn)
  const clients = await openCrowd(posthorn.ports['mx'] ?? 0, count, how)
  const drip = setInterval(() => {
    for (const client of clients) client.write('x')
  }, DRIP_MS)
  try {
    const after = await memoryNow(posthorn)
    const each = (names: RegExp) => (after(names) - before(names)) / KIB / count
    const ours = each(/^smtpd|^mcp$/)
    const mail = await goodMail(posthorn, signal)
    const ended = clients.filter((client) => client.ended).length
    if (ended > 0)
      throw new Error(`${ended} slow clients were sent away: the crowd was smaller than it should be`)
    say(`${count} slow clients, ${how}:`)
    say(`  memory of each ${ours.toFixed(1)} KiB in smtpd and mcp${verdict(ours, WANTED_KIB)}`)
    say(`  and ${each(/^qmgr$/).toFixed(1)} KiB in qmgr`)
    say(`  good mail beside them: ${mail}`)
  } finally {
    clearInterval(drip)
    for (const client of clients) client.destroy()
    await Promise.all(clients.map((client) => client.closed))
  }
}

async function openCrowd(port: number, count: number, how: Crowd['how']): Promise<SmtpClient[]> {
  const clients: SmtpClient[] = []
  while (clients.length < count) {
    const next = Array.from({ length: Math.min(OPENED_AT_ONCE, count - clients.length) }, (_, n) =>
      openSlow(port, how, WAYS[n % WAYS.length] ?? []),
    )
    clients.push(...(await Promise.all(next)))
  }
  return clients
}

async function openSlow(port: number, how: Crowd['how'], words: readonly string[]): Promise<SmtpClient> {
  const client = how === 'tls' ? await openSecure(port) : await connectTo(port)
  if (how === 'plain') await client.reply()
  for (const line of words) {
    if (line === 'EH') client.write(line)
    else await client.say(line)
  }
  return client
}

/** Resident octets of the processes whose names match. */
async function memoryNow(posthorn: Posthorn): Promise<(names: RegExp) => number> {
  await pause(SETTLE_MS)
  const all = [...posthorn.workers(), { pid: posthorn.pid, name: 'mcp' }]
  const seen = all.map(({ pid, name }) => ({ name, octets: memoryOf(pid).resident }))
  return (names) => seen.reduce((sum, { name, octets }) => (names.test(name) ? sum + octets : sum), 0)
}

async function goodMail(posthorn: Posthorn, signal: AbortSignal): Promise<string> {
  const { accepted, refused } = await sendPaced({ ...LOAD, port: posthorn.ports['mx'] ?? 0 }, signal)
  if (refused > 0) throw new Error(`${refused} good messages were refused`)
  const p99 = quantile(accepted, 0.99)
  return `p50 ${quantile(accepted, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms${verdict(p99, WANTED_MS)}`
}

function verdict(value: number, most: number): string {
  return ` (wanted: at most ${most}; ${value <= most ? 'reached' : 'MISSED'})`
}
