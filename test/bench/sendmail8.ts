/**
 * sendmail 8 as a peer: the binary of Debian's package, unpacked and started in the foreground with a config made by
 * its own m4 files, a queue of its own, and everything relayed to the sink.
 *
 * Two things that Debian's installation would have given: the binary is copied, because with its set-gid bit the
 * loader ignores where the libraries are; and it runs with a host name of its own (unshare --uts), because it waits
 * a minute at start where the machine's name has no dot. Fails: an Error that says why; needs root.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { openSession } from '../support/client.ts'
import { debianPrograms, type Programs } from '../support/debian.ts'
import { freePort } from '../support/postfix.ts'
import { until } from '../support/wait.ts'
import type { Peer } from './servers.ts'

const HOSTNAME = 'sendmail.example'
const PATIENCE_MS = 40_000

export async function startSendmail(parent: string, nextHop: number): Promise<Peer> {
  const programs = process.getuid?.() === 0 ? debianPrograms('sendmail-bin', 'sendmail-cf', 'm4') : null
  if (!programs) throw new Error('sendmail 8 cannot run here: it needs root and its Debian package')
  const folder = mkdtempSync(join(parent, 'posthorn-sendmail-'))
  const port = await freePort()
  try {
    const child = launch(folder, programs, makeConfig(folder, programs, port, nextHop))
    const stop = () => end(child).finally(() => rmSync(folder, { recursive: true, force: true }))
    await greeted(port, child, folder).catch((error) => stop().then(() => Promise.reject(error)))
    return { port, pid: child.pid ?? -1, stop }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
}

function makeConfig(
  folder: string,
  { env, folder: root, find }: Programs,
  port: number,
  nextHop: number,
): string {
  const tree = [join(root, 'usr/share/sendmail/cf/'), '/usr/share/sendmail/cf/'].find((path) =>
    existsSync(path),
  )
  if (!tree) throw new Error('sendmail 8 cannot run here: its m4 files are missing')
  const source = join(folder, 'sendmail.mc')
  mkdirSync(join(folder, 'queue'), { mode: 0o700 })
  writeFileSync(source, macros(folder, port, nextHop))
  const words = [`-D_CF_DIR_=${tree}`, join(tree, 'm4/cf.m4'), source]
  const made = spawnSync(find('m4') ?? 'm4', words, { env, encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`m4 made no sendmail.cf: ${made.stderr.slice(-500)}`)
  const file = join(folder, 'sendmail.cf')
  writeFileSync(file, made.stdout.replace(/^(Fw|FR|O (AliasFile|HelpFile|ForwardPath)).*$/gm, ''))
  return file
}

/** No limits on load, no DNS, no ident: what would slow it down without being its work. */
function macros(folder: string, port: number, nextHop: number): string {
  const defined: Record<string, string> = {
    confDOMAIN_NAME: HOSTNAME,
    SMART_HOST: 'relay:[127.0.0.1]',
    RELAY_MAILER_ARGS: `TCP $h ${nextHop}`,
    QUEUE_DIR: join(folder, 'queue'),
    STATUS_FILE: '',
    confPID_FILE: join(folder, 'pid'),
    confTO_IDENT: '0',
    confQUEUE_LA: '1000',
    confREFUSE_LA: '1000',
    confDELAY_LA: '0',
    confMAX_DAEMON_CHILDREN: '0',
    confMAX_RCPTS_PER_MESSAGE: '1000',
    confBIND_OPTS: '-DNSRCH -DEFNAMES',
  }
  return `OSTYPE(\`linux')dnl
${Object.entries(defined)
  .map(([name, value]) => `define(\`${name}', \`${value}')dnl`)
  .join('\n')}
FEATURE(\`no_default_msa')dnl
FEATURE(\`promiscuous_relay')dnl
FEATURE(\`accept_unresolvable_domains')dnl
FEATURE(\`nocanonify')dnl
DAEMON_OPTIONS(\`Name=MTA, Addr=127.0.0.1, Port=${port}, Listen=1024')dnl
MAILER(\`smtp')dnl
`
}

function launch(folder: string, { env, find, folder: root }: Programs, config: string): ChildProcess {
  const packaged = join(root, 'usr/libexec/sendmail/sendmail')
  const installed = existsSync(packaged) ? packaged : find('sendmail-mta')
  if (!installed) throw new Error('sendmail 8 cannot run here: its package holds no binary')
  const program = join(folder, 'sendmail')
  copyFileSync(installed, program)
  chmodSync(program, 0o755)
  const script = `hostname ${HOSTNAME} && exec ${program} -C ${config} -bD`
  return spawn('unshare', ['--uts', 'sh', '-c', `exec 2>${folder}/trouble; ${script}`], {
    env,
    stdio: 'ignore',
  })
}

async function greeted(port: number, child: ChildProcess, folder: string): Promise<void> {
  const left = once(child, 'exit').then(([code]) => {
    const trouble = readFileSync(join(folder, 'trouble'), 'utf8')
    throw new Error(`sendmail 8 cannot run here: it left with ${code}: ${trouble.slice(-500)}`)
  })
  const up = until(
    'sendmail to greet',
    async () => (await openSession(port)).quit().then(() => true),
    PATIENCE_MS,
  )
  await Promise.race([left, up])
  left.catch(() => undefined)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
