/**
 * What sending costs smtpc: one process of it, with the bench as the qmgr on its bus, beside Postfix's `smtp-source`
 * on the same messages to the same `smtp-sink`; and a connection of its own, with TLS, for each of many destinations.
 *
 * Only smtpc's CPU time is counted, and smtp-source's: not the bench's, which writes the requests, nor the sink's. smtpc
 * reads each message from the bus and logs a line about it, which smtp-source does not; that is in its figure.
 */
import { readFileSync } from 'node:fs'
import type { Peer } from '../../shared/bus/peer.ts'
import type { Programs } from '../support/debian.ts'
import { makeRig, playHub, startWorker, type TestWorker } from '../support/worker.ts'
import { type Delivery, deliveryBy, print, SLICE } from '../system/smtpc-client.ts'
import { type FarmHost, goodAnswer, openFarmHost } from '../system/smtpc-farm.ts'
import { findTools, sendLoad, startSink } from './generator.ts'
import { plainCase } from './options.ts'
import { cpuTimeOf, sumOf } from './process-tree.ts'
import { median } from './report.ts'

const DESTINATIONS = 1000
/** Of smtp-source's messages for a second of CPU time. */
const WANTED_PART = 0.7
const MS_PER_TICK = 10
/** What a forked smtpc is given for its memory; `services/mcp/worker-process.ts` says why. */
const AS_MCP_DOES = ['--max-semi-space-size=8', '--initial-old-space-size=32']

interface Client {
  worker: TestWorker
  qmgr: Peer
  stop: () => Promise<void>
}

export async function benchClient(
  messages: number,
  repeat: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const tools = findTools()
  const client = await startClient()
  try {
    await compare(client, { tools, messages, repeat, say, signal })
    await manyDestinations(client, say)
  } finally {
    await client.stop()
  }
}

async function startClient(): Promise<Client> {
  process.execArgv.push(...AS_MCP_DOES)
  const rig = makeRig()
  const { hub, joined } = await playHub('qmgr', rig.buses.qmgr, { 'deliver-dial': () => undefined })
  const worker = await startWorker('smtpc', SLICE, rig, { severity: 'info' })
  const stop = async () => {
    await worker.drain()
    hub.close()
    rig.close()
  }
  return { worker, qmgr: await joined(), stop }
}

interface Comparison {
  tools: Programs
  messages: number
  repeat: number
  say: (line: string) => void
  signal: AbortSignal
}

async function compare(client: Client, { tools, messages, repeat, say, signal }: Comparison): Promise<void> {
  const load = plainCase(messages, 1)
  const sink = await startSink(tools)
  const ours: number[] = []
  const theirs: number[] = []
  try {
    await deliverAll(client, messages / 4, load.sessions, () => toSink(sink.port, load.size)) // warm
    for (let run = 0; run < repeat; run++) {
      signal.throwIfAborted()
      const used = await cpuOf(client, () =>
        deliverAll(client, messages, load.sessions, () => toSink(sink.port, load.size)),
      )
      ours.push((messages / used) * 1000)
      const before = childrenTime()
      await sendLoad(tools, { port: sink.port, recipient: 'a@x' }, load, messages, signal)
      theirs.push((messages / (childrenTime() - before)) * 1000)
    }
  } finally {
    await sink.stop()
  }
  const part = median(ours) / median(theirs)
  say(`${messages} messages of ${load.size} octets over ${load.sessions} kept connections to smtp-sink:`)
  say(`  smtpc        ${Math.round(median(ours))} messages/s of CPU (${print3(ours)})`)
  say(`  smtp-source  ${Math.round(median(theirs))} messages/s of CPU (${print3(theirs)})`)
  say(`  ratio ${part.toFixed(2)}, wanted ${WANTED_PART}: ${part >= WANTED_PART ? 'reached' : 'MISSED'}`)
}

async function manyDestinations(client: Client, say: (line: string) => void): Promise<void> {
  const cost = async (offers: string[]) => {
    const host = await openFarmHost(secureAnswer(['PIPELINING', ...offers]))
    try {
      await deliverAll(client, 100, 20, () => toOneOf(host)) // warm
      return await cpuOf(client, () => deliverAll(client, DESTINATIONS, 20, () => toOneOf(host)))
    } finally {
      await host.close()
    }
  }
  const clear = await cost([])
  const secure = await cost(['STARTTLS'])
  const each = (ms: number) => `${(ms / DESTINATIONS).toFixed(2)} ms`
  say(`${DESTINATIONS} destinations, one message and one connection each:`)
  say(`  ${each(clear)} of CPU in clear, ${each(secure)} with TLS; TLS is ${share(clear, secure)}% of it`)
}

function share(clear: number, secure: number): string {
  return (((secure - clear) / secure) * 100).toFixed(0)
}

function secureAnswer(offers: string[]): Parameters<typeof openFarmHost>[0] {
  const good = goodAnswer(offers)
  return (line, session) => {
    if (line !== 'STARTTLS') return good(line, session)
    session.socket.write('220 go\r\n')
    session.secure()
    return null
  }
}

function toSink(port: number, octets: number): Delivery {
  return deliveryBy([port], ['a@x'], { content: Buffer.alloc(octets, 'a line of text\r\n') })
}

let destinations = 0

/** A destination that nobody had mail for before. */
function toOneOf(host: FarmHost): Delivery {
  const delivery = deliveryBy([host.port], ['a@x'])
  if (delivery.route.kind === 'smtp') delivery.route.destination = `destination ${++destinations}`
  return delivery
}

async function deliverAll(client: Client, count: number, atOnce: number, make: () => Delivery) {
  let left = count
  const run = async () => {
    while (left-- > 0) {
      const [outcome] = print(await client.qmgr.request('deliver', make()))
      if (outcome !== 'sent 250') throw new Error(`smtpc: ${outcome}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, run))
}

/** Milliseconds that smtpc was on a CPU meanwhile. */
async function cpuOf(client: Client, work: () => Promise<void>): Promise<number> {
  const now = () => sumOf(cpuTimeOf(client.worker.child.pid ?? 0))
  const before = now()
  await work()
  return Math.max(now() - before, MS_PER_TICK)
}

/** Milliseconds of children of ours that have ended: cutime and cstime, fields 16 and 17 of proc_pid_stat(5). */
function childrenTime(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) * MS_PER_TICK
}

function print3(values: readonly number[]): string {
  return values.map((value) => Math.round(value)).join(', ')
}
