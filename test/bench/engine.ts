/**
 * What it costs one smtpd process to receive messages and to have them thrown away: the engine alone, without queue,
 * disk or deliveries. A qmgr that is played here says yes to every submission at once and keeps nothing; the resolver
 * is asked once for each address. The process logs warnings only, as `smtp-sink` does.
 *
 * First beside Postfix's `smtp-sink` under the same load of `smtp-source`, in turn, in messages for each CPU second of
 * the receiver. Then what a hostile client may send, as a multiple of the CPU an ordinary message takes: of each octet
 * for content, of each command for commands. Fails: a load that is not accepted whole is an Error.
 */
import { connect, type Socket } from 'node:net'
import { openDiscard } from './discard.ts'
import { findTools, sendLoad, startSink } from './generator.ts'
import { plainCase } from './options.ts'
import { cpuTimeOf, sumOf } from './process-tree.ts'
import { hear } from './replies.ts'
import { median } from './report.ts'

const OCTETS = 4096
const WANTED_OF_SINK = 0.5
const WANTED_OF_ORDINARY = 3
const RECIPIENT = 'user@relay.example'
/** CPU time is counted in hundredths of a second, so every load takes some tenths. */
const ORDINARY = 20_000
const HOSTILE = 2000
const ONE_OCTET = 40
const COMMANDS = 100_000
/** Rounds until the code is compiled. */
const WARM_UP = 2

type Say = (line: string) => void

export async function benchEngine(
  messages: number,
  repeat: number,
  say: Say,
  signal: AbortSignal,
): Promise<void> {
  await besideSink(messages, repeat, say, signal)
  await hostile(repeat, say, signal)
}

async function besideSink(messages: number, repeat: number, say: Say, signal: AbortSignal): Promise<void> {
  const tools = findTools()
  const load = plainCase(messages, 1)
  const receiver = await openDiscard()
  const sink = await startSink(tools)
  const rate = async ({ port, pid }: { port: number; pid: number }) => {
    const before = sumOf(cpuTimeOf(pid))
    await sendLoad(tools, { port, recipient: RECIPIENT }, load, messages, signal)
    return (1000 * messages) / (sumOf(cpuTimeOf(pid)) - before)
  }
  try {
    for (let n = 0; n < WARM_UP; n++) await rate(receiver)
    const ours: number[] = []
    const theirs: number[] = []
    for (let n = 0; n < repeat; n++) {
      ours.push(await rate(receiver))
      theirs.push(await rate(sink))
    }
    const [mine, its] = [median(ours), median(theirs)]
    say(`${load.sessions} sessions, connections reused, ${OCTETS} octets, messages received and discarded:`)
    say(`  smtpd      ${mine.toFixed(0)} messages for each CPU second (${(1000 / mine).toFixed(3)} ms each)`)
    say(`  smtp-sink  ${its.toFixed(0)} (${(1000 / its).toFixed(3)} ms each)`)
    say(
      `  ratio ${(mine / its).toFixed(2)}, wanted ${WANTED_OF_SINK}: ${verdict(mine / its >= WANTED_OF_SINK)}`,
    )
  } finally {
    await sink.stop()
    await receiver.close()
  }
}

function verdict(reached: boolean): string {
  return reached ? 'reached' : 'MISSED'
}

interface Load {
  name: string
  /** What the cost is divided by. */
  units: number
  of: 'octet' | 'command'
  send: (socket: Socket) => Promise<void>
}

const ENVELOPE = `MAIL FROM:<a@client.example>\r\nRCPT TO:<${RECIPIENT}>\r\nDATA\r\n`
const HEADER = 'Subject: bench\r\n\r\n'

/** As long as the others on the wire. */
function contentOf(line: string): Buffer {
  const times = Math.floor((OCTETS - HEADER.length) / line.length)
  return Buffer.from(`${HEADER}${line.repeat(times)}.\r\n`)
}

const ordinary = contentOf(`${'x'.repeat(76)}\r\n`)

function messages(count: number, content: Buffer, write: (socket: Socket, content: Buffer) => Promise<void>) {
  return async (socket: Socket) => {
    for (let n = 0; n < count; n++) {
      socket.write(ENVELOPE)
      await hear(socket, [250, 250, 354])
      await write(socket, content)
      await hear(socket, [250])
    }
  }
}

async function whole(socket: Socket, content: Buffer): Promise<void> {
  socket.write(content)
}

/** Each in a packet of its own, as far as the kernel leaves them alone. */
async function octetByOctet(socket: Socket, content: Buffer): Promise<void> {
  for (let at = 0; at < content.length; at++) {
    const room = socket.write(content.subarray(at, at + 1))
    if (!room) await new Promise<void>((done) => socket.once('drain', done))
    if (at % 512 === 0) await new Promise((done) => setImmediate(done))
  }
}

function commands(line: string, code: number) {
  return async (socket: Socket) => {
    const codes = Array.from({ length: COMMANDS }, () => code)
    socket.write(line.repeat(COMMANDS))
    await hear(socket, codes)
  }
}

function contentLoad(name: string, count: number, content: Buffer, write = whole): Load {
  const send = messages(count, content, write)
  return { name, units: count * (ENVELOPE.length + content.length), of: 'octet', send }
}

const loads: readonly Load[] = [
  contentLoad('an ordinary message', ORDINARY / 4, ordinary),
  contentLoad('lines of two dots', HOSTILE, contentOf('..\r\n')),
  contentLoad('lines that begin with two dots', HOSTILE, contentOf(`..${'x'.repeat(74)}\r\n`)),
  contentLoad('empty lines', HOSTILE, contentOf('\r\n')),
  contentLoad('packets of one octet', ONE_OCTET, ordinary, octetByOctet),
  { name: 'pipelined NOOP', units: COMMANDS, of: 'command', send: commands('NOOP\r\n', 250) },
  { name: 'pipelined RSET', units: COMMANDS, of: 'command', send: commands('RSET\r\n', 250) },
]

/** An ordinary transaction: MAIL, RCPT, DATA and the end of its content. */
const COMMANDS_OF_ONE = 4

type Costs = Map<Load, number[]>

async function hostile(repeat: number, say: Say, signal: AbortSignal): Promise<void> {
  const receiver = await openDiscard()
  const sink = await startSink(findTools())
  const [ours, theirs]: Costs[] = [new Map(), new Map()]
  try {
    for (let n = 0; n <= repeat; n++) {
      for (const load of loads) {
        signal.throwIfAborted()
        const costs = [await costOf(load, receiver), await costOf(load, sink)]
        if (n === 0) continue // the first round warms up
        ours?.set(load, [...(ours.get(load) ?? []), costs[0] ?? Number.NaN])
        theirs?.set(load, [...(theirs.get(load) ?? []), costs[1] ?? Number.NaN])
      }
    }
    say('One session, CPU of smtpd beside its own for an ordinary message of 4 KiB:')
    if (ours && theirs) tell(ours, theirs, say)
  } finally {
    await sink.stop()
    await receiver.close()
  }
}

function tell(ours: Costs, theirs: Costs, say: Say): void {
  const [plain] = loads
  const each = plain ? median(ours.get(plain) ?? []) : Number.NaN
  const octets = ENVELOPE.length + ordinary.length
  for (const [load, values] of ours) {
    const { name, of } = load
    const cost = median(values)
    const usual = of === 'octet' ? each : (each * octets) / COMMANDS_OF_ONE
    const times = cost / usual
    const figures = `${(cost * 1e6).toFixed(1).padStart(8)} ns for each ${of}, ${times.toFixed(2)} times`
    const sink = (median(theirs.get(load) ?? []) * 1e6).toFixed(1)
    say(`  ${name.padEnd(30)} ${figures}: ${verdict(times <= WANTED_OF_ORDINARY)} (smtp-sink ${sink} ns)`)
  }
}

/** CPU milliseconds of the receiver for each unit. */
async function costOf(load: Load, { port, pid }: { port: number; pid: number }): Promise<number> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  try {
    await hear(socket, [220])
    socket.write('EHLO client.example\r\n')
    await hear(socket, [250])
    const before = sumOf(cpuTimeOf(pid))
    await load.send(socket)
    return (sumOf(cpuTimeOf(pid)) - before) / load.units
  } finally {
    socket.destroy()
  }
}
