/**
 * Debian's Exim and OpenSMTPD as servers beside Posthorn: they take all that comes to a port of loopback and send it
 * on through their own queues to one next hop, only over TLS with a certificate that they have verified. Each runs in
 * a mount and process namespace where /etc is a copy and its queue a file system in memory, and ends with the test.
 * Needs root. For Postfix, which needs no namespace, see `postfix.ts`.
 *
 * Fails: null where it cannot run, and standard error says why.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSession } from './client.ts'
import { debianPrograms, type Programs } from './debian.ts'
import { freePort } from './postfix.ts'
import { until } from './wait.ts'

export interface OtherServer {
  port: number
  /** What it has written about its work. */
  log: () => string
  stop: () => Promise<void>
}

export interface Way {
  /** A port on loopback, where `localhost` is a name of the certificate. */
  nextHop: number
  /** Who signed the certificate of the next hop: a file. */
  authority: string
}

interface Scene extends Way {
  /** Its own, for everything. */
  folder: string
  /** The copy of /etc. */
  etc: string
  port: number
}

export async function startExim(way: Way): Promise<OtherServer | null> {
  return start('exim4-daemon-light', way, (scene, programs) => {
    const exim = programs.find('exim4') ?? ''
    addUser(scene, 'Debian-exim', 4321)
    cpSync(way.authority, join(scene.folder, 'authority.pem'))
    writeFileSync(join(scene.etc, 'exim4.conf'), eximConfig(scene, exim))
    chmodSync(join(scene.etc, 'exim4.conf'), 0o644)
    return `
      mkdir /etc/exim4
      mv /etc/exim4.conf /etc/exim4/exim4.conf
      mkdir /var/spool/exim4
      chown Debian-exim:Debian-exim /var/spool/exim4
      install -d -o Debian-exim -g Debian-exim ${scene.folder}/log
      ${exim} -bdf -q1s`
  })
}

/** Its binary would read no library path of ours: set-uid, it starts itself anew for each delivery. */
function eximConfig({ folder, port, nextHop }: Scene, program: string): string {
  return `
exim_path = ${program}
primary_hostname = exim.example
log_file_path = ${folder}/log/%s
daemon_smtp_ports = ${port}
local_interfaces = 127.0.0.1
acl_smtp_rcpt = accept
host_lookup =
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
tls_advertise_hosts =
log_selector = +tls_certificate_verified
begin routers
all:
  driver = manualroute
  route_data = localhost byname
  transport = out
  self = send
begin transports
out:
  driver = smtp
  port = ${nextHop}
  hosts_require_tls = *
  tls_verify_certificates = ${folder}/authority.pem
  tls_verify_hosts = *
begin retry
* * F,1h,1s
`
}

export async function startOpenSmtpd(way: Way): Promise<OtherServer | null> {
  return start('opensmtpd', way, (scene, programs) => {
    addUser(scene, 'opensmtpd', 4322)
    addUser(scene, 'opensmtpq', 4323)
    const { etc, authority, port, nextHop } = scene
    appendFileSync(join(etc, 'ssl/certs/ca-certificates.crt'), readFileSync(authority))
    writeFileSync(join(etc, 'mailname'), 'opensmtpd.example\n')
    writeFileSync(
      join(etc, 'smtpd.conf'),
      `listen on 127.0.0.1 port ${port} hostname opensmtpd.example
action "out" relay host smtp+tls://localhost:${nextHop}
match from any for any action "out"
`,
    )
    return `
      mount -t tmpfs none /var/lib
      install -d -m 711 /var/lib/opensmtpd /var/lib/opensmtpd/empty
      ${programs.find('smtpd')} -dv`
  })
}

async function start(
  name: string,
  way: Way,
  setUp: (scene: Scene, programs: Programs) => string,
): Promise<OtherServer | null> {
  const programs = mayRun(name) ? debianPrograms(name) : null
  if (!programs) return null
  const folder = mkdtempSync(join(tmpdir(), `posthorn-${name}-`))
  chmodSync(folder, 0o755)
  const scene = { ...way, folder, etc: join(folder, 'etc'), port: await freePort() }
  copyEtc(scene, programs)
  let output = ''
  const child = runAlone(scene, programs, setUp(scene, programs))
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const main = join(folder, 'log/main')
  const log = () => output + (existsSync(main) ? readFileSync(main, 'utf8') : '')
  const stop = async () => {
    await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  const greeted = async () => {
    if (child.exitCode !== null) return 'left'
    await (await openSession(scene.port)).quit()
    return 'greeted'
  }
  const came = await until(`${name} to greet`, greeted).catch(String)
  if (came === 'greeted') return { port: scene.port, log, stop }
  await stop()
  throw new Error(`${name} does not come up: ${came}\n${log()}`)
}

function mayRun(name: string): boolean {
  const tried = spawnSync('unshare', [
    '-mpf',
    '--propagation',
    'private',
    'mount',
    '-t',
    'tmpfs',
    'x',
    '/run',
  ])
  if (process.getuid?.() === 0 && tried.status === 0) return true
  process.stderr.write(`\n!!! no ${name} here: it needs root and mount namespaces\n`)
  return false
}

/** With the addresses of nobody but this machine, and the libraries that came with the package. */
function copyEtc({ etc, folder }: Scene, programs: Programs): void {
  cpSync('/etc', etc, { recursive: true, verbatimSymlinks: true })
  writeFileSync(join(etc, 'hosts'), '127.0.0.1 localhost\n')
  rmSync(join(etc, 'resolv.conf'), { force: true })
  writeFileSync(join(etc, 'resolv.conf'), 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
  const libraries = (programs.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((path) => existsSync(path))
  spawnSync('/usr/sbin/ldconfig', ['-X', '-C', join(etc, 'ld.so.cache'), ...libraries], { cwd: folder })
}

function addUser({ etc }: Scene, name: string, id: number): void {
  appendFileSync(join(etc, 'passwd'), `${name}:x:${id}:${id}::/nonexistent:/bin/false\n`)
  appendFileSync(join(etc, 'group'), `${name}:x:${id}:\n`)
}

/** The shell stays, as the first process there: when it dies, whatever it has started does, set-uid or not. */
function runAlone({ etc }: Scene, { env }: Programs, script: string): ChildProcess {
  const setUp = `
    mount --bind ${etc} /etc
    for volatile in /run /var/spool; do mount -t tmpfs none $volatile; done
    ${script} &
    wait`
  const alone = ['-mpf', '--kill-child', '--propagation', 'private', '--mount-proc']
  return spawn('unshare', [...alone, '/bin/sh', '-ec', setUp], { env, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'close')
}
