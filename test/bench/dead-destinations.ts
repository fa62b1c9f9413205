/**
 * Whether dead destinations hold up a live one: the time mail takes to the live one, alone and then with mail queued
 * for many dead ones, of which half refuse connections and half take them and say nothing. They are tried again
 * as schedule and dead states have it while the live one is measured. Wanted: its p99 moves by less than WANTED_PART.
 */

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { openSession, transact } from '../support/client.ts'
import { type Posthorn, startPosthorn } from '../support/posthorn.ts'
import { testConfig } from '../support/test-config.ts'
import { quantile } from './paced.ts'
import { median } from './report.ts'
import { diskFolder } from './servers.ts'
import { openTimedSink, type TimedSink } from './trip.ts'

const WANTED_PART = 0.2
const MESSAGES_EACH = 3
const FEEDERS = 20
const LIVE = { sessions: 20, perSecond: 100, messages: 1500, size: 4096, recipient: 'user@relay.example' }

interface Dead {
  /** Zones of the config, and the domains in them. */
  zones: string
  domains: string[]
  close: () => Promise<void>
}

export async function benchDeadDestinations(
  count: number,
  repeat: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const dead = await openDead(count)
  const sink = await openTimedSink()
  const directory = mkdtempSync(join(diskFolder(), 'posthorn-dead-'))
  try {
    const posthorn = await start(directory, sink, dead)
    try {
      await compare({ posthorn, sink, dead, repeat, say, signal })
    } finally {
      await posthorn.stop()
    }
  } finally {
    await sink.close()
    await dead.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function start(directory: string, sink: TimedSink, dead: Dead): Promise<Posthorn> {
  return startPosthorn({
    directory,
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        mx: 'relay { localhost; };',
        qmgr: 'retry 2s 5s;',
        more: dead.zones,
      }),
  })
}

interface Comparison {
  posthorn: Posthorn
  sink: TimedSink
  dead: Dead
  repeat: number
  say: (line: string) => void
  signal: AbortSignal
}

async function compare({ posthorn, sink, dead, repeat, say, signal }: Comparison): Promise<void> {
  const port = posthorn.ports['mx'] ?? 0
  const measure = async (title: string) => {
    const p99s: number[] = []
    for (let run = 0; run < repeat; run++) {
      const { delivered } = await sink.send({ ...LIVE, port }, signal)
      const p99 = quantile(delivered, 0.99)
      p99s.push(p99)
      say(`${title}: p50 ${quantile(delivered, 0.5).toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, door to sink`)
    }
    return median(p99s)
  }
  await sink.send({ ...LIVE, port, messages: LIVE.messages / 3 }, signal) // to warm up
  const alone = await measure('alone')
  await feed(port, dead.domains)
  const beside = await measure(`beside ${dead.domains.length} dead ones`)
  const change = beside / alone - 1
  const verdict = change < WANTED_PART ? 'reached' : 'MISSED'
  say(`p99 of the live destination: ${alone.toFixed(2)} -> ${beside.toFixed(2)} ms, ${percent(change)}`)
  say(`wanted: less than ${percent(WANTED_PART)}: ${verdict}`)
  await report(posthorn, dead, say)
}

/** Proof that the dead ones were there and were tried. */
async function report(posthorn: Posthorn, { domains }: Dead, say: (line: string) => void): Promise<void> {
  const waiting = await posthorn.queue()
  const attempts = waiting.reduce((sum, row) => sum + row.attempts, 0)
  say(
    `the queue holds ${waiting.length} of ${domains.length * MESSAGES_EACH} dead recipients, ${attempts} attempts`,
  )
  if (waiting.length < domains.length * MESSAGES_EACH) throw new Error('some of the dead mail is gone')
}

async function feed(port: number, domains: readonly string[]): Promise<void> {
  const left = domains.flatMap((domain) => Array.from({ length: MESSAGES_EACH }, () => domain))
  const content = `Subject: nobody there\r\n\r\n${'x'.repeat(70)}\r\n`
  const feeder = async () => {
    const client = await openSession(port)
    for (let domain = left.pop(); domain; domain = left.pop()) {
      const reply = await transact(client, { from: 'list@client.example', to: [`user@${domain}`], content })
      if (reply.code !== 250) throw new Error(`mail for ${domain}: ${reply.lines.join(' ')}`)
    }
    await client.quit()
  }
  await Promise.all(Array.from({ length: FEEDERS }, feeder))
}

/** Every one has an address of its own in 127/8; on half of them somebody listens and says nothing. */
async function openDead(count: number): Promise<Dead> {
  const servers: NetServer[] = []
  const held = new Set<Socket>()
  const zones: string[] = []
  const domains: string[] = []
  for (let n = 0; n < count; n++) {
    const address = `127.77.${n >> 8}.${n & 255}`
    const port = n % 2 === 0 ? await listenSilently(address, servers, held) : 1
    domains.push(`d${n}.dead.example`)
    zones.push(`zone "d${n}.dead.example" { type relay; hosts { "${address}" port ${port}; }; };`)
  }
  const close = async () => {
    for (const socket of held) socket.destroy()
    for (const server of servers) await new Promise((resolve) => server.close(resolve))
  }
  return { zones: zones.join('\n'), domains, close }
}

async function listenSilently(address: string, servers: NetServer[], held: Set<Socket>): Promise<number> {
  const server = createServer((socket) => {
    held.add(socket)
    socket.on('error', () => undefined) // the other side has given up
    socket.on('close', () => held.delete(socket))
    socket.resume()
  })
  servers.push(server)
  server.listen(0, address)
  await once(server, 'listening')
  const bound = server.address()
  return typeof bound === 'object' && bound ? bound.port : 0
}

function percent(part: number): string {
  return `${part < 0 ? '' : '+'}${(part * 100).toFixed(0)} %`
}
