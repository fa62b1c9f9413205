/**
 * Signed zones below `lab.` for tests: signed by ldns-signzone, served by Debian's nsd on a port of loopback, with a
 * trust anchor of their own. `bogus` in it has a signature that does not fit, `old.lab` is signed and its signatures
 * have run out, `open.lab` is not signed; what begins with `deadbeef` in a TLSA record is another than was signed.
 *
 * Fails: null where the programs cannot be had.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { debianPrograms, type Programs } from './debian.ts'
import { freePort } from './postfix.ts'
import { until } from './wait.ts'

export interface SignedZones {
  port: number
  /** A file with the key of `lab.`. */
  anchor: string
  /** For `unbound-program`. */
  unbound: string
  close: () => Promise<void>
}

const HEAD = '@ IN SOA ns.lab. root.lab. 1 3600 600 86400 60\n@ IN NS ns.lab.\n'

const MOST_ATTEMPTS = 5

/** @param records of `lab.`, beside what is always there. */
export async function serveSignedZones(records: string): Promise<SignedZones | null> {
  const programs = debianPrograms('unbound', 'nsd', 'ldnsutils')
  const nsd = programs?.find('nsd')
  if (!programs || !nsd) return null
  const folder = mkdtempSync(join(tmpdir(), 'posthorn-zones-'))
  chmodSync(folder, 0o755)
  const anchor = signAll(programs, folder, records)
  const { child, port } = await nsdSomewhere(programs, nsd, folder)
  return { port, anchor, unbound: wrapUnbound(programs, folder), close: () => end(child, folder) }
}

/** A port that is free for TCP may be some resolver's for UDP by now: nsd leaves, and gets another. */
async function nsdSomewhere(
  programs: Programs,
  nsd: string,
  folder: string,
): Promise<{ child: ChildProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const child = startNsd(programs, nsd, folder, port)
    const left = () => child.exitCode !== null || child.signalCode !== null
    await until('nsd to answer', () => left() || answersTo(programs, port))
    if (!left()) return { child, port }
    if (attempt === MOST_ATTEMPTS) throw new Error(`nsd left with ${child.exitCode}`)
  }
}

function signAll(programs: Programs, folder: string, records: string): string {
  writeFileSync(
    join(folder, 'open'),
    `$ORIGIN open.lab.\n$TTL 300\n${HEAD}@ IN MX 10 mx\nmx IN A 127.0.0.1\n`,
  )
  const old = sign(
    programs,
    folder,
    'old',
    `$ORIGIN old.lab.\n$TTL 300\n${HEAD}@ IN MX 10 mx\nmx IN A 127.0.0.1\n`,
  )
  const lab = `$ORIGIN lab.\n$TTL 300\n${HEAD}ns IN A 127.0.0.1\nopen IN NS ns\nold IN NS ns\n${old.ds}
bogus IN MX 10 mx.bogus\nmx.bogus IN A 127.0.0.1\n${records}\n`
  const { key, signed } = sign(programs, folder, 'lab', lab)
  // the exchanger of bogus.lab becomes another one than was signed
  const broken = readFileSync(signed, 'utf8')
    .replace(/^(bogus\.lab\.\s.*\sMX\s+)10 /m, '$120 ')
    .replace(/(\sTLSA\s+\d \d \d )deadbeef/g, '$1feedbeef')
  writeFileSync(signed, broken)
  return key
}

interface Signed {
  /** Files. */
  key: string
  signed: string
  ds: string
}

function sign(programs: Programs, folder: string, name: string, text: string): Signed {
  const run = (program: string, ...words: string[]) => {
    const file = programs.find(program)
    if (!file) throw new Error(`no ${program}`)
    return execFileSync(file, words, { cwd: folder, env: programs.env, encoding: 'utf8' }).trim()
  }
  const origin = name === 'lab' ? 'lab.' : `${name}.lab.`
  writeFileSync(join(folder, name), text)
  const key = run('ldns-keygen', '-r', '/dev/urandom', '-a', 'ED25519', '-k', origin)
  const until = name === 'old' ? '20210101000000' : '20400101000000'
  run('ldns-signzone', '-i', '20200101000000', '-e', until, '-f', `${name}.signed`, name, key)
  return {
    key: join(folder, `${key}.key`),
    signed: join(folder, `${name}.signed`),
    ds: readFileSync(join(folder, `${key}.ds`), 'utf8').trim(),
  }
}

function startNsd(programs: Programs, nsd: string, folder: string, port: number): ChildProcess {
  const zone = (name: string, file: string) => `zone:\n name: "${name}"\n zonefile: "${folder}/${file}"\n`
  const config = join(folder, 'nsd.conf')
  writeFileSync(
    config,
    `server:
 ip-address: 127.0.0.1@${port}
 username: ""
 chroot: ""
 zonesdir: "${folder}"
 database: ""
 pidfile: "${folder}/nsd.pid"
 xfrdfile: "${folder}/xfrd.state"
 zonelistfile: "${folder}/zone.list"
 xfrdir: "${folder}"
 server-count: 1
 rrl-ratelimit: 0
remote-control:
 control-enable: no
${zone('lab', 'lab.signed')}${zone('old.lab', 'old.signed')}${zone('open.lab', 'open')}`,
  )
  return spawn(nsd, ['-d', '-c', config], { env: programs.env, stdio: 'ignore' })
}

function answersTo(programs: Programs, port: number): boolean {
  const drill = programs.find('drill') ?? ''
  const words = ['-p', `${port}`, '@127.0.0.1', 'lab', 'SOA']
  return execFileSync(drill, words, { env: programs.env, encoding: 'utf8' }).includes('NOERROR')
}

/** It is not installed: its libraries lie beside it, and mcp hands no environment on. */
function wrapUnbound(programs: Programs, folder: string): string {
  const file = join(folder, 'unbound')
  const libraries = programs.env['LD_LIBRARY_PATH'] ?? ''
  const text = `#!/bin/sh\nLD_LIBRARY_PATH='${libraries}' exec '${programs.find('unbound')}' "$@"\n`
  writeFileSync(file, text, { mode: 0o755 })
  return file
}

async function end(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  rmSync(folder, { recursive: true, force: true })
}
