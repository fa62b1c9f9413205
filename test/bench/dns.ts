/**
 * How many answers the resolver gives in a second: remembered ones, in its own process and over its bus, and new ones
 * from Debian's nsd on loopback, which answers whatever it is asked. Each question for a new answer has a socket, a port
 * and an id of its own, as everywhere.
 *
 * Printed, not judged: 20,000 remembered and 2,000 new ones are the targets.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Stub } from '../../services/resolver/dns/stub.ts'
import { silentLog } from '../../shared/base/log.ts'
import { openLink } from '../../shared/bus/link.ts'
import type { ResolverSlice } from '../../shared/config/slices.ts'
import { debianPrograms } from '../support/debian.ts'
import { freePort } from '../support/postfix.ts'
import { until } from '../support/wait.ts'
import { BUILD, makeRig, startWorker } from '../support/worker.ts'
import { plainZone } from '../support/zone.ts'
import { median } from './report.ts'

const REMEMBERED = 500_000
const OVER_BUS = 100_000
const NEW = 10_000
const TOGETHER = 200

export async function benchDns(repeat: number, say: (line: string) => void): Promise<void> {
  const server = await startNsd()
  try {
    const rows: Record<'remembered' | 'bus' | 'fresh', number[]> = { remembered: [], bus: [], fresh: [] }
    for (let n = 0; n < repeat; n++) {
      const stub = stubOf(server.port)
      rows.fresh.push(await fresh(stub, n))
      rows.remembered.push(await remembered(stub))
      rows.bus.push(await overBus(server.port))
    }
    say(`DNS answers/s, median of ${repeat}:`)
    say(`  remembered, in the resolver     ${rate(rows.remembered)}`)
    say(`  remembered, routes over its bus ${rate(rows.bus)}   (target 20000)`)
    say(`  new, from nsd on loopback       ${rate(rows.fresh)}   (target 2000)`)
  } finally {
    await server.close()
  }
}

function rate(all: number[]): string {
  return String(Math.round(median(all))).padStart(9)
}

function stubOf(port: number): Stub {
  const set = { servers: [{ address: '127.0.0.1', port, trusted: false }], timeout: 5000, attempts: 2 }
  const now = () => performance.now()
  return new Stub({ servers: () => set, cacheEntries: 1_000_000, cacheOctets: 1 << 30, log: silentLog, now })
}

async function measure(count: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return (count * 1000) / (performance.now() - start)
}

function fresh(stub: Stub, run: number): Promise<number> {
  return measure(NEW, async () => {
    let next = 0
    const lane = async () => {
      while (next < NEW) {
        const answer = await stub.lookup(`n${next++}-${run}.lab`, 'A')
        if (answer.kind !== 'records') throw new Error(`no records: ${JSON.stringify(answer)}`)
      }
    }
    await Promise.all(Array.from({ length: TOGETHER }, lane))
  })
}

async function remembered(stub: Stub): Promise<number> {
  const names = Array.from({ length: 1000 }, (_, n) => `r${n}.lab`)
  await Promise.all(names.map((name) => stub.lookup(name, 'A')))
  return measure(REMEMBERED, async () => {
    for (let n = 0; n < REMEMBERED; n++) {
      if (stub.lookup(names[n % names.length] ?? '', 'A') instanceof Promise)
        throw new Error('it was forgotten')
    }
  })
}

async function overBus(port: number): Promise<number> {
  const rig = makeRig()
  const worker = await startWorker('resolver', sliceFor(port), rig)
  const identity = { role: 'smtpd', name: 'smtpd-bench', pid: process.pid, build: BUILD, epoch: 1 } as const
  const { resolver: target } = rig.buses
  const link = openLink({
    target,
    remote: 'resolver',
    identity: () => identity,
    handlers: {},
    log: silentLog,
  })
  try {
    await link.ready()
    const ask = async (n: number) => {
      const answer = await link.request('resolve', { address: `u${n}@d${n % 100}.lab` })
      if (answer.kind !== 'found' || !answer.targets[0]?.route) throw new Error(JSON.stringify(answer))
    }
    for (let n = 0; n < 100; n++) await ask(n)
    return await measure(OVER_BUS, async () => {
      let next = 0
      const lane = async () => {
        while (next < OVER_BUS) await ask(next++)
      }
      await Promise.all(Array.from({ length: TOGETHER }, lane))
    })
  } finally {
    link.close()
    await worker.drain()
    rig.close()
  }
}

function sliceFor(port: number): ResolverSlice {
  return {
    hostname: 'bench.example',
    reports: null,
    zones: [plainZone('.', 'remote')],
    zonePlaces: {},
    relays: [],
    maps: [],
    screenings: [],
    greylist: null,
    srs: null,
    sts: null,
    nameservers: [`127.0.0.1:${port}`],
    dnssec: 'no',
    validatorPort: 5335,
    dnsTimeout: 5000,
    dnsAttempts: 2,
    cacheEntries: 100_000,
    cacheOctets: 1 << 26,
    smtpPort: 25,
    ownAddresses: [],
    recipientDelimiter: '+',
    busUids: null,
    unprivileged: null,
  }
}

async function startNsd(): Promise<{ port: number; close: () => Promise<void> }> {
  const programs = debianPrograms('unbound', 'nsd', 'ldnsutils')
  const nsd = programs?.find('nsd')
  if (!programs || !nsd) throw new Error('no nsd here')
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-dns-'))
  chmodSync(folder, 0o755)
  const port = await freePort()
  const head =
    '$ORIGIN lab.\n$TTL 3600\n@ IN SOA ns root 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n'
  writeFileSync(join(folder, 'lab'), `${head}* IN A 192.0.2.1\n* IN MX 10 mx\nmx IN A 192.0.2.2\n`)
  const config = join(folder, 'nsd.conf')
  const own = ['pidfile', 'xfrdfile', 'zonelistfile']
    .map((name) => ` ${name}: "${folder}/${name}"\n`)
    .join('')
  writeFileSync(
    config,
    `server:\n ip-address: 127.0.0.1@${port}\n username: ""\n chroot: ""\n zonesdir: "${folder}"\n database: ""\n xfrdir: "${folder}"\n server-count: 1\n rrl-ratelimit: 0\n${own}remote-control:\n control-enable: no\nzone:\n name: "lab"\n zonefile: "${folder}/lab"\n`,
  )
  const child = spawn(nsd, ['-d', '-c', config], { env: programs.env, stdio: 'ignore' })
  const probe = stubOf(port)
  await until('nsd to answer', async () => {
    probe.forget()
    return (await probe.lookup('probe.lab', 'A')).kind === 'records'
  })
  return {
    port,
    close: async () => {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
