/**
 * What it costs to find out who mail is from: CPU of all processes per message with `authenticate` on and off, for signed
 * mail of one domain whose SPF, key and policy come from a name server here (and then from the resolver's memory).
 */
import { DkimSigner } from '../../commands/sign/dkim-signer.ts'
import { readFields } from '../../shared/dkim/fields.ts'
import { openSession, transact } from '../support/client.ts'
import { type NameServer, record, startNameServer } from '../support/name-server.ts'
import { startPosthorn } from '../support/posthorn.ts'
import { signingKey } from '../support/signing-key.ts'
import { openSink } from '../support/sink.ts'
import { testConfig } from '../support/test-config.ts'
import { type CpuTime, cpuTimeOf, cpuTimeSince, sumOf } from './process-tree.ts'
import { median } from './report.ts'

const SESSIONS = 10
const WARM_UP = 500
const OCTETS = 4096
const key = signingKey('rsa')

function signedMessage(): string {
  const body = `${'x'.repeat(70)}\r\n`.repeat(Math.ceil(OCTETS / 72))
  const header = 'From: Ann <ann@client.example>\r\nTo: b@relay.example\r\nSubject: bench\r\n'
  const signer = new DkimSigner()
  signer.push(Buffer.from(body))
  const times = { signedAt: Math.floor(Date.now() / 1000), expires: null }
  const signers = [{ domain: 'client.example', selector: 'k1', key: key.key }]
  return `${signer.sign(readFields(header), signers, times)}${header}\r\n${body}`
}

export async function benchAuthentication(
  messages: number,
  repeat: number,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const txt = (name: string, text: string) => ({ [`TXT ${name}`]: { answers: [record.txt(name, text)] } })
  const names = await startNameServer({
    ...txt('client.example', 'v=spf1 ip4:127.0.0.0/8 -all'),
    ...txt('k1._domainkey.client.example', key.record),
    ...txt('_dmarc.client.example', 'v=DMARC1; p=reject'),
  })
  try {
    const off = await costOf('no', names, messages, repeat, signal)
    const on = await costOf('yes', names, messages, repeat, signal)
    say(`signed message of ${OCTETS} octets, ${SESSIONS} sessions, ${messages} messages, median of ${repeat}`)
    say(describe('authenticate no', off))
    say(describe('authenticate yes', on))
    say(`SPF, DKIM (RSA 2048) and DMARC: ${(sumOf(on) - sumOf(off)).toFixed(3)} ms of CPU per message`)
  } finally {
    names.close()
  }
}

/** Milliseconds of CPU per message, by process: the median run. */
async function costOf(
  authenticate: 'yes' | 'no',
  names: NameServer,
  messages: number,
  repeat: number,
  signal: AbortSignal,
): Promise<CpuTime> {
  const sink = await openSink()
  const posthorn = await startPosthorn({
    config: (paths) =>
      testConfig(paths, {
        relayPort: sink.port,
        mx: `authenticate ${authenticate};`,
        severity: 'warn',
        more: `resolver { nameservers { 127.0.0.1 port ${names.port}; }; };`,
      }),
  })
  try {
    const port = posthorn.ports['mx'] ?? 0
    const runs: CpuTime[] = []
    for (let run = -1; run < repeat; run++) {
      const count = run < 0 ? WARM_UP : messages
      const before = cpuTimeOf(posthorn.pid)
      await sendAll(port, count, signal)
      await posthorn.queueEmpty()
      const used = Object.entries(cpuTimeSince(before, cpuTimeOf(posthorn.pid)))
      sink.mails.length = 0
      if (run >= 0) runs.push(Object.fromEntries(used.map(([name, ms]) => [name, ms / count])))
    }
    const middle = median(runs.map(sumOf))
    const [nearest = {}] = runs.sort((a, b) => Math.abs(sumOf(a) - middle) - Math.abs(sumOf(b) - middle))
    return nearest
  } finally {
    await posthorn.stop()
    await sink.close()
  }
}

async function sendAll(port: number, count: number, signal: AbortSignal): Promise<void> {
  const mail = { from: 'ann@client.example', to: ['b@relay.example'], content: signedMessage() }
  const each = Math.ceil(count / SESSIONS)
  const one = async () => {
    const session = await openSession(port)
    for (let n = 0; n < each; n++) {
      signal.throwIfAborted()
      const reply = await transact(session, mail)
      if (reply.code !== 250) throw new Error(`refused: ${reply.code} ${reply.text}`)
    }
    await session.quit()
  }
  await Promise.all(Array.from({ length: SESSIONS }, one))
}

function describe(name: string, used: CpuTime): string {
  const parts = Object.entries(used).flatMap(([process, ms]) =>
    ms >= 0.001 ? [`${process} ${ms.toFixed(3)}`] : [],
  )
  return `${name.padEnd(18)} ${sumOf(used).toFixed(3)} ms of CPU per message (${parts.join(', ')})`
}
