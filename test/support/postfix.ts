/**
 * A real Postfix beside Posthorn: Debian's binaries, a config and queue of its own in a temporary folder, one
 * port on loopback, everything relayed to one next hop; one address at postfix.example is an alias of one of ours,
 * so that mail can go there and come back. Needs root, as Postfix does.
 *
 * Fails: `startPostfix` gives null where it cannot run, and says why on standard error.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { debianPrograms, type Programs } from './debian.ts'
import { until } from './wait.ts'

export interface Postfix {
  port: number
  /** The master process, parent of all others. */
  pid: number
  log: () => string
  stop: () => void
}

export interface PostfixPlan {
  port: number
  /** A port on loopback. */
  nextHop: number
  /** What comes in for `there`@postfix.example goes on to `here`. */
  alias: { there: string; here: string }
  /** Parameters of main.cf that are wanted otherwise. */
  main?: Record<string, string>
  /** Where its folder is made; /tmp when nothing is said. */
  parent?: string
}

export async function startPostfix(plan: PostfixPlan): Promise<Postfix | null> {
  const programs = process.getuid?.() === 0 ? debianPrograms('postfix') : null
  if (!programs) {
    process.stderr.write('\n!!! no Postfix here: it needs root and its Debian package\n')
    return null
  }
  const folder = mkdtempSync(join(plan.parent ?? '/tmp', 'posthorn-postfix-'))
  chmodSync(folder, 0o755)
  writeConfig(folder, programs, plan)
  const control = (verb: string) =>
    spawnSync('postfix', ['-c', join(folder, 'etc'), verb], { env: programs.env, encoding: 'utf8' })
  const log = () => (existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : '')
  const started = control('start')
  if (started.status !== 0) throw new Error(`postfix start: ${started.stderr}\n${log()}`)
  await until('Postfix to start', () => log().includes('daemon started'))
  const stop = () => {
    control('stop')
    rmSync(folder, { recursive: true, force: true })
  }
  const pid = Number(readFileSync(join(folder, 'queue/pid/master.pid'), 'utf8'))
  return { port: plan.port, pid, log, stop }
}

/** Postfix cannot choose a port by itself; between this and its start somebody else might, and the test fails. */
export function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

function writeConfig(folder: string, { env, folder: root }: Programs, plan: PostfixPlan): void {
  const unpacked = existsSync(join(root, 'usr/sbin/postfix')) ? root : ''
  for (const part of ['etc', 'queue', 'data']) mkdirSync(join(folder, part))
  const owner = userFor(['postfix', 'news'])
  spawnSync('chown', [owner, join(folder, 'data')])
  const main: Record<string, string> = {
    compatibility_level: '3.6',
    daemon_directory: `${unpacked}/usr/lib/postfix/sbin`,
    command_directory: `${unpacked}/usr/sbin`,
    shlib_directory: `${unpacked}/usr/lib/postfix`,
    meta_directory: existsSync(`${unpacked}/etc/postfix/postfix-files`)
      ? `${unpacked}/etc/postfix`
      : join(folder, 'etc'),
    queue_directory: join(folder, 'queue'),
    data_directory: join(folder, 'data'),
    maillog_file: join(folder, 'log'),
    maillog_file_prefixes: folder,
    import_environment: `MAIL_CONFIG MAIL_LOGTAG LD_LIBRARY_PATH=${env['LD_LIBRARY_PATH'] ?? ''}`,
    mail_owner: owner,
    setgid_group: owner === 'postfix' ? 'postdrop' : 'voice',
    myhostname: 'postfix.example',
    mydestination: '',
    mynetworks: '127.0.0.0/8',
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'ipv4',
    relayhost: `[127.0.0.1]:${plan.nextHop}`,
    alias_maps: '',
    alias_database: '',
    local_recipient_maps: '',
    virtual_alias_domains: 'postfix.example',
    virtual_alias_maps: `inline:{ {${plan.alias.there}@postfix.example = ${plan.alias.here}} }`,
    smtputf8_enable: 'no',
    ...plan.main,
  }
  const lines = Object.entries(main).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(join(folder, 'etc/main.cf'), `${lines.join('\n')}\n`)
  writeFileSync(join(folder, 'etc/master.cf'), services(plan.port))
}

function userFor(names: string[]): string {
  return names.find((name) => spawnSync('id', [name]).status === 0) ?? 'nobody'
}

function services(port: number): string {
  const rows = [
    `127.0.0.1:${port} inet n - n - - smtpd`,
    'postlog unix-dgram n - n - 1 postlogd',
    'pickup unix n - n 60 1 pickup',
    'cleanup unix n - n - 0 cleanup',
    'qmgr unix n - n 300 1 qmgr',
    'rewrite unix - - n - - trivial-rewrite',
    'bounce unix - - n - 0 bounce',
    'defer unix - - n - 0 bounce',
    'trace unix - - n - 0 bounce',
    'verify unix - - n - 1 verify',
    'flush unix n - n 1000? 0 flush',
    'proxymap unix - - n - - proxymap',
    'smtp unix - - n - - smtp',
    'relay unix - - n - - smtp',
    'lmtp unix - - n - - lmtp',
    'virtual unix - n n - - virtual',
    'error unix - - n - - error',
    'retry unix - - n - - error',
    'anvil unix - - n - 1 anvil',
    'scache unix - - n - 1 scache',
    'tlsmgr unix - - n 1000? 1 tlsmgr',
  ]
  return `${rows.join('\n')}\n`
}
